"""Inputs for a file: random, of sizes that it declares, of numbers that it can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnbench.formats.onnx.inference import sizes
from rnnbench.formats.onnx.optimizing.graph import Array, Graph, attribute, is_standard

_HANDS_ON = ("Cast", "Reshape", "Unsqueeze", "Squeeze", "Transpose", "Identity")
_UNKNOWN = "?"  # before the input's name and axis: a size without a name


def dims_of(proto: Any) -> dict[str, list[int | str]]:
    """The sizes of each input: numbers, or names; what has no name gets one."""
    constants = {t.name for t in proto.graph.initializer}
    found = {}
    for value in proto.graph.input:
        if value.name not in constants:
            given = sizes(value.type.tensor_type)
            found[value.name] = [
                n if n is not None else f"{_UNKNOWN}{value.name}.{i}" for i, n in enumerate(given)
            ]
    return found


def feeds(
    graph: Graph, proto: Any, dims: Mapping[str, int], seed: int, scale: float = 1.0
) -> dict[str, Array]:
    """Random inputs.

    Args:
        graph: of the file, which says what a whole number may be.
        proto: ONNX's own form of it.
        dims: the size of each name.
        seed: of the numbers.
        scale: of those that are not whole.
    """
    from onnx import helper

    generator = np.random.default_rng(seed)
    kinds = {v.name: v.type.tensor_type.elem_type for v in proto.graph.input}
    made = {}
    for name, shape in dims_of(proto).items():
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kinds[name]))
        full = [n if isinstance(n, int) else dims[n] for n in shape]
        if dtype.kind == "f":
            made[name] = (scale * generator.standard_normal(full)).astype(dtype)
        elif dtype.kind == "b":
            made[name] = generator.random(full) < 0.5
        else:
            low, high = _range(graph, name, dims)
            made[name] = generator.integers(low, high, full).astype(dtype)
    return made


def _range(graph: Graph, name: str, dims: Mapping[str, int]) -> tuple[int, int]:
    """What a whole number may be: a row of a table; else a length."""
    waiting = [name]
    while waiting:
        value = waiting.pop()
        for node in graph.readers.get(value, []):
            if is_standard(node, "Gather") and list(node.input)[1:2] == [value]:
                shape = graph.shape(node.input[0])
                size = shape[attribute(node, "axis", 0)] if shape else None
                if isinstance(size, int):
                    return 0, size
            if is_standard(node, *_HANDS_ON):
                waiting += node.output[:1]
    return 1, 1 + min(dims.values(), default=1)

"""How the weights of two ONNX files differ; `inspect` compares their structure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

_NAMED = 3  # of the tensors that differ, in the table

Tensors = dict[str, np.ndarray[Any, Any]]


def weight_differences(a: Path, b: Path) -> list[tuple[str, str, str]]:
    """What differs in the numbers that two graphs hold: (what, in a, in b).

    Initializers and constants belong together by their names; what is left, in their order, where
    they have the same shapes.

    Raises:
        RnnbenchError: a tensor has no value.
    """
    left, right = read_weights(a), read_weights(b)
    pairs = {name: name for name in left if name in right}
    others = [n for n in left if n not in pairs], [n for n in right if n not in pairs]
    if [left[n].shape for n in others[0]] == [right[n].shape for n in others[1]]:
        pairs |= dict(zip(*others, strict=True))
        others = [], []
    rows = []
    off = {name: _distance(left[name], right[other]) for name, other in pairs.items()}
    off = {name: distance for name, distance in off.items() if distance}
    if off:
        what = f"weights: {len(off)} of {len(pairs)}, by {max(off.values()):.1e} at most"
        rows.append((what, _names(off), _names(pairs[name] for name in off)))
    if any(others):
        rows.append(("weights of other names", _names(others[0]), _names(others[1])))
    return rows


def read_weights(path: Path) -> Tensors:
    """The initializers and constants of a graph and its bodies, by name."""
    import onnx

    from rnnbench.core.errors import RnnbenchError, one_line

    proto = onnx.load(str(path), load_external_data=False)
    found: Tensors = {}
    functions = (pair for function in proto.functions for pair in _constants(function.node))
    for name, tensor in (*_tensors(proto.graph), *functions):
        if tensor.data_type == onnx.TensorProto.STRING:
            continue
        try:
            found[name] = onnx.numpy_helper.to_array(tensor, str(path.parent))
        except Exception as error:
            raise RnnbenchError(
                f"{path} is damaged: {name!r} has no value ({one_line(error)})"
            ) from error
    return found


def _tensors(graph: Any) -> Iterator[tuple[str, Any]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    yield from _constants(graph.node)


def _constants(nodes: Any) -> Iterator[tuple[str, Any]]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t") and node.op_type == "Constant":
                yield node.output[0], attribute.t
            for inner in ([attribute.g] if attribute.HasField("g") else []) + [*attribute.graphs]:
                yield from _tensors(inner)


def _distance(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """The largest absolute difference; infinite where shapes differ, or one has NaN alone."""
    if a.shape != b.shape:
        return float("inf")
    if not a.size or np.array_equal(a, b):
        return 0.0
    wide = a.astype(np.float64), b.astype(np.float64)
    same = (wide[0] == wide[1]) | (np.isnan(wide[0]) & np.isnan(wide[1]))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(wide[0] - wide[1]))
    return float(np.where(np.isnan(apart), np.inf, apart).max())


def _names(given: Iterable[str]) -> str:
    names = list(given)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more

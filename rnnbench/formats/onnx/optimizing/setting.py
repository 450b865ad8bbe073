"""Inputs that are a number, as a sampling rate, written down: they are inputs no longer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.formats.onnx.inference import sizes
from rnnbench.formats.onnx.optimizing.engines import CannotRunError, Runner, distance
from rnnbench.formats.onnx.optimizing.findings import Finding
from rnnbench.formats.onnx.optimizing.graph import Array
from rnnbench.formats.onnx.optimizing.loading import Given
from rnnbench.formats.onnx.optimizing.proving import Proof, Reference


def written_down(given: Given, values: Mapping[str, float]) -> tuple[Any, list[Finding]]:
    """The file with initializers in the place of inputs, and a finding for each.

    Args:
        given: the file.
        values: input -> its number.

    Raises:
        RnnbenchError: there is no such input, it is no number, or nothing can be proved.
    """
    if not values:
        return given.proto, []
    from onnx import numpy_helper

    arrays = {name: _array(given, name, number) for name, number in values.items()}
    proto = type(given.proto)()
    proto.CopyFrom(given.proto)
    for i in reversed(range(len(proto.graph.input))):
        if proto.graph.input[i].name in arrays:
            del proto.graph.input[i]
    for name, array in arrays.items():
        for i in reversed(range(len(proto.graph.initializer))):  # a default of the input
            if proto.graph.initializer[i].name == name:
                del proto.graph.initializer[i]
        proto.graph.initializer.add().CopyFrom(numpy_helper.from_array(array, name))
    proof = _proof(given, proto, arrays)
    if not proof.ok:
        names = ", ".join(arrays)
        raise RnnbenchError(
            f"{given.path}: nothing can be proved with {names} written down ({proof}): "
            "give other values"
        )
    return proto, [
        Finding(name, "an input", True, f"{values[name]:g}, and an input no longer", str(proof))
        for name in arrays
    ]


def _array(given: Given, name: str, number: float) -> Array:
    from onnx import helper

    known = {v.name: v.type.tensor_type for v in given.proto.graph.input}
    if name not in known:
        raise choices(f"input of {given.path}", name, known)
    shape = sizes(known[name])
    if any(n != 1 for n in shape):
        raise RnnbenchError(
            f"{given.path}: input {name!r} is {list(shape)}, and --set gives one number: leave it"
        )
    dtype = helper.tensor_dtype_to_np_dtype(known[name].elem_type)
    array = np.full((1,) * len(shape), number).astype(dtype)
    if array.dtype.kind in "iub" and (array != number).any():
        raise RnnbenchError(f"{given.path}: input {name!r} is {dtype}, and {number:g} is none")
    return array


def _proof(given: Given, proto: Any, arrays: Mapping[str, Array]) -> Proof:
    """The new file against the given one, which is handed the numbers."""
    folder: Path = given.path.parent
    reference = Reference(proto, folder, {}, ())
    if not reference.cases:
        return Proof(0, 0.0, f"it cannot be run: {reference.why}")
    worst = 0.0
    try:
        run = Runner(given.proto, folder)
        for _, inputs, expected in reference.cases:
            found = run({**inputs, **arrays})
            worst = max([worst, *(distance(found[n], expected[n]) for n in expected)])
    except CannotRunError as error:
        return Proof(0, 0.0, str(error))
    return Proof(len(reference.cases), worst)

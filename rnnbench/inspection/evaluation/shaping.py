"""Operators that move numbers, where onnx's reference does not do all of the specification."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnnbench.inspection.evaluation.nodes import Node, Operation, Values, padded

Array = np.ndarray


def _pad(node: Node, inputs: Values) -> list[Any]:
    """Adds to each axis, or cuts from it what is less than 0: pads and value are attributes of old.

    Raises:
        ValueError: a mode that there is not.
    """
    x, pads, value, axes = padded(inputs, 4)
    if pads is None:
        pads = node.get("pads", node.get("paddings"))
        value = np.asarray(node.get("value", 0.0))
    chosen = range(x.ndim) if axes is None else [int(axis) % x.ndim for axis in axes]
    both = np.asarray(pads).reshape(2, -1)
    before, after = np.zeros((2, x.ndim), int)
    before[list(chosen)], after[list(chosen)] = both
    cut = [
        slice(max(0, -first), size - max(0, -last))
        for first, last, size in zip(before, after, x.shape, strict=True)
    ]
    added = [*zip(np.maximum(before, 0), np.maximum(after, 0), strict=True)]
    mode = node.get("mode", "constant")
    if mode == "constant":
        filled = np.zeros((), x.dtype) if value is None else np.asarray(value).reshape(())
        return [np.pad(x[tuple(cut)], added, constant_values=filled.astype(x.dtype))]
    if mode not in ("reflect", "edge", "wrap"):
        raise ValueError(f"mode {mode!r} is none of constant, reflect, edge, wrap")
    return [np.pad(x[tuple(cut)], added, mode=mode)]


def _reshape(node: Node, inputs: Values) -> list[Any]:
    """A size of -1 is what is left, also where there is nothing: of no rows, that of other rows.

    A size of 0 is that of the input, and takes no part then (unless `allowzero` says otherwise).
    """
    x, shape = padded(inputs, 2)
    given = [int(size) for size in (node.get("shape") if shape is None else shape)]
    kept = set() if node.get("allowzero", 0) else {i for i, n in enumerate(given) if n == 0}
    if x.size or -1 not in given or max(kept, default=-1) >= x.ndim:
        return [x.reshape([x.shape[i] if i in kept else n for i, n in enumerate(given)])]
    left = math.prod(n for i, n in enumerate(x.shape) if i not in kept)
    told = math.prod(n for i, n in enumerate(given) if i not in kept and n != -1)
    if told and left % told:
        raise ValueError(f"{x.shape} does not fit into {given}")
    rest = left // told if told else 0
    sizes = [x.shape[i] if i in kept else n for i, n in enumerate(given)]
    return [x.reshape([rest if n == -1 else n for n in sizes])]


def _gather_elements(node: Node, inputs: Values) -> list[Any]:
    """What onnx's reference does for 64 at most (np.choose)."""
    x, indices = inputs
    axis = node.get("axis", 0) % x.ndim
    part = tuple(slice(None) if i == axis else slice(size) for i, size in enumerate(indices.shape))
    if (indices < -x.shape[axis]).any() or (indices >= x.shape[axis]).any():
        raise ValueError(f"an index is outside of the {x.shape[axis]} of axis {axis}")
    return [np.take_along_axis(x[part], indices.astype(np.int64), axis=axis)]


SHAPING: dict[str, Operation] = {
    "GatherElements": _gather_elements,
    "Pad": _pad,
    "Reshape": _reshape,
}

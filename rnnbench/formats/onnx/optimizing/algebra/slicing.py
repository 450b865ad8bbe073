"""What Slice, Split and SequenceAt take of a value, where that is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.graph import Graph, attribute, is_standard

_SLICE_TAKES_INPUTS = 10  # since this opset


@dataclass(frozen=True)
class Element:
    """A value of a SplitToSequence: where it begins, and its size; 0: the axis goes."""

    axis: int
    start: int
    size: int


def data_of(graph: Graph, node: Any) -> str:
    """The value that a node moves: of an element of a list, what was split into the list."""
    if node.op_type == "SequenceAt":
        split = graph.makers.get(node.input[0])
        if split is not None and is_standard(split, "SplitToSequence"):
            return str(split.input[0])
    return str(node.input[0])


def element_of(constants: Constants, node: Any) -> Element | None:
    """What a SequenceAt takes of a SplitToSequence, where that is written down."""
    split = constants.graph.makers.get(node.input[0])
    place = constants.numbers(node.input[1])
    if split is None or not is_standard(split, "SplitToSequence") or place is None:
        return None
    axis, index = attribute(split, "axis", 0), place[0]
    if len(split.input) < 2 or not split.input[1]:
        return Element(axis, index, int(attribute(split, "keepdims", 1))) if index >= 0 else None
    sizes = constants.value(split.input[1])
    if sizes is None or (sizes.ndim == 0 and index < 0):
        return None
    if sizes.ndim == 0:
        return Element(axis, index * int(sizes), int(sizes))
    index %= len(sizes)
    return Element(axis, int(sizes[:index].sum()), int(sizes[index]))


@dataclass(frozen=True)
class Bounds:
    """A Slice along one axis."""

    axis: int
    start: int
    end: int
    step: int


def slice_bounds(constants: Constants, node: Any) -> Bounds | None:
    """What a Slice takes; None: of several axes, or it is computed."""
    found: list[list[int] | None] = []
    for i, name in enumerate(("starts", "ends", "axes", "steps"), 1):
        if constants.graph.opset < _SLICE_TAKES_INPUTS:
            found.append(attribute(node, name))
        else:
            given = len(node.input) > i and node.input[i]
            found.append(constants.numbers(node.input[i]) if given else None)
            if given and found[-1] is None:
                return None
    starts, ends, axes, steps = found
    if not starts or not ends or len(starts) != 1:
        return None
    return Bounds(axes[0] if axes else 0, starts[0], ends[0], steps[0] if steps else 1)


def split_sizes(constants: Constants, node: Any, size: int | str | None) -> list[int]:
    """The sizes of a Split's parts; none where they are unknown."""
    given: list[int] | None = attribute(node, "split")
    if given is None and len(node.input) > 1 and node.input[1]:
        given = constants.numbers(node.input[1])
    elif given is None and isinstance(size, int):
        each = -(-size // len(node.output))
        given = [each] * (len(node.output) - 1)
        given.append(size - sum(given))
    return list(given or ())

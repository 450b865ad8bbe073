"""What Slice, Split and SequenceAt take of a value, where that is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.graph import attribute, is_standard

WHOLE = 2**31 - 1  # from which on the end of a Slice means the end of the axis
_SLICE_TAKES_INPUTS = 10  # since this opset


@dataclass(frozen=True)
class Element:
    """A value of a SplitToSequence: where it begins, and its size; 0: the axis goes."""

    axis: int
    start: int
    size: int


def data_of(constants: Constants, node: Any) -> str:
    """The value that a node moves: of an element of a list, what was split into the list.

    Of a choice that is always the same, what is chosen.
    """
    if node.op_type == "SequenceAt":
        split = constants.graph.makers.get(node.input[0])
        if split is not None and is_standard(split, "SplitToSequence"):
            return str(split.input[0])
    if node.op_type == "Where":
        chosen = always(constants, node)
        return str(node.input[2 if chosen is False else 1])
    return str(node.input[0])


def always(constants: Constants, node: Any) -> bool | None:
    """What the condition of a Where is at every place; None: it is computed, or differs."""
    value = constants.value(node.input[0])
    if value is None or not value.size or value.any() != value.all():
        return None
    return bool(value.all())


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

    @property
    def whole(self) -> bool:
        """Whether it takes all of the axis, however long that is."""
        return self.start == 0 and self.end >= WHOLE and self.step == 1


def slice_bounds(constants: Constants, node: Any) -> Bounds | None:
    """What a Slice takes; None: of several axes, or it is computed.

    Axes that stay whole do not count, as TensorFlow's slices name every axis.
    """
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
    if not starts or not ends:
        return None
    listed = zip(axes or range(len(starts)), starts, ends, steps or [1] * len(starts), strict=False)
    bounds = [Bounds(*each) for each in listed]
    taken = [each for each in bounds if not each.whole]
    if len(bounds) > 1 and len(taken) > 1:
        return None
    return (taken or bounds)[0]


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

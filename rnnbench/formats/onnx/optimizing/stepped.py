"""What a step of a Scan or Loop reads, as a part of a value outside of it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.algebra.views import View
from rnnbench.formats.onnx.optimizing.graph import attribute, is_standard
from rnnbench.formats.onnx.optimizing.loops import Loop, Slice
from rnnbench.formats.onnx.optimizing.sequences import NoSequenceError, Run

_COUNTS = ("Unsqueeze", "Squeeze", "Reshape", "Cast", "Identity")


class Stepped:
    """The values of a step.

    Args:
        forms: of the loop's body.
        loop: the loop.
        same: value inside -> value before the loop that every step hands on as it is.
        cells: the hidden states of the cells of a step.
    """

    def __init__(
        self, forms: Forms, loop: Loop, same: Mapping[str, str], cells: Container[str]
    ) -> None:
        self._forms, self._loop, self._same, self._cells = forms, loop, same, cells

    def run(self, view: View) -> Run:
        """What a view is of the values outside.

        Raises:
            NoSequenceError: it is computed in each step.
        """
        root = view.root
        if root in self._cells:
            if view.fixed or view.flipped:
                raise NoSequenceError(f"a cell reads a part of {root}")
            return Run(view, of=root)
        part = self._loop.slices.get(root) or self._gathered(root)
        if part is not None:
            return _along(view, part, self._keeps(root))
        body = self._loop.body
        if root in self._same:
            return Run(View(self._same[root], view.axes, view.fixed, view.flipped))
        if root in body.makers or root in body.inputs:
            raise NoSequenceError(f"it is fed {root}, which is computed in each step")
        return Run(view)

    def _gathered(self, root: str) -> Slice | None:
        """One step of a sequence, by the number of the step."""
        node = self._loop.body.makers.get(root)
        if node is None or not self._loop.counter or not is_standard(node, "Gather"):
            return None
        sequence = self._same.get(node.input[0], node.input[0])
        inside = sequence in self._loop.body.makers or sequence in self._loop.body.inputs
        way = self._direction(node.input[1])
        rank = self._loop.body.rank(node.input[0])
        if inside or way is None or rank is None:
            return None
        return Slice(sequence, attribute(node, "axis", 0) % rank, way)

    def _keeps(self, root: str) -> bool:
        """Whether the axis along which the steps go stays, with a size of 1."""
        node: Any = self._loop.body.makers.get(root)
        return node is not None and self._loop.body.rank(node.input[1]) == 1

    def _direction(self, index: str) -> bool | None:
        """Whether an index counts down; None: it does not count the steps."""
        body = self._loop.body
        for _ in range(8):
            if index == self._loop.counter:
                return False
            node = body.makers.get(index)
            if node is None:
                return None
            if is_standard(node, "Sub"):
                return True if self._direction(node.input[1]) is False else None
            if is_standard(node, "Add") and body.numbers(node.input[1]) == [0]:
                index = node.input[0]
                continue
            if not is_standard(node, *_COUNTS):
                return None
            index = node.input[0]
        return None


def _along(view: View, part: Slice, keeps: bool) -> Run:
    """A view of one step as one of the sequence, its time picked."""

    def outside(axis: int) -> int | None:
        if keeps:
            return None if axis == part.axis else axis
        return axis if axis < part.axis else axis + 1

    axes = tuple(None if a is None else outside(a) for a in view.axes)
    fixed = [(outside(a), place) for a, place in view.fixed]
    flipped = frozenset(o for a in view.flipped if (o := outside(a)) is not None)
    kept = [(a, place) for a, place in fixed if a is not None]
    picked = tuple(sorted([*kept, (part.axis, 0)]))
    return Run(View(part.sequence, axes, picked, flipped), part.axis, reverse=part.reverse)

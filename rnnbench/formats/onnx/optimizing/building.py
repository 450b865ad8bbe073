"""Adds nodes to a graph, and brings axes into an order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.graph import Array, Graph

Label = str | None
"""What an axis is: `time`, `batch`, `feature`, `direction`; None: it is of size 1."""

_SLICE_TAKES_INPUTS = 10
AXES_ARE_INPUTS = 13  # of Squeeze and Unsqueeze, since this opset


class Builder:
    """Adds nodes at one place of a graph, with names that nothing else has.

    Args:
        graph: where.
        anchor: the node before which they come.
        stem: the beginning of their names.
    """

    def __init__(self, graph: Graph, anchor: Any, stem: str) -> None:
        self.graph, self.anchor, self.stem = graph, anchor, stem
        self.made: list[str] = []
        self._constants: dict[bytes, str] = {}

    def __call__(
        self, kind: str, inputs: Sequence[str], output: str = "", outputs: int = 1, **given: Any
    ) -> str:
        """A node; the name of its first output.

        Args:
            kind: the operator.
            inputs: names; empty where one is left out.
            output: a name that it has to have.
            outputs: how many it has.
            **given: attributes.
        """
        return self.node(kind, inputs, [output] + [""] * (outputs - 1), **given)[0]

    def node(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **given: Any
    ) -> list[str]:
        """A node with the names of all its outputs; an empty one gets a name."""
        from onnx import helper

        name = self.graph.new_name(f"{self.stem}/{kind}")
        names = [o or self.graph.new_name(f"{name}_output_{i}") for i, o in enumerate(outputs)]
        listed = list(inputs)
        while listed and not listed[-1]:
            listed.pop()
        self.graph.add(helper.make_node(kind, listed, names, name=name, **given), self.anchor)
        self.made.append(kind)
        return names

    def constant(self, array: Array, stem: str = "") -> str:
        """An initializer; small equal ones are one."""
        key = repr((array.shape, array.dtype, array.tobytes())).encode()
        if key not in self._constants:
            self._constants[key] = self.graph.constant(f"{self.stem}/{stem or 'constant'}", array)
        return self._constants[key]

    def whole(self, *numbers: int) -> str:
        """A constant vector of whole numbers."""
        return self.constant(np.array(numbers, np.int64), "numbers")

    def resized(self, kind: str, value: str, axes: Sequence[int], output: str = "") -> str:
        """Squeeze or Unsqueeze."""
        if not axes:
            return value
        if self.graph.opset < AXES_ARE_INPUTS:
            return self(kind, [value], output, axes=list(axes))
        return self(kind, [value, self.whole(*axes)], output)

    def slice(self, value: str, axis: int, start: int, end: int, step: int = 1) -> str:
        """A range of an axis."""
        if self.graph.opset < _SLICE_TAKES_INPUTS:
            last = min(end, 2**31 - 1)
            return self("Slice", [value], starts=[start], ends=[last], axes=[axis])
        bounds = [self.whole(n) for n in (start, end, axis, step)]
        return self("Slice", [value, *bounds])

    def gather(self, value: str, axis: int, index: int, output: str = "") -> str:
        """One place of an axis, which goes."""
        made = self("Gather", [value, self.constant(np.array(index, np.int64))], output, axis=axis)
        known = self.graph.shape(value)
        if known is not None:
            self.graph.shapes.setdefault(made, (*known[:axis], *known[axis + 1 :]))
        return made

    def size_of(self, value: str, axis: int) -> str:
        """The size of an axis, as a vector of one number."""
        return self("Gather", [self("Shape", [value]), self.whole(axis)], axis=0)

    def arrange(
        self, value: str, have: Sequence[Label], want: Sequence[Label], output: str = ""
    ) -> str:
        """Brings axes into an order: those that are not wanted go, and are of size 1.

        (direction, batch, feature) -> (batch, feature) is a Squeeze.
        """
        made = self._arranged(value, have, want, output)
        self.graph.shapes.setdefault(made, (None,) * len(want))
        return made

    def _arranged(
        self, value: str, have: Sequence[Label], want: Sequence[Label], output: str
    ) -> str:
        drop = [i for i, label in enumerate(have) if label is None or label not in want]
        left = [label for label in have if label is not None and label in want]
        goal = [label for label in want if label is not None and label in left]
        add = [i for i, label in enumerate(want) if label is None or label not in left]
        steps = [bool(drop), left != goal, bool(add)]
        last = max((i for i, needed in enumerate(steps) if needed), default=-1)
        if last < 0:
            return self("Identity", [value], output) if output else value
        if steps[0]:
            value = self.resized("Squeeze", value, drop, output if last == 0 else "")
            self.graph.shapes.setdefault(value, (None,) * len(left))
        if steps[1]:
            perm = [left.index(label) for label in goal]
            value = self("Transpose", [value], output if last == 1 else "", perm=perm)
            self.graph.shapes.setdefault(value, (None,) * len(left))
        if steps[2]:
            value = self.resized("Unsqueeze", value, add, output)
        return value

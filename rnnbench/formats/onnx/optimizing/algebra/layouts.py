"""Which axes of which value a value has, through nodes that only move them; see `views.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rnnbench.formats.onnx.inference import Shape
from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.algebra.slicing import (
    WHOLE,
    always,
    data_of,
    element_of,
    slice_bounds,
    split_sizes,
)
from rnnbench.formats.onnx.optimizing.algebra.views import Move, View, apply, compose
from rnnbench.formats.onnx.optimizing.graph import Graph, attribute, is_standard

_DEEPEST = 8  # Concats in one another
_LENGTHS = 4  # the place of a layer's lengths among its inputs

MOVES = (
    *("Identity", "Transpose", "Unsqueeze", "Squeeze", "Gather", "Slice", "Split", "Reshape"),
    *("SequenceAt", "GatherND", "Cast", "ReverseSequence", "Where"),
)


class Layouts:
    """The views of a graph's values, worked out on demand."""

    def __init__(self, graph: Graph, constants: Constants) -> None:
        self.graph, self.constants = graph, constants
        self._known: dict[str, View | None] = {}

    def view(self, name: str) -> View | None:
        """A value as a view of what other nodes make; None where its rank is unknown."""
        chain = []
        at = name
        while at not in self._known:
            node = self.graph.makers.get(at)
            if node is None or not is_standard(node, *MOVES) or self.graph.is_constant(at):
                self._known[at] = self._own(node, at)
                break
            chain.append((at, node))
            at = data_of(self.constants, node)
        for output, node in reversed(chain):
            before = self._known[data_of(self.constants, node)]
            move = self.move(node, output)
            after = apply(move, before) if move and before else None
            after = self._of_part(after) if after is not None else None
            if after is None:
                rank = self.graph.rank(output)
                after = None if rank is None else View(output, (*range(rank),))
            self._known[output] = after
        return self._known[name]

    def _of_part(self, view: View) -> View:
        """A place of values that were put together is a place of one of them."""
        for _ in range(_DEEPEST):
            node = self.graph.makers.get(view.root)
            if node is None or not is_standard(node, "Concat"):
                break
            rank = self.graph.rank(view.root) or 1
            axis = attribute(node, "axis", 0) % rank
            place = dict(view.fixed).get(axis)
            part = None if place is None else self._part(node, axis, place)
            if part is None:
                break
            rest = tuple(sorted({*view.fixed} - {(axis, place)} | {(axis, part[1])}))
            inner = self.view(part[0])
            composed = None if inner is None else compose(replace(view, fixed=rest), inner)
            if composed is None:
                break
            view = composed
        return view

    def _part(self, node: Any, axis: int, place: int) -> tuple[str, int] | None:
        """The input of a Concat that a place is of, and the place in that."""
        begin = 0
        for name in node.input:
            size = (self.graph.shape(name) or (None,) * (axis + 1))[axis]
            if not isinstance(size, int) or place < 0:
                return None
            if place < begin + size:
                return name, place - begin
            begin += size
        return None

    def _own(self, node: Any, name: str) -> View | None:
        """A value that some node makes, as it is.

        All steps of a layer of one step, (1, 1, batch, hidden), are its last state; the last state
        of any other layer of one direction is one of its steps, where it gives these.
        """
        rank = self.graph.rank(name)
        own = None if rank is None else View(self.graph.original(name), (*range(rank),))
        if node is None or not is_standard(node, "RNN", "GRU", "LSTM"):
            return own
        y, y_h = (*node.output, "", "")[:2]
        x = self.view(node.input[0])
        single = x is not None and len(x.axes) == 3 and x.axes[0] is None
        if single and name == y and y_h:
            return View(y_h, (None, 0, 1, 2))
        direction = attribute(node, "direction", "forward")
        if single or name != y_h or not y or direction == "bidirectional":
            return own
        if attribute(node, "layout", 0) or (len(node.input) > _LENGTHS and node.input[_LENGTHS]):
            return own
        return View(y, (1, 2, 3), ((0, 0 if direction == "reverse" else -1),))

    def move(self, node: Any, output: str) -> Move | None:
        """What a node does to the axes of its first input; None: it does more than that."""
        if node.op_type in ("Identity", "Cast"):  # a Cast to the type that it has
            same = self.graph.types.get(node.input[0]) == attribute(node, "to")
            return ("keep",) if same or node.op_type == "Identity" else None
        rank = self.graph.rank(data_of(self.constants, node))
        if rank is None or not is_standard(node, *MOVES):
            return None
        return _PICKS[node.op_type](self, node, output, rank)

    def _turned(self, node: Any, output: str, rank: int) -> Move:
        return ("turn", tuple(attribute(node, "perm") or reversed(range(rank))))

    def _resized(self, node: Any, output: str, rank: int) -> Move | None:
        axes = attribute(node, "axes")
        if axes is None and len(node.input) > 1:
            axes = self.constants.numbers(node.input[1])
        if axes is None and node.op_type == "Squeeze":
            shape = self.graph.shape(node.input[0]) or ()
            axes = [i for i, n in enumerate(shape) if n == 1]
        if axes is None:
            return None
        full = rank + (len(axes) if node.op_type == "Unsqueeze" else 0)
        placed = tuple(sorted(a % full for a in axes))
        return ("add" if node.op_type == "Unsqueeze" else "drop", placed)

    def _reshaped(self, node: Any, output: str, rank: int) -> Move | None:
        """Where only sizes of 1 come and go."""
        before, after = self.graph.shape(node.input[0]), self.graph.shape(output)
        target = self.constants.numbers(node.input[1]) if len(node.input) > 1 else None
        if before is None or (after is None and target is None):
            return None
        if target is not None and (after is None or any(n is None for n in after)):
            after = tuple(
                before[i] if n == 0 and i < len(before) else (None if n == -1 else n)
                for i, n in enumerate(target)
            )
        assert after is not None
        old = [i for i, n in enumerate(before) if n != 1]
        new = [i for i, n in enumerate(after) if n != 1]
        unknown = sum(after[i] is None for i in new)
        same = len(old) == len(new) and all(
            before[i] == after[j] or after[j] is None for i, j in zip(old, new, strict=True)
        )
        if not same or unknown > 1:
            return None
        return ("fit", tuple(old), tuple(new), len(after))

    def _gathered(self, node: Any, output: str, rank: int) -> Move | None:
        axis = attribute(node, "axis", 0) % rank
        index = self.constants.value(node.input[1])
        if index is None or index.dtype.kind not in "iu":
            place = self._from_the_end(node.input[1], node.input[0], axis)
            keeps = self.graph.rank(node.input[1])
            return None if place is None or keeps is None else ("pick", axis, place, keeps == 1)
        if index.size != 1 or index.ndim > 1:
            return None
        place = self._counted(node.input[0], axis, int(index.ravel()[0]))
        return ("pick", axis, place, index.ndim == 1)

    def _gathered_by_rows(self, node: Any, output: str, rank: int) -> Move | None:
        """One place of the first axis, as PyTorch's exporter writes `x[[3]]`."""
        index = self.constants.value(node.input[1])
        if index is None or attribute(node, "batch_dims", 0) or index.shape not in ((1,), (1, 1)):
            return None
        place = self._counted(node.input[0], 0, int(index.ravel()[0]))
        return ("pick", 0, place, index.ndim > 1)

    def _from_the_end(self, index: str, data: str, axis: int) -> int | None:
        """An index that is counted back from a size of what it picks from: below 0."""
        found = self._size_and_more(index)
        if found is None or found[1] >= 0:
            return None
        shape = self.graph.shape(data) or ()
        same = len(shape) > axis and shape[axis] is not None and shape[axis] == found[0]
        return found[1] if same else None

    def _size_and_more(self, name: str) -> tuple[str, int] | None:
        """A name of a size, and what is added to it."""
        node = self.graph.makers.get(name)
        if node is None:
            return None
        if is_standard(node, "Add", "Sub"):
            second = self.constants.numbers(node.input[1])
            first = self._size_and_more(node.input[0])
            if first is None or second is None or len(second) != 1:
                return None
            return first[0], first[1] + (second[0] if node.op_type == "Add" else -second[0])
        if is_standard(node, "Cast", "Squeeze", "Unsqueeze", "Reshape", "Identity"):
            return self._size_and_more(node.input[0])
        shaped = self.graph.makers.get(node.input[0]) if node.input else None
        place = self.constants.numbers(node.input[1]) if len(node.input) > 1 else None
        if not is_standard(node, "Gather") or shaped is None or place is None or len(place) != 1:
            return None
        shape = self.graph.shape(shaped.input[0]) if is_standard(shaped, "Shape") else None
        size = shape[place[0]] if shape else None
        return (size, 0) if isinstance(size, str) else None

    def _sliced(self, node: Any, output: str, rank: int) -> Move | None:
        bounds = slice_bounds(self.constants, node)
        if bounds is None:
            return None
        axis, start, end = bounds.axis % rank, bounds.start, bounds.end
        size = (self.graph.shape(node.input[0]) or ())[axis]
        if bounds.step == -1 and start in (-1, WHOLE) and end < -WHOLE:
            return ("flip", axis)
        if bounds.step != 1:
            return None
        if isinstance(size, int):
            start, end, _ = slice(start, end).indices(size)
            if (start, end) == (0, size) and size != 1:
                return ("keep",)
        elif start == 0 and end >= WHOLE:
            return ("keep",)
        single = end == start + 1 or (start == -1 and end >= WHOLE)
        return ("pick", axis, start, True) if single else None

    def _reversed(self, node: Any, output: str, rank: int) -> Move | None:
        """Where all rows are turned around whole, as TensorFlow's converter writes it."""
        time, batch = attribute(node, "time_axis", 0), attribute(node, "batch_axis", 1)
        shape = self.graph.shape(node.input[0]) or ()
        size = shape[time] if len(shape) > time else None
        lengths = self.constants.numbers(node.input[1])
        if lengths is not None and isinstance(size, int):
            return ("flip", time) if {*lengths} == {size} else None
        filled = self.graph.makers.get(node.input[1])
        if filled is None or not is_standard(filled, "Expand", "Tile"):
            return None
        return ("flip", time) if self._is_size(filled.input[0], shape, time, batch) else None

    def _is_size(self, name: str, shape: Shape, axis: int, other: int) -> bool:
        """Whether a number is the size of an axis, and not of another that may have the same."""
        known = self.constants.numbers(name)
        if known is not None:
            return len(known) == 1 and known[0] == shape[axis] != shape[other]
        found = self._size_and_more(name)
        return found == (shape[axis], 0) and shape[axis] != shape[other]

    def _chosen(self, node: Any, output: str, rank: int) -> Move | None:
        """Where the choice is always the same, and what is chosen is not repeated."""
        if always(self.constants, node) is None:
            return None
        own = self.graph.shape(data_of(self.constants, node)) or ()
        others = [self.graph.shape(name) for name in node.input]
        for other in others:
            pairs = zip(reversed(own), reversed(other or ()), strict=False)
            if other is None or len(other) > rank or any(a == 1 != b for a, b in pairs):
                return None
        return ("keep",)

    def _split(self, node: Any, output: str, rank: int) -> Move | None:
        axis = attribute(node, "axis", 0) % rank
        shape = self.graph.shape(node.input[0]) or ()
        sizes = split_sizes(self.constants, node, shape[axis])
        place = list(node.output).index(output)
        if not sizes or sizes[place] != 1:
            return None
        return ("pick", axis, sum(sizes[:place]), True)

    def _element(self, node: Any, output: str, rank: int) -> Move | None:
        """One of the values that a SplitToSequence gives."""
        part = element_of(self.constants, node)
        if part is None or part.size not in (0, 1):
            return None
        return ("pick", part.axis % rank, part.start, part.size == 1)

    def _counted(self, name: str, axis: int, index: int) -> int:
        """An index from the start, where the size is known."""
        size = (self.graph.shape(name) or ())[axis]
        return index + size if index < 0 and isinstance(size, int) else index


_PICKS = {
    "Transpose": Layouts._turned,
    "Unsqueeze": Layouts._resized,
    "Squeeze": Layouts._resized,
    "Reshape": Layouts._reshaped,
    "Gather": Layouts._gathered,
    "GatherND": Layouts._gathered_by_rows,
    "Slice": Layouts._sliced,
    "Split": Layouts._split,
    "SequenceAt": Layouts._element,
    "ReverseSequence": Layouts._reversed,
    "Where": Layouts._chosen,
}

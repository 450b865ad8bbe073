"""What every step computes by itself leaves the steps: one node over the whole sequence.

    x -> Gather(0) -> Relu -> a0        x -> Relu -> Gather(0) -> a0
    x -> Gather(1) -> Relu -> a1   ->             -> Gather(1) -> a1

It is done where a recurrence is fed such values, or where they are made of its states and joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.algebra.layouts import Layouts
from rnnbench.formats.onnx.optimizing.algebra.slicing import slice_bounds
from rnnbench.formats.onnx.optimizing.algebra.views import View
from rnnbench.formats.onnx.optimizing.building import Builder, Label
from rnnbench.formats.onnx.optimizing.chains import Chain
from rnnbench.formats.onnx.optimizing.graph import Graph, attribute, is_standard
from rnnbench.formats.onnx.optimizing.joining import Column, direction_of

_POINTWISE = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Sum", "Min", "Max", "Relu", "Sigmoid", "Tanh", "Abs"),
    *("Neg", "Exp", "Log", "Sqrt", "Erf", "Clip", "LeakyRelu", "Elu", "Selu", "Gelu", "Cast"),
    *("HardSigmoid", "HardSwish", "Softplus", "Softsign", "Where", "Reciprocal", "Identity"),
)
_ALONG_FEATURES = ("Concat", "Softmax", "LogSoftmax", "LayerNormalization", "Split")
_DEEPEST = 24


class Hoister:
    """Moves nodes of a graph that has been analysed; it is analysed anew behind that.

    Args:
        graph: of the file.

    Attributes:
        exact: (value, axis) -> the places that are read.
        origins: value that is new -> what it is of, and which axis of that each of its axes is.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._constants = Constants(graph)
        self._layouts = Layouts(graph, self._constants)
        self._made: dict[Column, str] = {}
        self._moved: dict[tuple[str, tuple[int | None, ...], tuple[Any, ...]], str] = {}
        self.suspects: list[str] = []
        self.changed = False
        self.exact: dict[tuple[str, int], int] = {}
        self.origins: dict[str, tuple[str, tuple[int | None, ...]]] = {}

    def can(self, column: Column, depth: int = 0) -> bool:
        """Whether a column is computed in each step by the same nodes out of sequences."""
        if depth > _DEEPEST or len(set(column)) < len(column):
            return False
        if self._root(column) is not None:
            return True
        nodes = self._nodes(column)
        return nodes is not None and all(
            self._same(inputs) or self.can(inputs, depth + 1) for inputs in self._inputs(nodes)
        )

    def hoist(self, column: Column) -> None:
        """Puts nodes over the whole sequence in the place of those of a column that can be."""
        if self._root(column) is None and column not in self._made:
            self._whole(column)

    def finish(self) -> bool:
        """Puts the nodes in their places; whether there were any."""
        if self.changed:
            self._graph.commit()
            self._graph.sweep(self.suspects)
        return self.changed

    def _root(self, column: Column) -> tuple[View, int] | None:
        """The sequence that a column is of, and its axis, if it takes one place after another."""
        views = [self._layouts.view(name) for name in column]
        found = [v for v in views if v is not None]
        if len(found) < len(column) or len({(v.root, v.axes, v.flipped) for v in found}) > 1:
            return None
        moving = {axis for v in found for axis, _ in {*v.fixed} ^ {*found[0].fixed}}
        if len(moving) != 1 or found[0].flipped:
            return None
        (axis,) = moving
        places = [dict(v.fixed)[axis] for v in found]
        return (found[0], axis) if direction_of(places) is not None else None

    def _nodes(self, column: Column) -> list[Any] | None:
        """The nodes of a column, if they are the same but for what they read."""
        nodes = [self._graph.makers.get(name) for name in column]
        if any(n is None for n in nodes):
            return None
        found: list[Any] = nodes
        first = found[0]
        rank = self._graph.rank(column[0])
        if rank is None or not rank:
            return None
        alike = all(
            n.op_type == first.op_type
            and n.domain == first.domain
            and len(n.input) == len(first.input)
            and list(n.output).index(c) == list(first.output).index(column[0])
            and sorted(a.SerializeToString() for a in n.attribute)
            == sorted(a.SerializeToString() for a in first.attribute)
            for n, c in zip(found, column, strict=True)
        )
        return found if alike and self._is_liftable(first, rank) else None

    def _is_liftable(self, node: Any, rank: int) -> bool:
        """Whether a node does the same to each step, also where they lie side by side."""
        if is_standard(node, *_POINTWISE):
            return not any(a.HasField("g") for a in node.attribute)
        if is_standard(node, *_ALONG_FEATURES):
            default = 0 if is_standard(node, "Split") else -1
            return bool(attribute(node, "axis", default) % rank == rank - 1)
        if is_standard(node, "Slice"):
            bounds = slice_bounds(self._constants, node)
            return bounds is not None and bounds.axis % rank == rank - 1
        if is_standard(node, "Gather"):  # rows of a table
            return self._constants.is_fixed(node.input[0]) and attribute(node, "axis", 0) == 0
        return is_standard(node, "MatMul", "Gemm") and self._is_product(node)

    def _is_product(self, node: Any) -> bool:
        """Whether it is a product with a constant matrix, and a constant bias."""
        matrix = self._constants.is_fixed(node.input[1]) and self._graph.rank(node.input[1]) == 2
        if is_standard(node, "MatMul") or not matrix:
            return matrix
        plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0
        biased = len(node.input) < 3 or self._constants.is_fixed(node.input[2])
        return plain and biased and not attribute(node, "transA", 0)

    def _inputs(self, nodes: Sequence[Any]) -> list[Column]:
        """What the nodes of a column read, column by column; what is left out is none."""
        return [
            tuple(n.input[i] for n in nodes)
            for i in range(len(nodes[0].input))
            if any(n.input[i] for n in nodes)
        ]

    def _same(self, column: Column) -> bool:
        """Whether every step reads the same."""
        if len(set(column)) == 1:
            return True
        if not all(self._constants.is_fixed(name) for name in column):
            return False
        values = [self._constants.value(name) for name in column]
        first = values[0]
        return first is not None and all(
            v is not None and v.dtype == first.dtype and np.array_equal(v, first) for v in values
        )

    def _whole(self, column: Column) -> str:
        """All steps of a column, (time, and what a step has)."""
        if column in self._made:
            return self._made[column]
        found = self._root(column)
        if found is not None:
            return self._in_front(*found, column)
        nodes = self._nodes(column)
        assert nodes is not None
        first = nodes[0]
        rank = self._graph.rank(column[0]) or 0
        columns = [tuple(n.input[i] for n in nodes) for i in range(len(first.input))]
        inputs = [self._input(column_, rank, first) for column_ in columns]
        build = Builder(self._graph, first, first.name or column[0])
        whole = self._node(build, first, inputs, list(first.output).index(column[0]))
        self._made[column] = whole
        self._graph.shapes[whole] = (None, *(self._graph.shape(column[0]) or ()))
        known = [self.origins[i] for i in inputs if i in self.origins]
        if known:  # the features aside, the axes are those of what it is computed of
            root, axes = max(known, key=lambda origin: len(origin[1]))
            self.origins[whole] = root, (*axes[:-1], None)
        backwards = self._is_backwards(nodes)
        for t, name in enumerate(column):
            build.gather(whole, 0, -1 - t if backwards else t, name)
        self.changed = True
        self.suspects += [i for n in nodes for i in n.input if i]
        self._graph.drop(column)
        return whole

    def _is_backwards(self, nodes: Sequence[Any]) -> bool:
        """Whether the first step of a column takes the last place."""
        for inputs in self._inputs(nodes):
            if self._same(inputs):
                continue
            found = self._root(inputs)
            if found is None:
                inner = self._nodes(inputs)
                return inner is not None and self._is_backwards(inner)
            _, axis = found
            views = [self._layouts.view(name) for name in inputs]
            return bool(direction_of([dict(v.fixed)[axis] for v in views if v is not None]))
        return False

    def _input(self, column: Column, rank: int, node: Any) -> str:
        """What the node over all steps reads; a step of fewer axes gets those of size 1."""
        if not column[0] or self._same(column):
            return column[0]
        whole = self._whole(column)
        own = self._graph.rank(column[0]) or 0
        missing = rank - own if is_standard(node, *_POINTWISE) else 0
        build = Builder(self._graph, node, node.name or node.output[0])
        return build.resized("Unsqueeze", whole, [*range(1, 1 + missing)]) if missing > 0 else whole

    def _node(self, build: Builder, node: Any, inputs: list[str], output: int) -> str:
        given = {a.name: attribute(node, a.name) for a in node.attribute}
        if is_standard(node, *_ALONG_FEATURES):
            given["axis"] = -1
        if is_standard(node, "Gemm"):
            return self._product(build, node, inputs)
        if is_standard(node, "Slice"):
            bounds = slice_bounds(self._constants, node)
            assert bounds is not None
            return build.slice(inputs[0], -1, bounds.start, bounds.end, bounds.step)
        return build.node(node.op_type, inputs, [""] * len(node.output), **given)[output]

    def _product(self, build: Builder, node: Any, inputs: list[str]) -> str:
        """A Gemm of more than two axes: a MatMul and an Add."""
        weight = inputs[1]
        if attribute(node, "transB", 0):
            value = self._constants.value(weight)
            assert value is not None
            weight = build.constant(np.ascontiguousarray(value.T), "weight")
        made = build("MatMul", [inputs[0], weight])
        return build("Add", [made, inputs[2]]) if len(inputs) > 2 and inputs[2] else made

    def _in_front(self, view: View, axis: int, column: Column) -> str:
        """A sequence with its time in front, and the other axes as a step has them."""
        key = (view.root, view.axes, tuple(f for f in view.fixed if f[0] != axis))
        places = [dict(v.fixed)[axis] for v in map(self._layouts.view, column) if v is not None]
        self.exact[view.root, axis] = max(max(places) + 1, -min(places))
        if key not in self._moved:
            maker = self._graph.makers[column[0]]
            build = Builder(self._graph, maker, f"{view.root}_steps")
            value, order = view.root, [*range(self._graph.rank(view.root) or 0)]
            for other, place in reversed(view.fixed):
                if other != axis:
                    value = build.gather(value, other, place)
                    order.remove(other)
            have: list[Label] = [str(a) for a in order]
            want: list[Label] = [str(axis), *(None if a is None else str(a) for a in view.axes)]
            self._moved[key] = build.arrange(value, have, want)
            if self._moved[key] != view.root:
                self.origins[self._moved[key]] = view.root, (axis, *view.axes)
        return self._moved[key]


def fed_columns(forms: Forms, chain: Chain) -> list[Column]:
    """What a chain is fed, step by step, where it is no sequence yet."""
    found = []
    for i in range(len(chain.weights.inputs)):
        column = tuple(forms.sources[step.fed[i]].root for step in chain.steps)
        if len(set(column)) == len(column):
            found.append(column)
    return found

"""Adds nodes to a graph or a body, with names that nothing else has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import add_initializer

Array = np.ndarray[Any, Any]


class Maker:
    """Makes nodes one behind the other.

    Attributes:
        root: the outermost graph, which holds the initializers.
        opset: of the standard operators.
    """

    def __init__(
        self, node: ir.Node, model: ir.Model, put: Callable[[ir.Node], object] | None = None
    ) -> None:
        """Makes them before a node.

        Args:
            node: in whose place they stand; they have names like its own, and its origin.
            model: that it is in, however deep.
            put: takes what is made instead.
        """
        graph = node.graph
        assert graph is not None
        self._model, self.root = model, model.graph
        self.opset = model.opset_imports.get("", 18)
        self._node = node
        self._put = put or (lambda made: graph.insert_before(node, made))
        self._numbers: Iterator[int] = itertools.count()

    def inside(self, nodes: list[ir.Node]) -> Maker:
        """Makes nodes of a body, which has names of its own."""
        found = Maker(self._node, self._model, nodes.append)
        found._numbers = self._numbers
        return found

    def behind(self) -> Maker:
        """Makes nodes behind its node, in their order."""
        last = [self._node]

        def put(made: ir.Node) -> None:
            assert last[-1].graph is not None
            last[-1].graph.insert_after(last[-1], made)
            last.append(made)

        found = Maker(self._node, self._model, put)
        found._numbers = self._numbers
        return found

    def __call__(self, op: str, inputs: Sequence[ir.Value | None], **attributes: Any) -> ir.Value:
        """A node with one output."""
        return self.several(op, inputs, 1, **attributes)[0]

    def several(
        self, op: str, inputs: Sequence[ir.Value | None], outputs: int, **attributes: Any
    ) -> list[ir.Value]:
        """A node with several outputs."""
        made = ir.node(op, inputs, attributes=attributes, num_outputs=outputs)
        made.name = f"{self._node.name}_{op}_w{next(self._numbers)}"
        for i, value in enumerate(made.outputs):
            value.name = f"{made.name}_{i}"
        made.metadata_props.update(self._node.metadata_props)
        self._put(made)
        return list(made.outputs)

    def name(self, what: str) -> str:
        """A name for a value of a body."""
        return f"{self._node.name}_{what}_w{next(self._numbers)}"

    def constant(self, array: Array) -> ir.Value:
        """An initializer; equal ones of a few numbers are the same."""
        different = np.unique(array) if array.size > 4 else array.reshape(-1)
        digits = "_".join(f"{number:g}" for number in different[:4])
        sizes = "x".join(map(str, array.shape)) or "scalar"
        return self.shared(f"const_{array.dtype}_{sizes}_{digits}", array)

    def shared(self, name: str, array: Array) -> ir.Value:
        """An initializer of a name; the one that is there, where it has the same numbers."""
        unique, n = name, 1
        while unique in self.root.initializers:
            known = self.root.initializers[unique]
            held = known.const_value.numpy() if known.const_value is not None else None
            if held is not None and held.dtype == array.dtype and np.array_equal(held, array):
                return known
            unique, n = f"{name}_{n}", n + 1
        return add_initializer(self.root, unique, array)

    def reduced(self, op: str, value: ir.Value) -> ir.Value:
        """Over the last axis, which stays; from opset 18 on axes are an input."""
        if self.opset < 18:
            return self(op, [value], axes=[-1], keepdims=1)
        return self(op, [value, self.constant(np.array([-1]))], keepdims=1)

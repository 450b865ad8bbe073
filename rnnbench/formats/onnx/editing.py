"""Adds nodes to an ONNX graph, and takes others' places: what the rewrites for engines share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

_RECURRENT = ("RNN", "GRU", "LSTM")
_MADE = "nodes made beside it"


def all_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Those of the graph and of the bodies in it."""
    yield from ir.traversal.RecursiveGraphIterator(model.graph)


def recurrent_nodes(model: ir.Model) -> list[ir.Node]:
    """Every RNN, GRU and LSTM."""
    return [node for node in all_nodes(model) if node.op_type in _RECURRENT and not node.domain]


def direction_of(node: ir.Node) -> str:
    """`forward`, `reverse` or `bidirectional`."""
    given = node.attributes.get("direction")
    return "forward" if given is None else given.as_string()


def replace(old: ir.Value, new: ir.Value, but: tuple[ir.Node, ...] | list[ir.Node] = ()) -> None:
    """`new` stands for `old` everywhere (not in the nodes `but`), under its name."""
    name, new.shape, new.type = old.name, old.shape, old.type
    for node, index in list(old.uses()):
        if node not in but:
            node.replace_input_with(index, new)
    graph = old.graph
    if graph is not None and old.is_graph_output():
        for i, output in enumerate(list(graph.outputs)):
            if output is old:
                graph.outputs[i] = new
    old.name, new.name = f"{name}_before", name


class Adder:
    """Adds nodes before a node (or after it), with names that nothing else has."""

    def __init__(self, node: ir.Node, after: bool = False) -> None:
        assert node.graph is not None
        self.graph = node.graph
        self.at = node
        self.after = after
        self.made: list[ir.Node] = []
        self.root = outermost(self.graph)

    def __call__(self, kind: str, inputs: Sequence[ir.Value | None], **attributes: Any) -> ir.Value:
        """A node with one output."""
        made = ir.node(kind, inputs, attributes=attributes)
        return self._named(made).outputs[0]

    def node(
        self, kind: str, inputs: list[ir.Value | None], outputs: int, attributes: list[ir.Attr]
    ) -> ir.Node:
        """A node with several outputs."""
        return self._named(ir.Node("", kind, inputs, attributes, num_outputs=outputs))

    def insert(self, node: ir.Node) -> None:
        """A node that has its names."""
        if self.after:
            self.graph.insert_after(self.made[-1] if self.made else self.at, node)
        else:
            self.graph.insert_before(self.at, node)
        self.made.append(node)

    def constant(self, array: np.ndarray[Any, Any]) -> ir.Value:
        """An initializer of the outermost graph; equal ones are the same."""
        name = f"portable_{array.dtype}_{'x'.join(map(str, array.shape))}_{array.tobytes().hex()}"
        if array.nbytes > 16:
            name = self._unique("portable")
        known: ir.Value | None = self.root.initializers.get(name)
        if known is not None:
            return known
        return add_initializer(self.root, name, array)

    def part(self, value: ir.Value, index: int) -> ir.Value:
        """One element of the first axis, which stays."""
        if value.const_value is not None:
            return self.constant(value.const_value.numpy()[index : index + 1])
        bounds = [self.constant(np.array([n])) for n in (index, index + 1, 0)]
        return self("Slice", [value, *bounds])

    def _named(self, made: ir.Node) -> ir.Node:
        count = self.at.meta[_MADE] = self.at.meta.get(_MADE, 0) + 1  # by any adder of this node
        made.name = f"{self.at.name}_{made.op_type}_{count}"
        for i, value in enumerate(made.outputs):
            value.name = f"{made.name}_{i}"
        made.metadata_props.update(self.at.metadata_props)
        self.insert(made)
        return made

    def _unique(self, stem: str) -> str:
        n = len(self.root.initializers)
        while f"{stem}_{n}" in self.root.initializers:
            n += 1
        return f"{stem}_{n}"


def add_initializer(graph: ir.Graph, name: str, array: np.ndarray[Any, Any]) -> ir.Value:
    """An initializer of a name that the graph does not have yet."""
    return add_tensor(graph, name, tensor_of(array))


def tensor_of(array: np.ndarray[Any, Any]) -> ir.TensorProtocol:
    """A scalar stays one: numpy's ascontiguousarray makes a vector of it."""
    return ir.tensor(np.ascontiguousarray(array).reshape(array.shape))


def add_tensor(graph: ir.Graph, name: str, tensor: ir.TensorProtocol) -> ir.Value:
    """An initializer of a name that the graph does not have yet."""
    tensor.name = name
    made = ir.Value(
        name=name,
        shape=ir.Shape(tensor.shape.numpy()),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(made)
    return made


def outermost(graph: ir.Graph) -> ir.Graph:
    """The graph that a body is in, which holds the initializers."""
    parent = getattr(graph, "parent_node", None)
    while parent is not None and parent.graph is not None:
        graph = parent.graph
        parent = getattr(graph, "parent_node", None)
    return graph


def constant_of(value: ir.Value | None) -> np.ndarray[Any, Any] | None:
    """What a value always is; None where it is computed, or not there."""
    tensor = value.const_value if value is not None else None
    return None if tensor is None else tensor.numpy()

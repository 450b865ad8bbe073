"""A node as its operator is given it, and a body with the values that it sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import onnx

from rnnbench.inspection.evaluation.precision import Precision
from rnnbench.inspection.evaluation.weights import dense

if TYPE_CHECKING:
    from rnnbench.inspection.evaluation.graphs import Graph

Values = Sequence[Any]  # arrays, lists of them (sequences), None (absent)


@dataclass(frozen=True)
class Node:
    """What an operator is told of the node it computes.

    Attributes:
        op: the operator.
        domain: "" for ONNX's own.
        version: the opset of the domain that the file asks for.
        name: what a message calls the node.
        attributes: by name: numbers and texts as Python's, tensors as arrays.
        precision: what stands for float32.
        proto: the node.
    """

    op: str
    domain: str
    version: int
    name: str
    attributes: Mapping[str, Any]
    precision: Precision
    proto: Any = field(repr=False)

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or the default where the node has none."""
        return self.attributes.get(name, default)


@dataclass(frozen=True)
class Body:
    """A graph in a node, with the values of the graphs around it."""

    graph: Graph
    outer: Mapping[str, Any]

    def __call__(self, inputs: Values) -> list[Any]:
        """Its outputs, in order."""
        return self.graph.run(inputs, self.outer)


Operation = Callable[[Node, Values], Values]
Control = Callable[[Node, Values, Mapping[str, Body]], Values]


def padded(inputs: Values, count: int) -> list[Any]:
    """The inputs of a node, and None for those at the end that it does not name."""
    return [*inputs, *[None] * (count - len(inputs))]


def read_attributes(proto: Any, precision: Precision) -> dict[str, Any]:
    """The attributes of a node that are no graphs."""
    return {
        attribute.name: _value(attribute, precision)
        for attribute in proto.attribute
        if not attribute.HasField("g") and not attribute.graphs
    }


def _value(attribute: Any, precision: Precision) -> Any:
    kind = attribute.type
    if kind == onnx.AttributeProto.TENSOR:
        return precision.array(attribute.t)
    if kind == onnx.AttributeProto.SPARSE_TENSOR:
        sparse = attribute.sparse_tensor
        return dense(sparse, precision.array(sparse.values))
    value = onnx.helper.get_attribute_value(attribute)
    if kind == onnx.AttributeProto.STRING:
        return value.decode("utf-8", "replace")
    if kind == onnx.AttributeProto.STRINGS:
        return [text.decode("utf-8", "replace") for text in value]
    if kind in (onnx.AttributeProto.FLOATS, onnx.AttributeProto.INTS):
        return list(value)
    return value

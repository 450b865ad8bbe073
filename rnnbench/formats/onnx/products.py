"""Products with constant weights: as Gemm in the step of a Scan, as MatMul of a whole sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import Adder, constant_of

_PLAIN = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}


@dataclass(frozen=True)
class Product:
    """A Gemm of a value [rows, inner] with constant weights [columns, inner].

    Attributes:
        node: it.
        weights: those.
        bias: [columns] or [1, columns]; None where nothing constant is added.
    """

    node: ir.Node
    weights: np.ndarray
    bias: np.ndarray | None

    @property
    def name(self) -> str:
        """Of its weights."""
        value = self.node.inputs[1]
        return (value.name if value is not None else None) or "weights"

    @property
    def of(self) -> ir.Value:
        """What is multiplied."""
        value = self.node.inputs[0]
        assert value is not None
        return value

    @property
    def added(self) -> ir.Value | None:
        """What is added."""
        return self.node.inputs[2] if len(self.node.inputs) > 2 else None

    @property
    def out(self) -> ir.Value:
        """The result, [rows, columns]."""
        return self.node.outputs[0]


@dataclass(frozen=True)
class Outer:
    """A sequence [time, rows, columns] that is a product with constant weights.

    Attributes:
        of: what is multiplied, [time, rows, inner].
        weights: [inner, columns].
        bias: [columns], which is added; None where nothing is.
    """

    of: ir.Value
    weights: np.ndarray
    bias: np.ndarray | None


def product_of(node: ir.Node) -> Product | None:
    """The product that a node is; None where it is none, or something else is done with it."""
    if node.op_type != "Gemm" or node.domain or node.inputs[0] is None:
        return None
    for name, value in _PLAIN.items():
        given = node.attributes.get(name)
        usual = 0 if name == "transB" else value
        if (usual if given is None else given.value) != value:
            return None
    weights = constant_of(node.inputs[1])
    added = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant_of(added)
    columns = weights.shape[0] if weights is not None else 0
    if weights is None or (bias is not None and bias.shape not in ((columns,), (1, columns))):
        return None
    return Product(node, weights, bias)


def parts_of(value: ir.Value) -> list[tuple[ir.Value, int]] | None:
    """What a value [rows, columns] is put together of, each with its columns; None: not known."""
    node = value.producer()
    given = [value]
    if node is not None and node.op_type == "Concat" and not node.domain:
        if node.attributes["axis"].as_int() not in (1, -1):
            return None
        given = [each for each in node.inputs if each is not None]
    sizes = [columns_of(each) for each in given]
    if any(size is None for size in sizes):
        return None
    return [(each, size) for each, size in zip(given, sizes, strict=True) if size is not None]


def columns_of(value: ir.Value) -> int | None:
    """The second size of a value [rows, columns]; None where that is not known."""
    if value.shape is None or len(value.shape) != 2:
        return None
    size = value.shape[1]
    return size if isinstance(size, int) else None


def split_of(value: ir.Value | None, body: ir.Graph) -> list[ir.Value] | None:
    """The parts of [rows, columns] that a Split of its columns in `body` alone reads; else None."""
    uses = list(value.uses()) if value is not None else []
    if value is None or len(uses) != 1 or value.is_graph_output():
        return None
    node = uses[0][0]
    axis = node.attributes.get("axis")
    if node.op_type != "Split" or node.domain or node.graph is not body:
        return None
    if axis is None or axis.as_int() not in (1, -1):
        return None
    parts = list(node.outputs)
    return parts if all(columns_of(part) for part in parts) else None


def slices_of(add: Adder, value: ir.Value | None, columns: Sequence[int]) -> list[ir.Value]:
    """The parts of a sequence, so many columns each: Slice is the same in every opset."""
    ends = np.cumsum(columns)
    last = add.constant(np.array([-1]))
    found = []
    for size, end in zip(columns, ends, strict=True):
        bounds = [add.constant(np.array([int(n)])) for n in (end - size, end)]
        found.append(add("Slice", [value, *bounds, last]))
    return found


def are_alike(one: ir.Value, other: ir.Value) -> bool:
    """Whether two values have the same two sizes, so that neither is repeated."""
    if one.shape is None or other.shape is None or len(one.shape) != 2:
        return False
    return [str(size) for size in one.shape] == [str(size) for size in other.shape]


def outer_product(value: ir.Value | None) -> Outer | None:
    """What a sequence is made of where it is MatMul(x, W) or MatMul(x, W) + b, read here alone."""
    node = _made_for_one(value)
    bias = None
    if node is not None and node.op_type == "Add" and not node.domain:
        place = next((n for n in (0, 1) if constant_of(node.inputs[n]) is not None), None)
        if place is None:
            return None
        bias = constant_of(node.inputs[place])
        node = _made_for_one(node.inputs[1 - place])
    if node is None or node.op_type != "MatMul" or node.domain or node.inputs[0] is None:
        return None
    weights = constant_of(node.inputs[1])
    if weights is None or weights.ndim != 2:
        return None
    if bias is not None and bias.shape != weights.shape[1:]:
        return None
    return Outer(node.inputs[0], weights, bias)


def _made_for_one(value: ir.Value | None) -> ir.Node | None:
    """What computes a value that is read in one place; None of others."""
    if value is None or value.is_graph_output() or len(list(value.uses())) != 1:
        return None
    return value.producer()


def gemm(
    add: Adder,
    of: ir.Value,
    weights: ir.Value | None,
    added: ir.Value | None,
    like: ir.Value,
    shape: ir.Shape | None = None,
) -> ir.Value:
    """Gemm(of, weights^T) + added, of the shape and type of a value."""
    given = [of, weights] if added is None else [of, weights, added]
    made = add("Gemm", given, transB=1)
    made.shape, made.type = shape or like.shape, like.type
    return made


def stand_in(old: ir.Value, new: ir.Value) -> None:
    """`new` is read where `old` was, under its own name, unless `old` is a result of the body."""
    graph = old.graph
    name, is_result = old.name, old.is_graph_output()
    new.shape, new.type = new.shape or old.shape, new.type or old.type
    for node, index in list(old.uses()):
        node.replace_input_with(index, new)
    if is_result and graph is not None:
        for n, output in enumerate(list(graph.outputs)):
            if output is old:
                graph.outputs[n] = new
        old.name, new.name = f"{name}_before", name

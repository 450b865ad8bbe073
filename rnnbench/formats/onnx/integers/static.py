"""Products whose values have one scale each, measured on arrays: `--precision int8-static`.

    y [..., n] = MatMul(x [..., k], W [k, n])
        ->  x' = DequantizeLinear(QuantizeLinear(x, s, z), s, z)      s, z: of the range of x
            y = MatMul(x', DequantizeLinear(W_int8 [k, n], W_scale [n], axis=1))
    y = Gemm(x, W [k, n], b)
        ->  y = MatMul(x, W) + b, and on as above
    y [batch, n, ...] = Conv(x [batch, k, ...], W [n, k, ...], b [n])
        ->  c = Conv(x', DequantizeLinear(W_int8 [n, k, ...], W_scale [n], axis=0))
            y = DequantizeLinear(QuantizeLinear(c, s, z), s, z) + b [n, 1, ...]

It is the form that engines with kernels of whole numbers look for. What a convolution gives is
rounded since ONNX Runtime has kernels for such alone; biases are not, nor other results. Layers,
and products in bodies, multiply floats: no library measures a range in a body, and no engine has a
layer of static scales. So do products between a state's input and its output, which a caller runs
again and again: what moves a state by less than half a unit would be lost in each step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from rnnbench.core.errors import RnnbenchError
from rnnbench.formats.onnx.editing import constant_of, replace
from rnnbench.formats.onnx.integers.calibrating import Ranges, ranges_of
from rnnbench.formats.onnx.integers.making import Array, Maker
from rnnbench.formats.onnx.integers.products import whole_of
from rnnbench.formats.onnx.smaller import Before, keep_small

if TYPE_CHECKING:
    from rnnbench.formats._format import WriteOptions

_MOST = 255
"""Of a value, as uint8."""


@dataclass(frozen=True)
class _Product:
    """A MatMul or Conv whose right side is a weight that was rounded.

    Attributes:
        node: in the outermost graph.
        whole: the weight as int8, of the shape that the node has it in.
        scale: float32, one for each output channel.
        axis: the dimension of these.
    """

    node: ir.Node
    whole: Array
    scale: Array
    axis: int

    @property
    def rounded(self) -> list[ir.Value]:
        """The values that get a scale."""
        found = [self.node.inputs[0], *(self.node.outputs if self.node.op_type == "Conv" else ())]
        return [value for value in found if value is not None]


def make_static(
    model: ir.Model, states: Mapping[str, str], options: WriteOptions
) -> dict[str, Any]:
    """Products of the outermost graph become those of whole numbers; other weights are kept small.

    Args:
        model: is changed.
        states: input -> the output that is handed on as it.
        options: the arrays that scales are measured on.

    Returns:
        What the manifest says of it: `precision`, `weights`, and `whole`, how many of these are in
        products of whole numbers.

    Raises:
        RnnbenchError: there is no such product, or the arrays give a value that is not finite.
    """
    from onnx_ir.passes import common

    from rnnbench.formats.onnx.integers.refusing import refuse_small_floats

    refuse_small_floats(model)
    again = _run_again(model.graph, states)
    for node in list(model.graph):
        if node not in again and _weight_of(node) is not None:
            _without_bias(node, model)
    common.RemoveUnusedNodesPass()(model)
    products = [p for p in _products(model.graph) if p.node not in again]
    if not products:
        raise RnnbenchError(
            "the graph has no product with a rounded weight outside its layers, loops and states, "
            "and in those no scale is measured: export with --precision int8-dynamic, or "
            "int8-weights"
        )
    names = dict.fromkeys(str(value.name) for product in products for value in product.rounded)
    ranges = ranges_of(model, tuple(names), options.calibration)
    before = {*model.graph.initializers}
    whole = sum({product.node.inputs[1]: product.whole.size for product in products}.values())
    known: dict[ir.Value, ir.Value] = {}
    for product in products:
        _make_whole(product, model, ranges, known)
    common.RemoveUnusedNodesPass()(model)
    made = {str(name) for name in model.graph.initializers} - before
    count = whole + keep_small(model, "int8-weights", but=made)
    return {"precision": options.precision, "weights": count, "whole": whole}


def _run_again(graph: ir.Graph, states: Mapping[str, str]) -> set[ir.Node]:
    """The nodes between the input of a state and its own output."""
    given = {str(value.name): value for value in graph.inputs}
    made = {str(value.name): value for value in graph.outputs}
    reads = {node: {*_reads(node)} for node in graph}
    found: set[ir.Node] = set()
    for before, after in states.items():
        if before not in given or after not in made:
            continue
        reached, wanted = {given[before]}, {made[after]}
        behind: set[ir.Node] = set()
        for node in graph:
            if reads[node] & reached:
                behind.add(node)
                reached |= {*node.outputs}
        for node in reversed(list(graph)):
            if wanted & {*node.outputs}:
                wanted |= reads[node]
                found |= {node} & behind
    return found


def _reads(node: ir.Node) -> Iterator[ir.Value]:
    """What a node and those in its bodies are given."""
    yield from (value for value in node.inputs if value is not None)
    for attribute in node.attributes.values():
        if attribute.type is ir.AttributeType.GRAPH:
            body = attribute.as_graph()
            yield from body.outputs
            for inner in body:
                yield from _reads(inner)


def _weight_of(node: ir.Node) -> tuple[Array, Array] | None:
    """The rounded weight of a product with a value, as int8 and the scales of its outputs.

    Both as a MatMul has them on its right, [k, n] and [n], and as a Conv, [n, k, ...] and [n].
    """
    if node.domain or node.op_type not in ("MatMul", "Gemm", "Conv"):
        return None
    held, x = constant_of(node.inputs[1]), node.inputs[0]
    if held is None or held.dtype != np.float32 or not held.size or x is None:
        return None
    if x.const_value is not None or (node.op_type != "Conv" and held.ndim != 2):
        return None
    filters = node.op_type == "Conv"
    right = held.reshape(len(held), -1).T if filters else _right(node, held)
    found = None if right is None else whole_of(right)
    if found is None:
        return None
    whole, scale = found[0], found[1].reshape(-1)
    return (np.ascontiguousarray(whole.T).reshape(held.shape) if filters else whole), scale


def _right(node: ir.Node, held: Array) -> Array | None:
    """[k, n] of a MatMul or a Gemm; None of one that does something else as well."""
    said = {name: attribute.value for name, attribute in node.attributes.items()}
    if said.get("transA") or said.get("alpha", 1.0) != 1.0 or said.get("beta", 1.0) != 1.0:
        return None
    return held.T if said.get("transB") else held


def _without_bias(node: ir.Node, model: ir.Model) -> None:
    """A product and a sum in the place of a Gemm, or of a convolution with a bias."""
    weight = constant_of(node.inputs[1])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    assert weight is not None
    if node.op_type == "Gemm":
        _without_gemm(node, weight, bias, Maker(node, model))
    elif bias is not None and constant_of(bias) is not None:
        wide = constant_of(bias).reshape(-1, *[1] * (weight.ndim - 2))  # type: ignore[union-attr]
        behind = Maker(node, model).behind()
        node.resize_inputs(2)
        given = node.outputs[0]
        y = behind("Add", [given, behind.shared(f"{bias.name}_wide", wide)])
        replace(given, y, [y.producer()])  # type: ignore[list-item]


def _without_gemm(node: ir.Node, weight: Array, bias: ir.Value | None, make: Maker) -> None:
    right = node.inputs[1]
    assert right is not None
    turned = node.attributes.get("transB")
    if turned is not None and turned.as_int():
        right = make.shared(f"{right.name}_t", np.ascontiguousarray(weight.T))
    y = make("MatMul", [node.inputs[0], right])
    if bias is not None:
        y = make("Add", [y, bias])
    replace(node.outputs[0], y)
    assert node.graph is not None
    node.graph.remove(node, safe=True)


def _products(graph: ir.Graph) -> Iterator[_Product]:
    for node in graph:
        found = _weight_of(node) if node.op_type != "Gemm" else None
        if found is not None:
            yield _Product(node, *found, 0 if node.op_type == "Conv" else 1)


def _make_whole(
    product: _Product, model: ir.Model, ranges: Ranges, known: dict[ir.Value, ir.Value]
) -> None:
    node = product.node
    make = Maker(node, model)
    x, weight = node.inputs[:2]
    assert x is not None
    assert weight is not None
    if x not in known:
        known[x] = _rounded(make, x, ranges)
    node.replace_input_with(0, known[x])
    if weight.const_value is not None:  # and not what another product has it as
        _keep_whole(product, weight)
    if node.op_type == "Conv":
        given = node.outputs[0]
        y = _rounded(make.behind(), given, ranges)
        made = y.producer()
        assert made is not None
        replace(given, y, [made.inputs[0].producer()])  # type: ignore[union-attr, list-item]


def _keep_whole(product: _Product, weight: ir.Value) -> None:
    """The weight as int8, under its name, for all who read it."""
    name = str(weight.name)
    assert product.node.graph is not None
    add = Before(product.node.graph, name)
    given = [add.initializer("int8", product.whole), add.initializer("scale", product.scale)]
    floats = add.node("DequantizeLinear", given, axis=product.axis)
    floats.shape, floats.type = weight.shape, weight.type
    ir.convenience.replace_all_uses_with(weight, floats)
    del add.root.initializers[name]
    weight.name, floats.name = None, name


def _rounded(make: Maker, x: ir.Value, ranges: Ranges) -> ir.Value:
    """The nearest of 256 numbers from the least to the greatest that was seen, 0 among them."""
    least, most = ranges[str(x.name)]
    scale = np.float32(max((most - least) / _MOST, float(np.finfo(np.float32).tiny)))
    zero = np.uint8(np.rint(-least / scale))
    given = [make.constant(np.array(scale)), make.constant(np.array(zero))]
    return make("DequantizeLinear", [make("QuantizeLinear", [x, *given]), *given])

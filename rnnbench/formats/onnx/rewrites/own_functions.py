"""A layer with functions or peepholes that an engine does not read becomes a Scan over its step.

Shapes are ONNX's: x [time, batch, input], W [1, gates * hidden, input], R [1, gates * hidden,
hidden], B [1, 2 * gates * hidden], P [1, 3 * hidden], y [time, 1, batch, hidden], h and c
[1, batch, hidden]. The formulas are those of https://onnx.ai/onnx/operators/onnx__LSTM.html.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import (
    Adder,
    constant_of,
    direction_of,
    recurrent_nodes,
    replace,
)
from rnnbench.formats.onnx.present import activations, has_number, usual_activations
from rnnbench.formats.onnx.rewrites._pass import rewrite
from rnnbench.formats.onnx.rewrites.layers import split, turn, zero_state

_LENGTHS, _STATES, _PEEPHOLES = 4, 5, 7
"""The places of these among a layer's inputs."""

_OPERATORS = {"relu": "Relu", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus"}
"""Function, in lower case -> the operator that computes it."""


@rewrite()
def turn_into_scan(model: ir.Model) -> int:
    """An RNN of another function than tanh becomes a Scan: engines read over `activations`.

        y, hn = RNN(x, W, R, B, , h0, activations=["Relu"])
            ->  p = MatMul(x, W') + Wb + Rb
                hn, ys = Scan(h0, p, body: h, p_t -> Relu(p_t + MatMul(h, R')))
                y = Unsqueeze(ys)

    Both directions become forward layers first. `unroll_scans` makes steps of a known length.
    """
    return _each(model, _has_own_function)


@rewrite()
def write_out_peepholes(model: ir.Model) -> int:
    """An LSTM whose gates look at the cell state becomes a Scan: engines read over `P`.

        y, hn, cn = LSTM(x, W, R, B, , h0, c0, P)
            ->  p = MatMul(x, W') + Wb + Rb
                hn, cn, ys = Scan(h0, c0, p, body: h, c, p_t -> i = Sigmoid(i + P_i * c), ...)
                y = Unsqueeze(ys)

    Likewise of both directions.
    """
    return _each(model, _has_peepholes)


def _each(model: ir.Model, which: Callable[[ir.Node], bool]) -> int:
    places = split(model, which) + turn(model, which)
    for node in recurrent_nodes(model):
        if which(node) and direction_of(node) == "forward":
            _replace(model, node)
            places += 1
    return places


def _has_own_function(node: ir.Node) -> bool:
    """An RNN of another function than tanh."""
    kinds = activations(node)
    own = kinds != usual_activations(node) and {*kinds} <= {*_OPERATORS, "tanh"}
    return node.op_type == "RNN" and own and _is_plain(node)


def _has_peepholes(node: ir.Node) -> bool:
    if node.op_type != "LSTM" or constant_of(_given(node, _PEEPHOLES)) is None:
        return False
    return activations(node) == usual_activations(node) and _is_plain(node)


def _is_plain(node: ir.Node) -> bool:
    """Whether nothing else in it is unusual."""
    others = ("clip", "layout", "input_forget")
    if any(node.attributes[name].value for name in others if name in node.attributes):
        return False
    if has_number(node) or _given(node, _LENGTHS) is not None:
        return False
    weights = [value for value in node.inputs[1:4] if value is not None]
    return all(constant_of(value) is not None for value in weights)


def _given(node: ir.Node, place: int) -> ir.Value | None:
    return node.inputs[place] if len(node.inputs) > place else None


def _replace(model: ir.Model, node: ir.Node) -> None:
    add = Adder(node)
    w, r, b = (constant_of(value) for value in [*node.inputs[1:4], None][:3])
    assert w is not None
    assert r is not None
    given = add("MatMul", [node.inputs[0], add.constant(np.ascontiguousarray(w[0].T))])
    if b is not None:
        given = add("Add", [given, add.constant(b[0, : len(w[0])] + b[0, len(w[0]) :])])
    first, ones = add.constant(np.array([0])), add.constant(np.array([1]))
    count = 2 if node.op_type == "LSTM" else 1
    starts = [_given(node, _STATES + n) for n in range(count)]
    states = [
        add("Squeeze", [s if s is not None else zero_state(add, node), first]) for s in starts
    ]
    weights = add.constant(np.ascontiguousarray(r[0].T))
    dtype = ir.DataType.from_numpy(w.dtype)
    if node.op_type == "LSTM":
        body = _peephole_body(model, node, weights, add, dtype)
    else:
        body = _body(model, node, weights, _OPERATORS.get(activations(node)[0], "Tanh"), dtype)
    scan = add.node(
        "Scan",
        [*states, given],
        count + 1,
        [ir.AttrGraph("body", body), ir.AttrInt64("num_scan_inputs", 1)],
    )
    if node.outputs[0].name:
        replace(node.outputs[0], add("Unsqueeze", [scan.outputs[count], ones]))
    for last, output in zip(scan.outputs, node.outputs[1:], strict=False):
        if output.name:
            replace(output, add("Unsqueeze", [last, first]))
    node.graph.remove(node, safe=True)  # type: ignore[union-attr]


def _peephole_body(
    model: ir.Model, node: ir.Node, weights: ir.Value, add: Adder, dtype: ir.DataType
) -> ir.Graph:
    """One step: h, c and p_t [batch, 4 * hidden], i o f c -> h', c', and h' for the sequence."""
    peepholes = constant_of(node.inputs[_PEEPHOLES])
    assert peepholes is not None
    hidden = peepholes.shape[1] // 3
    by = [add.constant(p) for p in peepholes.reshape(3, hidden)]  # of i, o, f
    sizes = add.constant(np.full(4, hidden, np.int64))
    kind_of = ir.TensorType(dtype)
    h, c, p = (ir.Value(name=f"{node.name}_{name}", type=kind_of) for name in ("h", "c", "p"))
    nodes: list[ir.Node] = []

    def call(kind: str, *inputs: ir.Value, outputs: int = 1) -> ir.Value:
        attributes = [ir.AttrInt64("axis", -1)] if kind == "Split" else []
        made = ir.Node("", kind, inputs, attributes, num_outputs=outputs)
        made.name = f"{node.name}_step_{kind}_{len(nodes)}"
        for n, output in enumerate(made.outputs):
            output.name, output.type = f"{made.name}_{n}", kind_of
        made.metadata_props.update(node.metadata_props)
        nodes.append(made)
        return made.outputs[0]

    def gate(of: ir.Value, state: ir.Value, peephole: ir.Value) -> ir.Value:
        return call("Sigmoid", call("Add", of, call("Mul", peephole, state)))

    call("Split", call("Add", p, call("MatMul", h, weights)), sizes, outputs=4)
    i, o, f, g = nodes[-1].outputs  # [batch, hidden] each
    kept, taken = gate(f, c, by[2]), gate(i, c, by[0])
    cell = call("Add", call("Mul", kept, c), call("Mul", taken, call("Tanh", g)))
    after = call("Mul", gate(o, cell, by[1]), call("Tanh", cell))
    copy = call("Identity", after)
    return ir.Graph(
        [h, c, p],
        [after, cell, copy],
        nodes=nodes,
        opset_imports=dict(model.opset_imports),
        name=f"{node.name}_step",
    )


def _body(
    model: ir.Model, node: ir.Node, weights: ir.Value, kind: str, dtype: ir.DataType
) -> ir.Graph:
    """One step: h and p_t [batch, hidden] -> h', and the same for the sequence."""
    kind_of = ir.TensorType(dtype)
    h, p = (ir.Value(name=f"{node.name}_{name}", type=kind_of) for name in ("h", "p"))
    product = ir.node("MatMul", [h, weights])
    total = ir.node("Add", [p, product.outputs[0]])
    after = ir.node(kind, [total.outputs[0]])
    copy = ir.node("Identity", [after.outputs[0]])
    nodes = [product, total, after, copy]
    for made in nodes:
        made.name = f"{node.name}_step_{made.op_type}"
        made.outputs[0].name = f"{made.name}_0"
        made.outputs[0].type = kind_of
        made.metadata_props.update(node.metadata_props)
    return ir.Graph(
        [h, p],
        [after.outputs[0], copy.outputs[0]],
        nodes=nodes,
        opset_imports=dict(model.opset_imports),
        name=f"{node.name}_step",
    )

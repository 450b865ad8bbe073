"""A layer with functions that an engine does not read becomes a Scan over its step.

Shapes are ONNX's: x [time, batch, input], W [1, hidden, input], R [1, hidden, hidden], B
[1, 2 * hidden], y [time, 1, batch, hidden], h [1, batch, hidden].
"""

from __future__ import annotations

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
    places = split(model, _own) + turn(model, _own)
    for node in recurrent_nodes(model):
        if _own(node) and direction_of(node) == "forward":
            _replace(model, node)
            places += 1
    return places


def _own(node: ir.Node) -> bool:
    """Whether a layer is an RNN of another function, with nothing else that is unusual."""
    if node.op_type != "RNN" or "clip" in node.attributes or has_number(node):
        return False
    layout = node.attributes.get("layout")
    if (layout is not None and layout.as_int()) or (len(node.inputs) > 4 and node.inputs[4]):
        return False
    weights = [value for value in node.inputs[1:4] if value is not None]
    if any(constant_of(value) is None for value in weights):
        return False
    kinds = activations(node)
    return kinds != usual_activations(node) and {*kinds} <= {*_OPERATORS, "tanh"}


def _replace(model: ir.Model, node: ir.Node) -> None:
    add = Adder(node)
    w, r, b = (constant_of(value) for value in [*node.inputs[1:4], None][:3])
    assert w is not None
    assert r is not None
    given = add("MatMul", [node.inputs[0], add.constant(np.ascontiguousarray(w[0].T))])
    if b is not None:
        given = add("Add", [given, add.constant(b[0, : len(w[0])] + b[0, len(w[0]) :])])
    h0 = node.inputs[5] if len(node.inputs) > 5 else None
    first, ones = add.constant(np.array([0])), add.constant(np.array([1]))
    state = add("Squeeze", [h0 if h0 is not None else zero_state(add, node), first])
    weights = add.constant(np.ascontiguousarray(r[0].T))
    kind = _OPERATORS.get(activations(node)[0], "Tanh")
    body = _body(model, node, weights, kind, ir.DataType.from_numpy(w.dtype))
    scan = add.node(
        "Scan",
        [state, given],
        2,
        [ir.AttrGraph("body", body), ir.AttrInt64("num_scan_inputs", 1)],
    )
    if node.outputs[0].name:
        replace(node.outputs[0], add("Unsqueeze", [scan.outputs[1], ones]))
    if len(node.outputs) > 1:
        replace(node.outputs[1], add("Unsqueeze", [scan.outputs[0], first]))
    node.graph.remove(node, safe=True)  # type: ignore[union-attr]


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

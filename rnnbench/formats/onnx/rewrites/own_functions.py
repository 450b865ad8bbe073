"""A layer that an engine computes as another one becomes a Scan over its step.

Shapes are ONNX's: x [time, batch, input], W [1, gates * hidden, input], R [1, gates * hidden,
hidden], B [1, 2 * gates * hidden], P [1, 3 * hidden], y [time, 1, batch, hidden], h and c
[1, batch, hidden]. The formulas are those of https://onnx.ai/onnx/operators/onnx__LSTM.html and of
onnx__GRU.html there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


@rewrite()
def write_out_resets(model: ir.Model) -> int:
    """A GRU that resets its state before the product becomes a Scan: an engine resets behind it.

        y, hn = GRU(x, W, R, B, , h0)                           linear_before_reset=0
            ->  p = MatMul(x, W') + Wb + Rb
                hn, ys = Scan(h0, p, body: h, p_t -> n = Tanh(p_h + (r * h) R_h'), ...)
                y = Unsqueeze(ys)

    Likewise of both directions.
    """
    return _each(model, _resets_before)


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


def _resets_before(node: ir.Node) -> bool:
    if node.op_type != "GRU" or activations(node) != usual_activations(node):
        return False
    given = node.attributes.get("linear_before_reset")
    return (given is None or not given.as_int()) and _is_plain(node)


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
    step = _Step(node, ir.DataType.from_numpy(w.dtype), ("h", "c")[:count])
    after = {"RNN": _own_function, "GRU": _resetting, "LSTM": _peeping}[node.op_type]
    body = step.graph(after(step, node, r[0], add), model)
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


class _Step:
    """The body of a Scan while it is written: states [batch, hidden], p_t [batch, gates * hidden].

    Args:
        node: the layer.
        dtype: of all values.
        states: their names.

    Attributes:
        states: the values before the step.
        p: the product with the input, and the biases.
    """

    def __init__(self, node: ir.Node, dtype: ir.DataType, states: Sequence[str]) -> None:
        self._layer, self._type = node, ir.TensorType(dtype)
        self.states = [self._value(name) for name in states]
        self.p = self._value("p")
        self._nodes: list[ir.Node] = []

    def _value(self, name: str) -> ir.Value:
        return ir.Value(name=f"{self._layer.name}_{name}", type=self._type)

    def call(self, kind: str, *inputs: ir.Value) -> ir.Value:
        """Adds a node; what it gives."""
        return self._add(kind, inputs, [], 1)[0]

    def split(self, value: ir.Value, sizes: ir.Value, count: int) -> Sequence[ir.Value]:
        """The parts of a value, along the features."""
        return self._add("Split", [value, sizes], [ir.AttrInt64("axis", -1)], count)

    def _add(
        self, kind: str, inputs: Sequence[ir.Value], attributes: Sequence[ir.Attr], count: int
    ) -> Sequence[ir.Value]:
        made = ir.Node("", kind, inputs, attributes, num_outputs=count)
        made.name = f"{self._layer.name}_step_{kind}_{len(self._nodes)}"
        for n, output in enumerate(made.outputs):
            output.name, output.type = f"{made.name}_{n}", self._type
        made.metadata_props.update(self._layer.metadata_props)
        self._nodes.append(made)
        return made.outputs

    def graph(self, after: Sequence[ir.Value], model: ir.Model) -> ir.Graph:
        """The body: the states behind the step, and the first of them for the sequence."""
        copy = self.call("Identity", after[0])
        return ir.Graph(
            [*self.states, self.p],
            [*after, copy],
            nodes=self._nodes,
            opset_imports=dict(model.opset_imports),
            name=f"{self._layer.name}_step",
        )


def _own_function(step: _Step, node: ir.Node, r: np.ndarray, add: Adder) -> list[ir.Value]:
    """An RNN of another function than tanh."""
    weights = add.constant(np.ascontiguousarray(r.T))
    product = step.call("MatMul", step.states[0], weights)
    kind = _OPERATORS.get(activations(node)[0], "Tanh")
    return [step.call(kind, step.call("Add", step.p, product))]


def _peeping(step: _Step, node: ir.Node, r: np.ndarray, add: Adder) -> list[ir.Value]:
    """An LSTM of the gates i o f c, of which three look at the cell state."""
    peepholes = constant_of(node.inputs[_PEEPHOLES])
    assert peepholes is not None
    hidden = peepholes.shape[1] // 3
    by = [add.constant(p) for p in peepholes.reshape(3, hidden)]  # of i, o, f
    sizes = add.constant(np.full(4, hidden, np.int64))
    h, c = step.states
    product = step.call("MatMul", h, add.constant(np.ascontiguousarray(r.T)))
    i, o, f, g = step.split(step.call("Add", step.p, product), sizes, 4)  # [batch, hidden] each

    def gate(of: ir.Value, state: ir.Value, peephole: ir.Value) -> ir.Value:
        return step.call("Sigmoid", step.call("Add", of, step.call("Mul", peephole, state)))

    kept, taken = gate(f, c, by[2]), gate(i, c, by[0])
    new = step.call("Mul", taken, step.call("Tanh", g))
    cell = step.call("Add", step.call("Mul", kept, c), new)
    return [step.call("Mul", gate(o, cell, by[1]), step.call("Tanh", cell)), cell]


def _resetting(step: _Step, node: ir.Node, r: np.ndarray, add: Adder) -> list[ir.Value]:
    """A GRU of the gates z r h, whose state is reset before its product.

    n = tanh(p_h + (r * h) R_h'), h' = n + z * (h - n)
    """
    hidden = r.shape[1]
    sizes = add.constant(np.array([hidden, hidden, hidden], np.int64))
    pair = add.constant(np.array([hidden, hidden], np.int64))
    (h,) = step.states
    p_z, p_r, p_h = step.split(step.p, sizes, 3)  # [batch, hidden] each
    product = step.call("MatMul", h, add.constant(np.ascontiguousarray(r[: 2 * hidden].T)))
    h_z, h_r = step.split(product, pair, 2)
    z, reset = (step.call("Sigmoid", step.call("Add", p, q)) for p, q in ((p_z, h_z), (p_r, h_r)))
    weights = add.constant(np.ascontiguousarray(r[2 * hidden :].T))
    of_state = step.call("MatMul", step.call("Mul", reset, h), weights)
    n = step.call("Tanh", step.call("Add", p_h, of_state))
    return [step.call("Add", n, step.call("Mul", z, step.call("Sub", h, n)))]

"""RNN, GRU and LSTM nodes as engines want them: states, biases, directions, outputs.

Which engine needs what stands in its adapter (`GAPS`).

Shapes are ONNX's: x [time, batch, input], y [time, directions, batch, hidden], h and c
[directions, batch, hidden].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import (
    Adder,
    constant_of,
    direction_of,
    recurrent_nodes,
    replace,
)
from rnnbench.formats.onnx.present import activations, usual_activations
from rnnbench.formats.onnx.rewrites._pass import rewrite
from rnnbench.formats.onnx.rewrites.values import backwards

_STATES = {"RNN": (5,), "GRU": (5,), "LSTM": (5, 6)}
"""Which inputs are initial states."""

_OUTPUTS = {"RNN": 2, "GRU": 2, "LSTM": 3}

_SATURATED = 100.0
"""Where a sigmoid in float32 is 1, and 0 at its negative."""


@rewrite()
def make_explicit_states(model: ir.Model) -> int:
    """Zeros where a layer has no initial state.

    LSTM(x, W, R, B)  ->  zeros = Expand(0, Concat([1], Shape(x)[1:2], [hidden]))
                          LSTM(x, W, R, B, , zeros, zeros)
    """
    places = 0
    for node in recurrent_nodes(model):
        absent = [i for i in _STATES[node.op_type] if i >= len(node.inputs) or not node.inputs[i]]
        if not absent:
            continue
        zeros = zero_state(Adder(node), node)
        if max(absent) >= len(node.inputs):
            node.resize_inputs(max(absent) + 1)
        for i in absent:
            node.replace_input_with(i, zeros)
        places += 1
    return places


def zero_state(add: Adder, node: ir.Node) -> ir.Value:
    """[directions, batch, hidden] of zeros for a layer."""
    hidden = node.attributes["hidden_size"].as_int()
    directions = 2 if direction_of(node) == "bidirectional" else 1
    rows = add("Shape", [node.inputs[0]], start=1, end=2)
    ends = [add.constant(np.array([size])) for size in (directions, hidden)]
    shape = add("Concat", [ends[0], rows, ends[1]], axis=0)
    dtype = node.inputs[0].dtype if node.inputs[0] is not None else None
    zero = np.zeros((1, 1, 1), (dtype or ir.DataType.FLOAT).numpy())
    return add("Expand", [add.constant(zero), shape])


@rewrite()
def tell_states_apart(model: ir.Model) -> int:
    """Where both states of an LSTM start from the same zeros, the cell starts from next to nothing.

        LSTM(x, W, R, B, , zeros, zeros)  ->  LSTM(x, W, R, B, , zeros, zeros + 1e-45)

    tract (0.23.9) takes equal constants for one, of batch 1, and stops at any other. The least
    number of float32 changes no sum but one that is as small.
    """
    places = 0
    for node in recurrent_nodes(model):
        h0, c0 = [*node.inputs[5:7], None, None][:2]
        if node.op_type != "LSTM" or h0 is None or h0 is not c0:
            continue
        made = h0.producer()
        wide = made is not None and made.op_type == "Expand"
        zeros = constant_of(made.inputs[0] if made is not None and wide else h0)
        if zeros is None or zeros.any() or zeros.dtype != np.float32:
            continue
        add = Adder(node)
        least = add.constant(zeros + np.finfo(np.float32).smallest_subnormal)
        cell = add("Expand", [least, made.inputs[1]]) if made is not None and wide else least
        node.replace_input_with(6, cell)
        places += 1
    return places


@rewrite()
def make_explicit_biases(model: ir.Model) -> int:
    """Zeros where an LSTM has no biases.

    LSTM(x, W, R)  ->  LSTM(x, W, R, zeros)
    """
    places = 0
    for node in recurrent_nodes(model):
        w = constant_of(node.inputs[1])
        if node.op_type != "LSTM" or w is None or (len(node.inputs) > 3 and node.inputs[3]):
            continue
        if len(node.inputs) < 4:
            node.resize_inputs(4)
        biases = np.zeros((w.shape[0], 2 * w.shape[1]), w.dtype)
        node.replace_input_with(3, Adder(node).constant(biases))
        places += 1
    return places


@rewrite()
def name_outputs(model: ir.Model) -> int:
    """A layer has all its outputs, also those that nobody reads.

        GRU(...) -> , hn  ->  GRU(...) -> gru_unread_0, hn

    An engine that counts them takes the sequence for the last state.
    """
    places = 0
    for node in recurrent_nodes(model):
        node.resize_outputs(_OUTPUTS[node.op_type])
        for i, output in enumerate(node.outputs):
            if not output.name:
                output.name = f"{node.name}_unread_{i}"
                places += 1
    return places


@rewrite()
def turn_into_gru(model: ir.Model) -> int:
    """An RNN of tanh becomes a GRU whose gates are shut and open, where there is no RNN.

        RNN(x, W, R, B, , h0)  ->  GRU(x, [0, 0, W], [0, 0, R], [-100, 100, Wb, 0, 0, Rb], , h0,
                                       linear_before_reset=1)

    h' = (1 - z) n + z h with z = 0 is n, and n = tanh(W x + Wb + r (R h + Rb)) with r = 1 is what
    the RNN computes. The gates have no weights, and a bias that a sigmoid takes to exactly 0 and 1.
    """
    places = 0
    for node in recurrent_nodes(model):
        if node.op_type != "RNN" or "clip" in node.attributes:
            continue
        if activations(node) != usual_activations(node):
            continue
        w, r, b = (constant_of(value) for value in [*node.inputs[1:4], None, None][:3])
        if w is None or r is None or (b is None and len(node.inputs) > 3 and node.inputs[3]):
            continue  # its weights are computed
        n, hidden, _ = w.shape
        b = np.zeros((n, 2 * hidden), w.dtype) if b is None else b
        shut, none = np.full((n, hidden), _SATURATED, w.dtype), np.zeros((n, hidden), w.dtype)
        biases = np.concatenate((-shut, shut, b[:, :hidden], none, none, b[:, hidden:]), axis=1)
        add = Adder(node)
        weights = [add.constant(np.concatenate((0 * a, 0 * a, a), axis=1)) for a in (w, r)]
        inputs = [node.inputs[0], *weights, add.constant(biases), *node.inputs[4:]]
        attributes = [a for a in node.attributes.values() if a.name != "activations"]
        attributes.append(ir.AttrInt64("linear_before_reset", 1))
        gru = add.node("GRU", inputs, len(node.outputs), attributes)
        for output, new in zip(list(node.outputs), gru.outputs, strict=True):
            replace(output, new)
        node.graph.remove(node, safe=True)  # type: ignore[union-attr]
        places += 1
    return places


@rewrite()
def split_directions(model: ir.Model) -> int:
    """A bidirectional layer becomes two.

    y, hn = GRU(x, W, R, direction=bidirectional)
        ->  ya, ha = GRU(x, W[0:1], R[0:1], direction=forward)
            yb, hb = GRU(x, W[1:2], R[1:2], direction=reverse)
            y, hn = Concat(ya, yb, axis=1), Concat(ha, hb, axis=0)
    """
    return split(model)


def split(model: ir.Model, which: Callable[[ir.Node], bool] = lambda _: True) -> int:
    """The same, of those layers for which `which` holds."""
    places = 0
    for node in recurrent_nodes(model):
        if direction_of(node) != "bidirectional" or not which(node):
            continue
        add = Adder(node)
        halves = [_half(node, add, i) for i in (0, 1)]
        for i, output in enumerate(node.outputs):
            both = [half.outputs[i] for half in halves]
            replace(output, add("Concat", both, axis=1 if i == 0 else 0))
        node.graph.remove(node, safe=True)  # type: ignore[union-attr]
        places += 1
    return places


@rewrite()
def turn_forward(model: ir.Model) -> int:
    """A backward layer becomes a forward one between two reversals.

        y, hn = GRU(x, ..., direction=reverse)
            ->  yr, hn = GRU(x[::-1], ..., direction=forward)
                y = yr[::-1]

    With lengths each row is reversed within its own.
    """
    return turn(model)


def turn(model: ir.Model, which: Callable[[ir.Node], bool] = lambda _: True) -> int:
    """The same, of those layers for which `which` holds."""
    places = 0
    for node in recurrent_nodes(model):
        if direction_of(node) != "reverse" or not which(node):
            continue
        add, x = Adder(node), node.inputs[0]
        lengths = node.inputs[4] if len(node.inputs) > 4 else None
        steps = x.shape[0] if x is not None and x.shape is not None else None
        node.replace_input_with(0, _reversed(add, x, lengths, steps))
        node.attributes["direction"] = ir.AttrString("direction", "forward")
        places += 1
        y, after = node.outputs[0], Adder(node, after=True)
        if not y.uses() and not y.is_graph_output():
            continue
        # (time, 1, batch, hidden) has its rows in axis 2, and ReverseSequence takes 0 and 1 only;
        # a slice that goes backwards in four dimensions kills MNN
        axis = after.constant(np.array([1]))
        turned = _reversed(after, after("Squeeze", [y, axis]), lengths, steps)
        turned = after("Unsqueeze", [turned, axis])
        replace(y, turned, but=after.made)
    return places


@rewrite()
def drop_default_direction(model: ir.Model) -> int:
    """`forward` is not written down.

    GRU(x, ..., direction=forward)  ->  GRU(x, ...)
    """
    said = [node for node in recurrent_nodes(model) if "direction" in node.attributes]
    forward = [node for node in said if direction_of(node) == "forward"]
    for node in forward:
        node.attributes.pop("direction")
    return len(forward)


def _half(node: ir.Node, add: Adder, index: int) -> ir.Node:
    """One direction of a bidirectional layer."""
    inputs: list[ir.Value | None] = list(node.inputs)
    for i, value in enumerate(inputs):
        if i not in (0, 4) and value is not None:  # the sequence and its lengths are for both
            inputs[i] = add.part(value, index)
    attributes = dict(node.attributes)
    attributes["direction"] = ir.AttrString("direction", ("forward", "reverse")[index])
    for name in ("activations", "activation_alpha", "activation_beta"):
        if name in attributes:
            values = list(attributes[name].value)
            half = values[index * len(values) // 2 : (index + 1) * len(values) // 2]
            attributes[name] = ir.Attr(name, attributes[name].type, half)
    return add.node(node.op_type, inputs, len(node.outputs), list(attributes.values()))


def _reversed(add: Adder, value: ir.Value | None, lengths: ir.Value | None, steps: Any) -> ir.Value:
    """A sequence (time first) from its end to its beginning; each row's own end with `lengths`.

    Not a slice that goes backwards: some engines have none.
    """
    if lengths is not None:
        return _reversed_rows(add, value, lengths)
    if isinstance(steps, int):
        return add("Gather", [value, add.constant(np.arange(steps)[::-1].copy())], axis=0)
    return backwards(add, value)


def _reversed_rows(add: Adder, value: ir.Value | None, lengths: ir.Value) -> ir.Value:
    """(time, batch, features), each row from its own end; tract has no ReverseSequence.

    Step t of row b is element `t * batch + b` of all the rows' steps.
    """
    zero, one, axis = (add.constant(np.array(n)) for n in (0, 1, [0]))
    time, rows = (add("Squeeze", [add("Shape", [value], start=i, end=i + 1), axis]) for i in (0, 1))
    steps = add("Unsqueeze", [add("Range", [zero, time, one]), add.constant(np.array([1]))])
    ends = add("Cast", [lengths], to=ir.DataType.INT64)
    turned = add("Sub", [ends, add("Add", [steps, one])])
    step = add("Where", [add("Less", [steps, ends]), turned, steps])
    index = add("Add", [add("Mul", [step, rows]), add("Range", [zero, rows, one])])
    features = add("Shape", [value], start=2, end=3)
    every = add.constant(np.array([-1]))
    flat = add("Reshape", [value, add("Concat", [every, features], axis=0)])
    picked = add("Gather", [flat, add("Reshape", [index, every])], axis=0)
    return add("Reshape", [picked, add("Shape", [value])])

"""Layers over rows of unequal length, without the input that says how long each row is.

Some engines read over `sequence_lens`, silently, and others refuse it: their adapters say which.
What a layer makes of it can be said in operators that all of them have:

* the outputs of the steps behind the end of a row are 0;
* the last state of a row is its output at its last step;
* the last cell of an LSTM is the one that its gates keep from there: one more input, 1 behind the
  end, shuts the input gate and opens the forget gate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import Adder, direction_of, recurrent_nodes, replace
from rnnbench.formats.onnx.rewrites._pass import rewrite
from rnnbench.formats.onnx.rewrites.layers import split, turn

_SATURATED = 100.0
"""Where a sigmoid in float32 is 1, and (next to) 0 at its negative."""

_USUAL = ["sigmoid", "tanh", "tanh"]
"""The activations of an LSTM, in lower case: others have no end that is 0 or 1."""


@rewrite()
def drop_lengths(model: ir.Model) -> int:
    """Takes `sequence_lens` from each layer; both directions become forward layers first.

    y, hn = GRU(x, W, R, B, lengths, h0)
        ->  every = GRU(x, W, R, B, , h0)
            y = Where(step < lengths, every, 0)
            hn = ReduceSum(Where(step == lengths - 1, every, 0), axis=0)
    """
    if not any(_lengths(node) for node in recurrent_nodes(model)):
        return 0
    places = split(model, _ragged) + turn(model, _ragged)
    for node in recurrent_nodes(model):
        if _ragged(node) and direction_of(node) == "forward":
            _drop(node)
            places += 1
    return places


def _ragged(node: ir.Node) -> bool:
    """Whether a layer has lengths, and can do without."""
    layout = node.attributes.get("layout")
    if _lengths(node) is None or (layout is not None and layout.as_int() != 0):
        return False
    return len(node.outputs) < 3 or not _used(node.outputs[2]) or _margin(node) is not None


def _margin(node: ir.Node) -> float | None:
    """What shuts a gate of an LSTM whatever its state; None where that is not known.

    Behind a row's end the inputs are 0, and the last output is at most 1.
    """
    given = node.attributes.get("activations")
    kinds = [kind.lower() for kind in given.as_strings()] if given is not None else _USUAL
    peepholes = node.inputs[7] if len(node.inputs) > 7 else None
    if "clip" in node.attributes or peepholes is not None or kinds[:3] != _USUAL:
        return None
    weights = [value for value in node.inputs[2:4] if value is not None]
    arrays = [value.const_value.numpy() for value in weights if value.const_value is not None]
    if len(arrays) < len(weights):
        return None
    return _SATURATED + float(sum(np.abs(array).sum(axis=-1).max() for array in arrays))


def _lengths(node: ir.Node) -> ir.Value | None:
    return node.inputs[4] if len(node.inputs) > 4 else None


@dataclass(frozen=True)
class _Rows:
    """Where a step is in its row; both are (time, batch).

    Attributes:
        valid: before the row's end.
        last: the last one before it.
    """

    valid: ir.Value
    last: ir.Value


def _drop(node: ir.Node) -> None:
    x, dtype = node.inputs[0], _dtype(node)
    before = Adder(node)
    rows = _rows(before, x, _lengths(node))
    zero = before.constant(np.zeros(1, dtype))
    if len(node.outputs) > 2 and _used(node.outputs[2]):
        _keep_cells(node, before, rows, zero)
    node.replace_input_with(4, None)
    y, after = node.outputs[0], Adder(node, after=True)
    if not y.name:
        y.name = f"{node.name}_y"
    axes = [after.constant(np.array(axes)) for axes in ([1, 3], [0])]
    if len(node.outputs) > 1 and _used(node.outputs[1]):
        at_end = after("Unsqueeze", [rows.last, axes[0]])
        only = after("Where", [at_end, y, zero])
        replace(node.outputs[1], after("ReduceSum", [only, axes[1]], keepdims=0), but=after.made)
    if _used(y, but=after.made):
        valid = after("Unsqueeze", [rows.valid, axes[0]])
        replace(y, after("Where", [valid, y, zero]), but=after.made)


def _rows(add: Adder, x: ir.Value | None, lengths: ir.Value | None) -> _Rows:
    counts = [add.constant(np.array(n)) for n in (0, 1)]
    time = add("Squeeze", [add("Shape", [x], start=0, end=1), add.constant(np.array([0]))])
    steps = add(
        "Unsqueeze", [add("Range", [counts[0], time, counts[1]]), add.constant(np.array([1]))]
    )
    ends = add("Cast", [lengths], to=ir.DataType.INT64)
    last = add("Sub", [ends, add.constant(np.array([1]))])
    return _Rows(add("Less", [steps, ends]), add("Equal", [steps, last]))


def _keep_cells(node: ir.Node, add: Adder, rows: _Rows, zero: ir.Value) -> None:
    """An LSTM's cell stays what it is behind the end of its row, whatever comes there."""
    x, w = node.inputs[:2]
    hidden, dtype = node.attributes["hidden_size"].as_int(), _dtype(node)
    axis = add.constant(np.array([2]))
    valid = add("Unsqueeze", [rows.valid, axis])
    clean = add("Where", [valid, x, zero])
    behind = add("Where", [valid, zero, add.constant(np.ones(1, dtype))])
    node.replace_input_with(0, add("Concat", [clean, behind], axis=2))
    margin = _margin(node)
    assert margin is not None
    gates = (-margin, 0.0, margin, 0.0)  # input, output, forget, cell
    column = np.repeat(np.array(gates, dtype), hidden).reshape(1, 4 * hidden, 1)
    if w is not None and w.const_value is not None:
        wide = add.constant(np.concatenate((w.const_value.numpy(), column), axis=2))
    else:
        wide = add("Concat", [w, add.constant(column)], axis=2)
    node.replace_input_with(1, wide)


def _used(value: ir.Value, but: tuple[ir.Node, ...] | list[ir.Node] = ()) -> bool:
    return value.is_graph_output() or any(node not in but for node, _ in value.uses())


def _dtype(node: ir.Node) -> np.dtype:
    x = node.inputs[0]
    known = x.dtype if x is not None else None
    return np.dtype((known or ir.DataType.FLOAT).numpy())

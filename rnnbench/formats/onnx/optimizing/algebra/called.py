"""Cells that a file calls as a layer, of one step: `nn.LSTMCell` in a scripted loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.algebra.steps import Rows, Step, Weights
from rnnbench.formats.onnx.optimizing.graph import Array, attribute, is_standard

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_USUAL = {"RNN": ["tanh"], "GRU": ["sigmoid", "tanh"], "LSTM": ["sigmoid", "tanh", "tanh"]}
_LENGTHS, _HIDDEN, _CELL, _PEEPHOLES = 4, 5, 6, 7


def called_step(forms: Forms, node: Any) -> Step | None:
    """The step that a layer of one step is; None of any other."""
    if not is_standard(node, *GATES):
        return None
    x = forms.layouts.view(node.input[0])
    kind = _kind(node)
    plain = not _given(node, _LENGTHS) and not _given(node, _PEEPHOLES) and kind
    if x is None or len(x.axes) != 3 or x.axes[0] is not None or not plain:
        return None
    weights = _weights(forms, node, kind)
    outputs = [*node.output, "", ""]
    hidden = outputs[1] or outputs[0]
    if weights is None or not hidden:
        return None
    before = [_state(forms, _given(node, _HIDDEN), weights.size)]
    after = [hidden]
    if node.op_type == "LSTM":
        before.append(_state(forms, _given(node, _CELL), weights.size))
        after.append(outputs[2] or f"{hidden}, the cell state")
    if any(b is None for b in before):
        return None
    known = tuple(b for b in before if b is not None)
    return Step(weights, (forms.source(x),), known, tuple(after))


def _kind(node: Any) -> str:
    """The kind of a layer of one direction, with the usual functions; empty of others."""
    activations = [a.decode().lower() for a in attribute(node, "activations") or ()]
    found = activations or _USUAL[node.op_type]
    limited = attribute(node, "clip") or attribute(node, "input_forget", 0) or _given(node, 7)
    if attribute(node, "direction") == "bidirectional" or attribute(node, "layout", 0) or limited:
        return ""
    if node.op_type == "RNN":
        return f"rnn_{found[0]}" if found in (["tanh"], ["relu"]) else ""
    return node.op_type.lower() if found == _USUAL[node.op_type] else ""


def _weights(forms: Forms, node: Any, kind: str) -> Weights | None:
    w, r = (forms.constants.value(node.input[i]) for i in (1, 2))
    b = forms.constants.value(_given(node, 3)) if _given(node, 3) else None
    if w is None or r is None or (b is None and _given(node, 3)):
        return None
    count, size = GATES[node.op_type], r.shape[2]
    given, recurrent = np.zeros((2, count * size)) if b is None else b.reshape(2, -1)
    after = bool(attribute(node, "linear_before_reset", 0))
    reset = None
    if kind == "gru" and after:
        reset = forms.matrices.constant(np.array(recurrent[-size:]))
        recurrent = np.concatenate([recurrent[:-size], np.zeros(size)])
    bias = _rows(forms, given + recurrent, count)
    inputs = (_rows(forms, w[0], count),)
    return Weights(kind, inputs, _rows(forms, r[0], count), bias, reset, after, size)


def _rows(forms: Forms, array: Array, count: int) -> Rows:
    """A part for each gate."""
    return tuple(forms.matrices.constant(part) for part in np.split(array, count))


def _state(forms: Forms, name: str, size: int) -> int | None:
    """What it starts from: zeros where nothing is given."""
    if not name:
        return -1 - forms.matrices.constant(np.zeros(size))
    view = forms.layouts.view(name)
    return None if view is None else forms.source(view)


def _given(node: Any, place: int) -> str:
    return str(node.input[place]) if len(node.input) > place else ""

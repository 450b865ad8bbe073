"""RNN, GRU and LSTM as https://github.com/onnx/onnx/blob/main/docs/Operators.md says.

All opsets: 1 (GRU without linear_before_reset; `output_sequence`, which only says that Y may be
left out), 3, 7, 14 (layout) and 22.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.inspection.evaluation.activations import Activation, read_activations
from rnnbench.inspection.evaluation.nodes import Node, Values, padded

Array = np.ndarray
State = tuple[Array, ...]  # the hidden state, and the cell of an LSTM: (batch, hidden)
# (a step's input times W plus its bias, the state before, of a direction: R, its bias, peepholes)
Cell = Callable[[Array, State, "Direction"], State]


@dataclass(frozen=True)
class Direction:
    """What one direction of a layer computes with.

    Attributes:
        w: (gates * hidden, input).
        r: (gates * hidden, hidden).
        wb: (gates * hidden,), the bias of w.
        rb: (gates * hidden,), the bias of r.
        p: (3 * hidden,), the peepholes of an LSTM.
        activations: in the order of the attribute.
        flag: linear_before_reset of a GRU, input_forget of an LSTM.
    """

    w: Array
    r: Array
    wb: Array
    rb: Array
    p: Array | None
    activations: tuple[Activation, ...]
    flag: bool


def _rnn(x: Array, state: State, d: Direction) -> State:
    (f,) = d.activations
    return (f(x + state[0] @ d.r.T + d.rb),)


def _gru(x: Array, state: State, d: Direction) -> State:
    f, g = d.activations
    (h,) = state
    size = h.shape[-1]
    zr = f(x[:, : 2 * size] + h @ d.r[: 2 * size].T + d.rb[: 2 * size])
    z, r = zr[:, :size], zr[:, size:]
    rh, rbh = d.r[2 * size :].T, d.rb[2 * size :]
    inner = r * (h @ rh + rbh) if d.flag else (r * h) @ rh + rbh
    new = g(x[:, 2 * size :] + inner)
    return ((1 - z) * new + z * h,)


def _lstm(x: Array, state: State, d: Direction) -> State:
    f, g, h = d.activations
    hidden, cell = state
    i, o, forget, c = np.split(x + hidden @ d.r.T + d.rb, 4, axis=1)
    pi, po, pf = np.split(d.p, 3) if d.p is not None else (None, None, None)
    i = f(i if pi is None else i + pi * cell)
    forget = 1 - i if d.flag else f(forget if pf is None else forget + pf * cell)
    cell = forget * cell + i * g(c)
    o = f(o if po is None else o + po * cell)
    return o * h(cell), cell


@dataclass(frozen=True)
class _Kind:
    cell: Cell
    gates: int
    activations: tuple[str, ...]
    states: int
    flag: str


_KINDS = {
    "RNN": _Kind(_rnn, 1, ("Tanh",), 1, ""),
    "GRU": _Kind(_gru, 3, ("Sigmoid", "Tanh"), 1, "linear_before_reset"),
    "LSTM": _Kind(_lstm, 4, ("Sigmoid", "Tanh", "Tanh"), 2, "input_forget"),
}


def run_layer(node: Node, inputs: Values) -> list[Any]:
    """Y, Y_h and, of an LSTM, Y_c.

    Args:
        node: an RNN, GRU or LSTM.
        inputs: X (time, batch, input), W, R, B, sequence_lens, initial_h, initial_c and P, of
            which all but the first three may be absent; batch first where the layout is 1.

    Raises:
        ValueError: an attribute or a shape is none of the specification's.
    """
    kind = _KINDS[node.op]
    x, w, r, b, lens, *rest = padded(inputs, 8)
    layout = node.get("layout", 0)
    states = [given if given is None or not layout else given.swapaxes(0, 1) for given in rest[:2]]
    x = x.swapaxes(0, 1) if layout else x
    steps, batch = x.shape[:2]
    hidden = r.shape[-1]
    directions = _directions(node, w, r, b, rest[2])
    lengths = _lengths(lens, steps, batch)
    starts = [
        np.zeros((len(directions), batch, hidden), x.dtype) if given is None else given
        for given in states[: kind.states]
    ]
    results = [
        _run_direction(
            kind.cell, x, tuple(start[i] for start in starts), direction, lengths, backward
        )
        for i, (direction, backward) in enumerate(directions)
    ]
    y = np.stack([ys for ys, _ in results], axis=1)  # (time, directions, batch, hidden)
    last = [np.stack(states) for states in zip(*(end for _, end in results), strict=True)]
    if layout:
        return [y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in last)]
    return [y, *last]


def _run_direction(
    cell: Cell,
    x: Array,
    state: State,
    direction: Direction,
    lengths: Array | None,
    backward: bool,
) -> tuple[Array, State]:
    """Y (time, batch, hidden) of a direction, and the state after the last step of each row.

    A row's steps beyond its length are not computed: Y is 0 there, and its state that of its last
    step. A backward direction begins at the last step of each row's own length.
    """
    steps, batch = x.shape[:2]
    order = _order(steps, lengths, backward)
    x = x if order is None else np.take_along_axis(x, order[:, :, None], axis=0)
    projected = x @ direction.w.T + direction.wb
    y = np.zeros((steps, batch, state[0].shape[-1]), x.dtype)
    for t in range(steps):
        new = cell(projected[t], state, direction)
        if lengths is None:
            y[t], state = new[0], new
            continue
        running = (t < lengths)[:, None]
        y[t] = np.where(running, new[0], 0)
        state = tuple(np.where(running, n, s) for n, s in zip(new, state, strict=True))
    return (y if order is None else np.take_along_axis(y, order[:, :, None], axis=0)), state


def _order(steps: int, lengths: Array | None, backward: bool) -> Array | None:
    """Which step of a row is computed when: (time, batch), its own inverse; None is as they are."""
    if not backward:
        return None
    index = np.arange(steps)[:, None]
    if lengths is None:
        return index[::-1]
    return np.where(index < lengths, lengths - 1 - index, index)


def _lengths(given: Array | None, steps: int, batch: int) -> Array | None:
    if given is None:
        return None
    lengths = given.reshape(-1).astype(np.int64)
    if lengths.shape != (batch,) or (lengths < 0).any() or (lengths > steps).any():
        raise ValueError(
            f"sequence_lens {lengths.tolist()} must be {batch} numbers of 0 to {steps}"
        )
    return lengths


def _directions(
    node: Node, w: Array, r: Array, b: Array | None, p: Array | None
) -> list[tuple[Direction, bool]]:
    """Each direction of a layer, and whether it runs backward."""
    kind = _KINDS[node.op]
    # the default of GRU-1 is misspelt in the schema, "foward"
    backward = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}.get(
        node.get("direction", "forward").lower()
    )
    if backward is None or len(backward) != len(w):
        raise ValueError(
            f"direction {node.get('direction', 'forward')!r} does not go with {len(w)} weights W"
        )
    count, hidden = len(kind.activations), r.shape[-1]
    names = node.get("activations") or [*kind.activations] * len(backward)
    if len(names) < count * len(backward):
        raise ValueError(f"{len(names)} activations where {count * len(backward)} are needed")
    functions = read_activations(
        names, node.get("activation_alpha", ()), node.get("activation_beta", ()), node.get("clip")
    )
    biases = np.zeros((len(w), 2 * kind.gates * hidden), w.dtype) if b is None else b
    return [
        (
            Direction(
                w=w[i],
                r=r[i],
                wb=biases[i, : kind.gates * hidden],
                rb=biases[i, kind.gates * hidden :],
                p=None if p is None else p[i],
                activations=tuple(functions[i * count : (i + 1) * count]),
                flag=bool(node.get(kind.flag, 0)),
            ),
            flag,
        )
        for i, flag in enumerate(backward)
    ]


LAYERS = dict.fromkeys(_KINDS, run_layer)

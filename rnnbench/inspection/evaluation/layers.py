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
from rnnbench.inspection.evaluation.nodes import Node, Operation, Values, padded

Array = np.ndarray
State = tuple[Array, ...]  # the hidden state, and the cell of an LSTM: (batch, hidden)
Product = Callable[[Array], Array]


@dataclass(frozen=True)
class Direction:
    """What one direction of a layer computes with.

    Attributes:
        project: (time, batch, input) -> (time, batch, gates * hidden): the product with W.
        recur: (batch, hidden) -> (batch, gates * hidden): the product with R.
        r: R (gates * hidden, hidden), of which a GRU needs a part.
        bias_w: (gates * hidden,).
        bias_r: (gates * hidden,).
        peepholes: (3 * hidden,), of an LSTM.
        activations: in the order of the attribute.
        flag: linear_before_reset of a GRU, input_forget of an LSTM.
        backward: whether it begins at the last step.
    """

    project: Product
    recur: Product
    r: Array
    bias_w: Array
    bias_r: Array
    peepholes: Array | None
    activations: tuple[Activation, ...]
    flag: bool
    backward: bool


def _rnn(x: Array, state: State, d: Direction) -> State:
    (f,) = d.activations
    return (f(x + d.recur(state[0]) + d.bias_r),)


def _gru(x: Array, state: State, d: Direction) -> State:
    f, g = d.activations
    (h,) = state
    both = 2 * h.shape[-1]
    if d.flag:
        recurrent = d.recur(h) + d.bias_r
        z, r = np.split(f(x[:, :both] + recurrent[:, :both]), 2, axis=1)
        inner = r * recurrent[:, both:]
    else:
        z, r = np.split(f(x[:, :both] + h @ d.r[:both].T + d.bias_r[:both]), 2, axis=1)
        inner = (r * h) @ d.r[both:].T + d.bias_r[both:]
    return ((1 - z) * g(x[:, both:] + inner) + z * h,)


def _lstm(x: Array, state: State, d: Direction) -> State:
    f, g, h = d.activations
    hidden, cell = state
    i, o, forget, c = np.split(x + d.recur(hidden) + d.bias_r, 4, axis=1)
    pi, po, pf = (None, None, None) if d.peepholes is None else np.split(d.peepholes, 3)
    i = f(i if pi is None else i + pi * cell)
    forget = 1 - i if d.flag else f(forget if pf is None else forget + pf * cell)
    cell = forget * cell + i * g(c)
    o = f(o if po is None else o + po * cell)
    return o * h(cell), cell


@dataclass(frozen=True)
class _Kind:
    cell: Callable[[Array, State, Direction], State]
    gates: int
    activations: tuple[str, ...]
    states: int
    flag: str


_KINDS = {
    "RNN": _Kind(_rnn, 1, ("Tanh",), 1, ""),
    "GRU": _Kind(_gru, 3, ("Sigmoid", "Tanh"), 1, "linear_before_reset"),
    "LSTM": _Kind(_lstm, 4, ("Sigmoid", "Tanh", "Tanh"), 2, "input_forget"),
}
_LSTM = _KINDS["LSTM"]


def _layer(node: Node, inputs: Values) -> list[Any]:
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
    products = [(_times(w[i]), _times(r[i])) for i in range(len(w))]
    directions = _directions(node, kind, products, r, b, rest[2])
    return run_directions(node, kind, directions, x, lens, rest[: kind.states])


def _times(w: Array) -> Product:
    return lambda x: np.asarray(x @ w.T)


def run_lstm(node: Node, inputs: Values, products: list[tuple[Product, Product]]) -> list[Any]:
    """Y, Y_h and Y_c of an LSTM whose products with W and R are others.

    Args:
        node: with the attributes of an LSTM.
        inputs: X, W and R of an LSTM, of which only the number of hidden units is read, B,
            sequence_lens, initial_h, initial_c and P.
        products: with W and with R, of each direction.
    """
    x, _, r, b, lens, *rest = padded(inputs, 8)
    directions = _directions(node, _LSTM, products, r, b, rest[2])
    return run_directions(node, _LSTM, directions, x, lens, rest[:2])


def run_directions(
    node: Node,
    kind: _Kind,
    directions: list[Direction],
    x: Array,
    lens: Array | None,
    starts: list[Any],
) -> list[Any]:
    """Y, and the last states, of a layer's directions side by side."""
    layout = node.get("layout", 0)
    x = x.swapaxes(0, 1) if layout else x
    steps, batch = x.shape[:2]
    hidden = directions[0].bias_r.size // kind.gates
    zeros = np.zeros((len(directions), batch, hidden), x.dtype)
    states = [
        zeros if start is None else start.swapaxes(0, 1) if layout else start for start in starts
    ]
    if any(state.shape != zeros.shape for state in states):
        raise ValueError(f"an initial state is not {zeros.shape}")
    lengths = _lengths(lens, steps, batch)
    results = [
        _run_direction(kind, direction, x, tuple(state[i] for state in states), lengths)
        for i, direction in enumerate(directions)
    ]
    y = np.stack([ys for ys, _ in results], axis=1)  # (time, directions, batch, hidden)
    last = [np.stack(ends) for ends in zip(*(end for _, end in results), strict=True)]
    if layout:
        return [y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in last)]
    return [y, *last]


def _run_direction(
    kind: _Kind, direction: Direction, x: Array, state: State, lengths: Array | None
) -> tuple[Array, State]:
    """Y (time, batch, hidden) of a direction, and the state after the last step of each row.

    Beyond a row's length Y is 0, and its state is that of its last step. A backward direction
    begins at the last step of each row's own length.
    """
    steps, batch = x.shape[:2]
    most = steps if lengths is None else int(lengths.max(initial=0))
    order = _order(steps, batch, lengths) if direction.backward else None
    x = x if order is None else np.take_along_axis(x, order, axis=0)
    projected = direction.project(x[:most]) + direction.bias_w
    y, last = np.zeros((steps, batch, state[0].shape[-1]), x.dtype), state
    for t in range(most):
        state = kind.cell(projected[t], state, direction)
        if lengths is None:
            last = state
        else:
            running = (t < lengths)[:, None]
            state = tuple(np.where(running, new, 0) for new in state)
            last = tuple(np.where(running, *pair) for pair in zip(state, last, strict=True))
        y[t] = state[0]
    return (y if order is None else np.take_along_axis(y, order, axis=0)), last


def _order(steps: int, batch: int, lengths: Array | None) -> Array:
    """Which step of a row is computed when: (time, batch, 1), and its own inverse."""
    index = np.broadcast_to(np.arange(steps)[:, None], (steps, batch))
    ends = np.full(batch, steps) if lengths is None else lengths
    return np.where(index < ends, ends - 1 - index, index)[:, :, None]


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
    node: Node,
    kind: _Kind,
    products: list[tuple[Product, Product]],
    r: Array,
    b: Array | None,
    p: Array | None,
) -> list[Direction]:
    backward = _backward(node.get("direction", "forward"), len(products))
    count, hidden = len(kind.activations), node.get("hidden_size", r.shape[-1])
    names = node.get("activations") or [*kind.activations] * len(backward)
    if len(names) < count * len(backward):
        raise ValueError(f"{len(names)} activations where {count * len(backward)} are needed")
    functions = read_activations(
        names, node.get("activation_alpha", ()), node.get("activation_beta", ()), node.get("clip")
    )
    off = node.precision.off
    if off is not None:
        functions = [
            _followed(function, name.lower(), off)
            for name, function in zip(names, functions, strict=False)
        ]
    width = kind.gates * hidden
    if b is None:
        b = np.zeros((len(backward), 2 * width), node.precision.dtype)
    return [
        Direction(
            project=project,
            recur=recur,
            r=r[i],
            bias_w=b[i, :width],
            bias_r=b[i, width:],
            peepholes=None if p is None else p[i],
            activations=tuple(functions[i * count : (i + 1) * count]),
            flag=bool(node.get(kind.flag, 0)),
            backward=backward[i],
        )
        for i, (project, recur) in enumerate(products)
    ]


def _backward(direction: str, count: int) -> list[bool]:
    """Whether each direction runs backward.

    Raises:
        ValueError: there are no such directions.
    """
    known = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    backward = known.get(direction.lower())
    if backward is None or len(backward) != count:
        raise ValueError(f"direction {direction!r} does not go with {count} weights W")
    return backward


def _followed(function: Activation, name: str, off: Callable[[Array, str], Array]) -> Activation:
    return lambda x: off(function(x), name)


LAYERS: dict[str, Operation] = dict.fromkeys(_KINDS, _layer)

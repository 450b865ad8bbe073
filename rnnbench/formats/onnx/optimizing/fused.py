"""The node that a cell is: RNN, GRU or LSTM, with its weights as ONNX lays them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.algebra.matrices import Matrices
from rnnbench.formats.onnx.optimizing.algebra.steps import Rows, Weights
from rnnbench.formats.onnx.optimizing.building import Builder
from rnnbench.formats.onnx.optimizing.graph import Array

_PEEPHOLES = 7  # the place of P among an LSTM's inputs
OPERATORS = {"rnn_tanh": "RNN", "rnn_relu": "RNN", "gru": "GRU", "lstm": "LSTM"}


@dataclass(frozen=True)
class Layer:
    """The weights of one direction.

    Attributes:
        kind: `rnn_tanh`, `rnn_relu`, `gru` or `lstm`.
        w: (gates * hidden, input), the gates i o f c or z r h.
        r: (gates * hidden, hidden).
        b: (2 * gates * hidden,); None: zeros.
        resets_after: a GRU's `linear_before_reset`.
        p: of an LSTM, (3 * hidden,), for the gates i o f; None: no gate looks at the cell state.
    """

    kind: str
    w: Array
    r: Array
    b: Array | None
    resets_after: bool
    p: Array | None = None

    @property
    def hidden_size(self) -> int:
        """Of the state."""
        return int(self.r.shape[1])


def layer_of(weights: Weights, matrices: Matrices, widths: list[int]) -> Layer:
    """The numbers of a cell's weights.

    Args:
        weights: as expressions.
        matrices: what these stand for.
        widths: the features of each thing that is fed.
    """
    size, dtype = weights.size, matrices.dtype
    w = [_stacked(matrices, rows, size, n) for rows, n in zip(weights.inputs, widths, strict=True)]
    r = _stacked(matrices, weights.recurrent, size, size)
    pairs = [_two(matrices, b, size) for b in weights.bias]
    if weights.kind == "gru" and weights.resets_after:
        pairs[-1] = pairs[-1][0] + pairs[-1][1], _vector(matrices, weights.reset_bias, size)
    b = np.concatenate([*(first for first, _ in pairs), *(second for _, second in pairs)])
    return Layer(
        weights.kind,
        np.concatenate(w, 1).astype(dtype),
        r.astype(dtype),
        b.astype(dtype) if b.any() else None,
        weights.resets_after,
        _peepholes(matrices, weights, size),
    )


def _peepholes(matrices: Matrices, weights: Weights, size: int) -> Array | None:
    if not weights.peepholes:
        return None
    found = [_diagonal(matrices, m, size) for m in weights.peepholes]
    return np.concatenate(found).astype(matrices.dtype)


def _diagonal(matrices: Matrices, number: int | None, size: int) -> Array:
    times = 0.0 if number is None else matrices.of_eye(number)
    return np.full(size, times) if times is not None else np.diag(matrices.value(number))  # type: ignore[arg-type]


def _two(matrices: Matrices, number: int | None, size: int) -> tuple[Array, Array]:
    """A bias as two, as the operators have it: PyTorch's own two, so that nothing is rounded."""
    parts = [] if number is None else matrices.addends(number)
    if len(parts) == 2:
        return matrices.value(parts[0]), matrices.value(parts[1])
    total = _vector(matrices, number, size)
    near = total.astype(matrices.dtype).astype(np.float64)
    return near, total - near


def widths(matrices: Matrices, weights: Weights) -> list[int]:
    """The features of each thing that a cell is fed."""
    known = ([m for m in rows if m is not None] for rows in weights.inputs)
    return [int(matrices.value(found[0]).shape[1]) for found in known]


def _stacked(matrices: Matrices, rows: Rows, size: int, width: int) -> Array:
    """The matrices of all gates, one below the other: (gates * hidden, features)."""
    found = [np.zeros((size, width)) if m is None else matrices.value(m) for m in rows]
    return np.concatenate(found)


def _vector(matrices: Matrices, number: int | None, size: int) -> Array:
    return np.zeros(size) if number is None else matrices.value(number)


def add_layer(
    build: Builder,
    layers: list[Layer],
    x: str,
    states: list[str],
    *,
    direction: str,
    wanted: tuple[bool, bool, bool],
) -> list[str]:
    """Adds the node; the names of Y, Y_h and Y_c, empty where they are not wanted.

    Args:
        build: adds it.
        layers: one for each direction.
        x: (time, batch, input).
        states: what it starts from, each (directions, batch, hidden); empty where that is zeros.
        direction: `forward`, `reverse` or `bidirectional`.
        wanted: which results are read.
    """
    first = layers[0]
    w = build.constant(np.stack([s.w for s in layers]), "W")
    r = build.constant(np.stack([s.r for s in layers]), "R")
    b = ""
    if any(s.b is not None for s in layers):
        rows = [np.zeros(2 * len(s.w), s.w.dtype) if s.b is None else s.b for s in layers]
        b = build.constant(np.stack(rows), "B")
    attributes: dict[str, Any] = {"hidden_size": first.hidden_size}
    if direction != "forward":
        attributes["direction"] = direction
    if first.kind == "gru":
        attributes["linear_before_reset"] = int(first.resets_after)
    if first.kind == "rnn_relu":
        attributes["activations"] = ["Relu"] * len(layers)
    operator = OPERATORS[first.kind]
    inputs = [x, w, r, b, "", *states]
    if any(layer.p is not None for layer in layers):
        inputs += [""] * (_PEEPHOLES - len(inputs))
        inputs.append(build.constant(np.stack([_of_all(s) for s in layers]), "P"))
    return _outputs(build, operator, inputs, wanted, attributes)


def _of_all(layer: Layer) -> Array:
    """The peepholes of a direction, zeros where it has none."""
    if layer.p is None:
        return np.zeros(3 * layer.hidden_size, layer.w.dtype)
    return layer.p


def _outputs(
    build: Builder,
    operator: str,
    inputs: list[str],
    wanted: tuple[bool, bool, bool],
    attributes: dict[str, Any],
) -> list[str]:
    """A node whose results that nobody reads have no name."""
    from onnx import helper

    graph = build.graph
    name = graph.new_name(f"{build.stem}/{operator}")
    results = zip(("Y", "Y_h", "Y_c"), wanted, strict=True)
    names = [graph.new_name(f"{name}_{what}") if w else "" for what, w in results]
    listed = list(inputs)
    while not listed[-1]:
        listed.pop()
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    graph.add(helper.make_node(operator, listed, kept, name=name, **attributes), build.anchor)
    for what, axes in zip(names, (4, 3, 3), strict=True):
        if what:
            graph.shapes[what] = (None,) * axes
    return names

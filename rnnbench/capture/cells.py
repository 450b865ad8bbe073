"""Recognises the step of an Elman RNN, a GRU or an LSTM in the body of a loop."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from rnnbench.capture.blocks import Block
from rnnbench.capture.canonical import shape_of
from rnnbench.capture.fission import Piece

aten = torch.ops.aten

_CELLS = {
    aten.rnn_tanh_cell.default: "rnn_tanh",
    aten.rnn_relu_cell.default: "rnn_relu",
    aten.gru_cell.default: "gru",
    aten.lstm_cell.default: "lstm",
}


@dataclass(frozen=True)
class Cell:
    """A piece of a body that is one step of a known layer.

    Attributes:
        kind: `rnn_tanh`, `rnn_relu`, `gru` or `lstm`.
        x: the inputs of the step, side by side along their last dimension: positions of the body,
            or nodes from outside the loop, which are the same in every step.
        hidden: the position of the hidden state.
        cell_state: the position of an LSTM's cell state.
        weights: `weight_ih`, `weight_hh` and, if the cell has them, `bias_ih`, `bias_hh`.
    """

    kind: str
    x: tuple[int | fx.Node, ...]
    hidden: int
    cell_state: int | None
    weights: tuple[fx.Node | Tensor, ...]


def match_cell(block: Block, piece: Piece, needed: set[int]) -> Cell | None:
    """The cell that a recurring piece of a body computes, or None.

    Args:
        block: the loop.
        piece: a piece of its body that recurs.
        needed: the positions whose values of all steps somebody else reads.
    """
    body = block.body
    index = {n: j for j, n in enumerate(body)}
    calls = [j for j in piece.positions if body[j].target in _CELLS]
    others = [j for j in piece.positions if j not in calls]
    if len(calls) != 1 or any(body[j].target is not operator.getitem for j in others):
        return None
    at = calls[0]
    node = body[at]
    kind = _CELLS[node.target]  # type: ignore[index]
    x, weights = node.args[0], [a for a in node.args[2:] if a is not None]
    if not isinstance(x, fx.Node) or (at, 0) in block.previous or len(shape_of(x) or ()) != 2:
        return None
    if any(not isinstance(w, fx.Node) or w in index for w in weights):
        return None
    hidden = block.previous.get((at, 1))
    cell_state = block.previous.get((at, 2)) if kind == "lstm" else None
    outputs = {body[j].args[1]: j for j in others}
    if kind == "lstm":
        if (hidden, cell_state) != (outputs.get(0), outputs.get(1)) or cell_state in needed:
            return None
    elif hidden != at:
        return None
    assert hidden is not None
    return Cell(kind, (index.get(x, x),), hidden, cell_state, tuple(weights))  # type: ignore[arg-type]

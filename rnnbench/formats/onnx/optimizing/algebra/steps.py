"""One step of a cell: its weights, what it is fed, and the states before and behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Rows = tuple[int | None, ...]
"""A matrix or vector for each gate; None: zeros."""


class Weights(NamedTuple):
    """What a cell computes with: the same of two steps where their weights are.

    Attributes:
        kind: `rnn_tanh`, `rnn_relu`, `gru` or `lstm`.
        inputs: for each thing that is fed its matrices, the gates in ONNX's order; the things in
            the order of their matrices.
        recurrent: the matrices for the state.
        bias: the vectors.
        reset_bias: of a GRU, what is added to the state's product and reset with it.
        resets_after: of a GRU, whether the product with the state is reset, or the state before it.
        size: of the state.
        peepholes: of an LSTM, diagonal matrices of the cell state, for the gates i, o and f; empty
            where none looks at it.
    """

    kind: str
    inputs: tuple[Rows, ...]
    recurrent: Rows
    bias: Rows
    reset_bias: int | None
    resets_after: bool
    size: int
    peepholes: Rows = ()


@dataclass(frozen=True)
class Step:
    """One step of a cell.

    Attributes:
        weights: what it computes with.
        fed: the sources that it is fed, in the order of `weights.inputs`.
        before: the source of the hidden state; for an LSTM then of the cell state. A vector that is
            constant is its number, negative and less one.
        after: the values that are the states behind the step.
    """

    weights: Weights
    fed: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[str, ...]

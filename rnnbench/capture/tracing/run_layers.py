"""A stack of recurrent layers as one operator each."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnbench.capture.operators.recurrence import recurrence
from rnnbench.capture.tracing.projection import projected_layer


def run_layers(
    x: Tensor,
    hx: list[Tensor],
    weights: list[Tensor],
    kind: str,
    *,
    bias: bool,
    num_layers: int,
    bidirectional: bool,
    lengths: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """A stack of layers as one `rnnbench::recurrence` each.

    Args:
        x: (time, batch, input).
        hx: h0 and, of an LSTM, c0: (num_layers * directions, batch, hidden or projection).
        weights: as in `RNNBase._flat_weights`.
        kind: one of `rnnbench.core.recurrence.KINDS`.
        bias: whether `weights` has biases.
        num_layers: how many layers are stacked.
        bidirectional: whether each layer runs both ways.
        lengths: (batch,) valid steps per row, or None.

    Returns:
        y (time, batch, directions * hidden), and the final states, shaped as `hx`.
    """
    directions = 2 if bidirectional else 1
    direction = "bidirectional" if bidirectional else "forward"
    per_layer = len(weights) // num_layers
    projected = per_layer // directions > (4 if bias else 2)  # a weight_hr beside the usual ones
    final: list[list[Tensor]] = []
    for k in range(num_layers):
        # [num_layers * directions, batch, hidden] -> [directions, batch, hidden]
        states = [s[k * directions : (k + 1) * directions] if num_layers > 1 else s for s in hx]
        own = list(weights[k * per_layer : (k + 1) * per_layer])
        if projected:
            x, *after = projected_layer(x, lengths, states[0], states[1], own, directions)
        else:
            h0, c0 = states[0], states[1] if kind == "lstm" else None
            # x [time, batch, directions * hidden] is the input of the next layer
            x, *after = recurrence(x, lengths, h0, c0, own, kind, direction)
        final.append(after)
    # Of each state: [directions, batch, hidden] a layer -> [layers * directions, batch, hidden]
    stacked = [
        torch.cat([layer[i] for layer in final]) if num_layers > 1 else final[0][i]
        for i in range(len(hx))
    ]
    return x, stacked

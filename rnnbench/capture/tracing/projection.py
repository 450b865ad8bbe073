"""LSTM layers with projections (`proj_size`): ONNX has no operator for them, so they are scans.

Of an `nn.LSTM(4, 4, proj_size=2)` over an x [time, batch, 4]:

    lstm.input(x, [h0, c0], [w_ih, w_hh, b_ih, b_hh, w_hr], ...)
    ->
    linear = linear(x, w_ih, b_ih + b_hh)                        [time, batch, 16]
    scan(body, [h0[0], c0[0]], [linear], (w_hh, w_hr))
    def body(h, c, x_t, w_hh, w_hr):                             [batch, 2], [batch, 4], [batch, 16]
        chunk = chunk(x_t + linear(h, w_hh), 4, -1)              four times [batch, 4]
        ...
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from rnnbench.capture.operators.scan import scan


def projected_layer(
    x: Tensor,
    lengths: Tensor | None,
    h0: Tensor,
    c0: Tensor,
    weights: list[Tensor],
    directions: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """One LSTM layer with projections, after Sak et al., https://arxiv.org/abs/1402.1128.

    Args:
        x: (time, batch, input).
        lengths: (batch,) valid steps per row, or None.
        h0: (directions, batch, projection).
        c0: (directions, batch, hidden).
        weights: w_ih, w_hh, (b_ih, b_hh,) w_hr of each direction.
        directions: 1, or 2 for a bidirectional layer.

    Returns:
        y (time, batch, directions * projection), h_n and c_n, shaped as h0 and c0.
    """
    each = len(weights) // directions  # 3 weights, or 5 with biases
    outs = [
        _one_direction(x, lengths, h0[d], c0[d], weights[d * each : (d + 1) * each], reverse=d == 1)
        for d in range(directions)
    ]
    # y [time, batch, directions * projection] of [time, batch, projection] each
    y = torch.cat([o[0] for o in outs], -1) if directions > 1 else outs[0][0]
    # [directions, batch, projection] and [directions, batch, hidden]
    return y, torch.stack([o[1] for o in outs]), torch.stack([o[2] for o in outs])


def _one_direction(
    x: Tensor,
    lengths: Tensor | None,
    h0: Tensor,
    c0: Tensor,
    weights: list[Tensor],
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """One direction: x (time, batch, input), h0 (batch, projection), c0 (batch, hidden)."""
    # Detached: a scan clones what it closes over to try its step, and fake parameters refuse that.
    # w_ih [4 * hidden, input], w_hh [4 * hidden, projection], w_hr [projection, hidden]
    w_ih, w_hh, *biases, w_hr = (w.detach() for w in weights)
    # What the inputs give, of all steps at once: [time, batch, 4 * hidden]
    gates = linear(x, w_ih, biases[0] + biases[1] if biases else None)
    xs = [gates.flip(0) if reverse else gates]
    if lengths is not None:
        steps = torch.arange(x.shape[0], device=x.device)  # [time]
        # [time, 1] < [1, batch] -> [time, batch] -> [time, batch, 1]
        valid = (steps.unsqueeze(1) < lengths.unsqueeze(0)).unsqueeze(2)
        xs.append(valid.flip(0) if reverse else valid)

    def step(h: Tensor, c: Tensor, gate: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        # h [batch, projection], c [batch, hidden], gate [batch, 4 * hidden], valid [batch, 1]
        *valid, w_hh, w_hr = rest
        i, f, g, o = (gate + linear(h, w_hh)).chunk(4, -1)  # [batch, hidden] each
        c_new = f.sigmoid() * c + i.sigmoid() * g.tanh()  # [batch, hidden]
        h_new = linear(o.sigmoid() * c_new.tanh(), w_hr)  # [batch, projection]
        if not valid:
            return h_new, c_new, h_new.clone()
        # A row that has ended keeps its states, and gives 0.
        held = torch.where(valid[0], h_new, h), torch.where(valid[0], c_new, c)
        return *held, torch.where(valid[0], h_new, torch.zeros_like(h_new))

    # h [batch, projection], c [batch, hidden], y [time, batch, projection]
    h, c, y = scan(step, (h0, c0), xs, (w_hh, w_hr))
    return (y.flip(0) if reverse else y), h, c

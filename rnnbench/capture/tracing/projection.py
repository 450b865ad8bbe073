"""LSTM layers with projections (`proj_size`): ONNX has no operator for them, so they are scans."""

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
    each = len(weights) // directions
    outs = [
        _one_direction(x, lengths, h0[d], c0[d], weights[d * each : (d + 1) * each], reverse=d == 1)
        for d in range(directions)
    ]
    y = torch.cat([o[0] for o in outs], -1) if directions > 1 else outs[0][0]
    return y, torch.stack([o[1] for o in outs]), torch.stack([o[2] for o in outs])


def _one_direction(
    x: Tensor,
    lengths: Tensor | None,
    h0: Tensor,
    c0: Tensor,
    weights: list[Tensor],
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    # Detached: a scan clones what it closes over to try its step, and fake parameters refuse that.
    w_ih, w_hh, *biases, w_hr = (w.detach() for w in weights)
    gates = linear(x, w_ih, biases[0] + biases[1] if biases else None)
    xs = [gates.flip(0) if reverse else gates]
    if lengths is not None:
        steps = torch.arange(x.shape[0], device=x.device)
        valid = (steps.unsqueeze(1) < lengths.unsqueeze(0)).unsqueeze(2)
        xs.append(valid.flip(0) if reverse else valid)

    def step(
        carry: tuple[Tensor, Tensor], x_t: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        h, c = carry
        gate, *valid = x_t
        i, f, g, o = (gate + linear(h, w_hh)).chunk(4, -1)
        c_new = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h_new = linear(o.sigmoid() * c_new.tanh(), w_hr)
        if not valid:
            return (h_new, c_new), h_new.clone()
        held = torch.where(valid[0], h_new, h), torch.where(valid[0], c_new, c)
        return held, torch.where(valid[0], h_new, torch.zeros_like(h_new))

    (h, c), y = scan(step, (h0, c0), tuple(xs))
    return (y.flip(0) if reverse else y), h, c

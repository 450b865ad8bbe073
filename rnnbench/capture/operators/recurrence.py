"""`rnnbench::recurrence`: one layer of an RNN, GRU or LSTM, in one or two directions.

It is the currency between `capture` and `formats`: whatever the author wrote, a recurrence that is
known becomes one call of this operator, and each format translates the call. Its fake kernel keeps
batch and time symbolic, which PyTorch's own layers do not (pytorch#115092, pytorch#126339).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

DIRECTIONS = ("forward", "bidirectional")

_library = torch.library.Library("rnnbench", "DEF")
_library.define(
    "recurrence(Tensor x, Tensor? lengths, Tensor? h0, Tensor? c0, Tensor[] weights, "
    "str kind, str direction) -> (Tensor, Tensor, Tensor)"
)


def num_directions(direction: str) -> int:
    """How many directions one of `DIRECTIONS` has.

    A loop that runs backwards alone is a forward layer whose steps are flipped.
    """
    return 1 + DIRECTIONS.index(direction)


def fused(
    x: Tensor,
    lengths: Tensor | None,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: list[Tensor],
    kind: str,
    direction: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer, computed by PyTorch's fused kernels.

    Args:
        x: (time, batch, input).
        lengths: (batch,) int64, valid steps per row in any order; None: all are.
        h0: (directions, batch, hidden); None: zeros.
        c0: likewise, of an LSTM.
        weights: `weight_ih`, `weight_hh` and, unless the layer has none, `bias_ih`, `bias_hh` of
            each direction, gates in PyTorch's order.
        kind: one of `rnnbench.core.recurrence.KINDS`.
        direction: one of `DIRECTIONS`.

    Returns:
        y (time, batch, directions * hidden), 0 where a row has ended; h_n and c_n
        (directions, batch, hidden); c_n has no elements unless `kind` is `lstm`.
    """
    directions = num_directions(direction)
    hidden = weights[1].shape[1]  # weight_hh is [gates * hidden, hidden]
    zeros = x.new_zeros(directions, x.shape[1], hidden)  # [directions, batch, hidden]
    h0 = zeros if h0 is None else h0
    c0 = zeros if c0 is None else c0
    hx = [h0, c0] if kind == "lstm" else h0
    bias = len(weights) == 4 * directions  # else two of each direction
    layer = getattr(torch.ops.aten, kind)
    if lengths is None:
        # y [time, batch, directions * hidden], h_n and c_n [directions, batch, hidden]
        out = layer(x, hx, weights, bias, 1, 0.0, False, directions == 2, False)
        y, states = out[0], out[1:]
    else:
        y, states = _ragged(layer, x, lengths, hx, weights, bias, directions)
    cn = states[1] if kind == "lstm" else x.new_zeros(0)  # an operator has no optional result
    return y, states[0], cn


def _ragged(
    layer: torch._ops.OpOverloadPacket,
    x: Tensor,
    lengths: Tensor,
    hx: Tensor | list[Tensor],
    weights: list[Tensor],
    bias: bool,
    directions: int,
) -> tuple[Tensor, list[Tensor]]:
    """The same on packed rows, which PyTorch's kernels take sorted by their length."""
    packed = pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
    # packed.data [sum of the lengths, input], packed.batch_sizes [longest]: rows still running
    order, back = packed.sorted_indices, packed.unsorted_indices  # [batch] each
    assert order is not None
    assert back is not None
    given = hx if isinstance(hx, list) else [hx]
    ordered = [h.index_select(1, order) for h in given]  # [directions, batch, hidden]
    hx = ordered if isinstance(hx, list) else ordered[0]
    args = (packed.data, packed.batch_sizes, hx, weights, bias, 1, 0.0, False, directions == 2)
    data, *states = layer(*args)  # data [sum of the lengths, directions * hidden]
    # As long as x, not as the longest row: y [time, batch, directions * hidden]
    y, _ = pad_packed_sequence(packed._replace(data=data), total_length=x.shape[0])
    return y, [s.index_select(1, back) for s in states]


_library.impl("recurrence", fused, "CompositeExplicitAutograd")


def _shapes(
    x: Tensor,
    lengths: Tensor | None,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: list[Tensor],
    kind: str,
    direction: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """What a trace sees: sizes alone, taken from the inputs, so that they stay symbolic."""
    directions = num_directions(direction)
    hidden = weights[1].shape[1]
    time, batch = x.shape[0], x.shape[1]
    state = x.new_empty(directions, batch, hidden)  # h_n; PyTorch's fake kernels fix its batch
    cn = x.new_empty(directions, batch, hidden) if kind == "lstm" else x.new_empty(0)
    return x.new_empty(time, batch, directions * hidden), state, cn


torch.library.register_fake("rnnbench::recurrence", _shapes, lib=_library)
recurrence = torch.ops.rnnbench.recurrence.default

"""Long short-term memory (Hochreiter and Schmidhuber, 1997; forget gate: Gers et al., 2000)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rnnbench.models.variants._network import (
    BidirectionalNetwork,
    layer_sizes,
    make_head,
    name_as_fused,
    same,
)

if TYPE_CHECKING:
    from rnnbench.models.variants import Options

FORMS = {
    "lstm-loop": "nn.LSTMCell in a Python loop over time",
    "lstm": "nn.LSTM, the fused layer",
}
INPUT = "features"
STATES = {"h0": "hn", "c0": "cn"}
LAYERS = 1
TWINS = {"lstm-loop": ("lstm", same), "lstm": ("lstm-loop", same)}


class LSTMLoop(nn.Module):
    """One `nn.LSTMCell` per layer in a Python loop over time."""

    def __init__(self, cells: Iterable[nn.LSTMCell], dropout: float) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cells)
        self.dropout = nn.Dropout(dropout)
        name_as_fused(self)

    def forward(
        self, x: Tensor, states: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """As `nn.LSTM`: `x` [time, batch, input], `states` two of [layer, batch, hidden]."""
        last_h, last_c = [], []
        for layer, cell in enumerate(self.cells):
            h, c, steps = states[0][layer], states[1][layer], []
            for x_t in (x if layer == 0 else self.dropout(x)).unbind(0):
                h, c = cell(x_t, (h, c))
                steps.append(h)
            x = torch.stack(steps)
            last_h.append(h)
            last_c.append(c)
        return x, (torch.stack(last_h), torch.stack(last_c))


class LSTMNetwork(nn.Module):
    """A recurrence with two states, then a head."""

    def __init__(self, rnn: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn
        self.head = head

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`x` [time, batch, input] -> `y` [time, batch, output], `hn`, `cn`."""
        y, (hn, cn) = self.rnn(x, (h0, c0))
        return self.head(y), hn, cn


def build(form: str, options: Options) -> nn.Module:
    """The loop over cells, or the fused layer, then the head."""
    if form == "lstm-loop":
        cells = (nn.LSTMCell(size, options.hidden_size) for size in layer_sizes(options))
        return LSTMNetwork(LSTMLoop(cells, options.dropout), make_head(options))
    rnn = nn.LSTM(
        options.input_size,
        options.hidden_size,
        options.num_layers,
        dropout=options.dropout,
        bidirectional=options.bidirectional,
    )
    network = BidirectionalNetwork if options.bidirectional else LSTMNetwork
    return network(rnn, make_head(options))

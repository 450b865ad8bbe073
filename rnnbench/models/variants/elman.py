"""The Elman network (Elman, Finding structure in time, 1990): h' = tanh(W x + b + U h + c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from rnnbench.models.variants._network import (
    BidirectionalNetwork,
    CellLoop,
    Network,
    layer_sizes,
    make_head,
    same,
)

if TYPE_CHECKING:
    from rnnbench.models.variants import Options

FORMS = {
    "elman-loop": "nn.RNNCell in a Python loop over time",
    "elman": "nn.RNN, the fused layer (tanh or relu)",
}
INPUT = "features"
STATES = {"h0": "hn"}
LAYERS = 1
TWINS = {"elman-loop": ("elman", same), "elman": ("elman-loop", same)}


def build(form: str, options: Options) -> nn.Module:
    """The loop over cells, or the fused layer, then the head."""
    if form == "elman-loop":
        cells = (
            nn.RNNCell(size, options.hidden_size, nonlinearity=options.nonlinearity)
            for size in layer_sizes(options)
        )
        return Network(CellLoop(cells, options.dropout), make_head(options))
    rnn = nn.RNN(
        options.input_size,
        options.hidden_size,
        options.num_layers,
        nonlinearity=options.nonlinearity,
        dropout=options.dropout,
        bidirectional=options.bidirectional,
    )
    network = BidirectionalNetwork if options.bidirectional else Network
    return network(rnn, make_head(options))

"""The gated recurrent unit (Cho et al., 2014), in the form whose reset gate follows the product."""

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
    "gru-loop": "nn.GRUCell in a Python loop over time",
    "gru": "nn.GRU, the fused layer",
}
INPUT = "features"
STATES = {"h0": "hn"}
LAYERS = 1
TWINS = {"gru-loop": ("gru", same), "gru": ("gru-loop", same)}


def build(form: str, options: Options) -> nn.Module:
    """The loop over cells, or the fused layer, then the head."""
    if form == "gru-loop":
        cells = (nn.GRUCell(size, options.hidden_size) for size in layer_sizes(options))
        return Network(CellLoop(cells, options.dropout), make_head(options))
    rnn = nn.GRU(
        options.input_size,
        options.hidden_size,
        options.num_layers,
        dropout=options.dropout,
        bidirectional=options.bidirectional,
    )
    network = BidirectionalNetwork if options.bidirectional else Network
    return network(rnn, make_head(options))

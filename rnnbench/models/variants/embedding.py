"""Ids through an embedding into a deep Elman network, batch first, then a linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from rnnbench.core.errors import RnnbenchError
from rnnbench.models.variants._network import make_head

if TYPE_CHECKING:
    from rnnbench.models.variants import Options

FORMS = {"embedding": "nn.Embedding, nn.RNN of two layers (batch first), nn.Linear"}
INPUT = "ids"
STATES = {"h0": "hn"}
LAYERS = 2
TWINS: dict[str, Any] = {}


class EmbeddingNetwork(nn.Module):
    """Embedding, recurrence, head."""

    def __init__(self, options: Options, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, options.input_size)
        self.rnn = nn.RNN(
            options.input_size,
            options.hidden_size,
            options.num_layers,
            nonlinearity=options.nonlinearity,
            batch_first=True,
            dropout=options.dropout,
            bidirectional=options.bidirectional,
        )
        self.head = make_head(options)

    def forward(self, ids: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """`ids` [batch, time], `h0` [layer, batch, hidden] -> `y` [batch, time, output], `hn`."""
        y, hn = self.rnn(self.embedding(ids), h0)
        return self.head(y), hn


class BidirectionalEmbeddingNetwork(EmbeddingNetwork):
    """The same in both directions: it needs the whole sequence, so has no state."""

    def forward(self, ids: Tensor) -> Tensor:  # type: ignore[override]
        """`ids` [batch, time] -> `y` [batch, time, output]."""
        y: Tensor = self.head(self.rnn(self.embedding(ids))[0])
        return y


def build(form: str, options: Options) -> nn.Module:
    """The network; there is one form only."""
    if options.vocabulary is None:
        raise RnnbenchError(f"variant {form!r} reads ids: give vocabulary, the number of them")
    network = BidirectionalEmbeddingNetwork if options.bidirectional else EmbeddingNetwork
    return network(options, options.vocabulary)

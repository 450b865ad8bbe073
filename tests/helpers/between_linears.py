"""A GRU between two linears, with its state outside: all of it can be of whole numbers."""

import torch
from torch import nn

from rnnbench import Model, TensorSpec


class BetweenLinears(nn.Module):
    """A linear, a layer with its state outside, a linear."""

    def __init__(self):
        super().__init__()
        self.into = nn.Linear(6, 16)
        self.rnn = nn.GRU(16, 24, batch_first=True)
        self.out = nn.Linear(24, 5)

    def forward(self, x, h):
        y, last = self.rnn(self.into(x).relu(), h)
        return self.out(y), last


def between_linears():
    """The model of it."""
    torch.manual_seed(0)
    inputs = (
        TensorSpec("x", ("batch", "time", 6)),
        TensorSpec("h", (1, "batch", 24), role="state"),
    )
    return Model(BetweenLinears().eval(), inputs, ("y", "hn"), states={"h": "hn"})

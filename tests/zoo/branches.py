"""Modules that ask for the truth of a tensor, and go one of two ways."""

import torch
from torch import nn

from rnnbench import TensorSpec
from tests.zoo import LENGTHS, XB, entry

H = 4
MASK = TensorSpec("mask", ("batch", "time"), dtype="bool")


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.GRU(3, H, batch_first=True), nn.Linear(H, 2)


@entry(XB, MASK)
class MasksIfThereIsAMask(Layer):
    def forward(self, x, mask):
        y = self.rnn(x)[0]
        if mask.any():
            y = y.masked_fill(mask.unsqueeze(-1), 0.0)
        return self.out(y)


@entry(XB, outputs="y hn", expect="fused fused")
class LoudAndQuiet(Layer):
    """Two questions, the second on one of the ways alone; a layer that runs on one way."""

    def forward(self, x):
        y, h = self.rnn(x)
        if x.abs().mean() > 0.8:
            y, h = self.rnn(torch.tanh(x), h)
            if bool((h > 0).all()):
                h = -h
        return self.out(y), h


@entry(XB, LENGTHS, expect="scan scan")
class ChecksItsInput(nn.Module):
    """A way that raises is none; what is asked before a loop is asked once."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(3 + H, H)

    def forward(self, x, lengths):
        if (lengths < 1).any():
            raise ValueError("a row without steps")
        assert (lengths <= x.size(1)).all()
        full = bool((lengths == x.size(1)).all())
        h, seen = x.new_zeros(x.size(0), H), []
        for t in range(x.size(1)):
            new = torch.sin(self.cell(torch.cat([x[:, t], h], -1)))
            h = new if full else torch.where((t < lengths).unsqueeze(-1), new, h)
            seen.append(h)
        return torch.stack(seen, 1)

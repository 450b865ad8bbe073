"""Models that compute with their sizes: rounded, divided, as fractions."""

import math

import torch
from torch import nn

from tests.zoo import XB, entry


class WithGru(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)


@entry(XB, outputs="scaled mean first rest")
class NumbersOfSizes(WithGru):
    """Functions of Python that would make a number of a size: sqrt, float, divmod."""

    def forward(self, x):
        y, _ = self.rnn(x)
        blocks, over = divmod(x.size(1), 4)
        scaled = y @ y.transpose(1, 2) / math.sqrt(x.size(1))
        return scaled, y.sum(1) / float(x.size(1)), y[:, : blocks + 1], torch.relu(y[:, over:])

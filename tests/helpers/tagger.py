"""A model with every sort of matrix that `--precision` rounds."""

import torch
from torch import nn

from rnnbench import Model, TensorSpec


class Tagger(nn.Module):
    """Layers, a convolution, a loop over time and a parameter of no layer.

    Args:
        kind: of the layers.
        hidden: of these.
        cell: whether a step is a GRUCell; else it is none that is known, and stays a scan.
    """

    def __init__(self, kind="LSTM", hidden=19, cell=True):
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.front = nn.Conv1d(8, 12, 3, padding=1)
        self.rnn = getattr(nn, kind)(12, hidden, 2, batch_first=True, bidirectional=True)
        self.step = nn.GRUCell(2 * hidden, 7) if cell else nn.Linear(2 * hidden, 7)
        self.mix = nn.Parameter(0.2 * torch.randn(7, 7))
        self.out = nn.Linear(7, 5)
        self.is_cell = cell

    def forward(self, words):
        x = self.front(self.embed(words).transpose(1, 2)).transpose(1, 2)
        y = self.rnn(x)[0]
        h, steps = y.new_zeros(len(words), 7), []
        for t in range(y.shape[1]):
            mixed = h @ self.mix
            h = self.step(y[:, t], mixed) if self.is_cell else torch.sin(self.step(y[:, t]) + mixed)
            steps.append(self.out(h))
        return torch.stack(steps, 1)


def tagger(kind="LSTM", *, cell=True):
    """The model of it, of words that are numbers below 30."""
    torch.manual_seed(1)
    words = TensorSpec("words", ("batch", "time"), dtype="int64", high=30)
    return Model(Tagger(kind, cell=cell).eval(), (words,), ("tags",))

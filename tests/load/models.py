"""Large models and many, for `rnnbench export tests/load/models.py:deep` and its kin."""

from functools import partial

import torch
from torch import nn

from rnnbench import Model, TensorSpec


def deep() -> Model:
    """24 layers of 1,024: 150 million weights."""
    torch.manual_seed(0)

    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(40, 1024, 24, batch_first=True)

        def forward(self, x):
            return self.gru(x)[0]

    return Model(Deep(), (TensorSpec("x", ("batch", "time", 40)),), ("y",), name="deep")


def words() -> Model:
    """A vocabulary of 500,000, to read and to choose from."""
    torch.manual_seed(0)
    count = 500_000

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(count, 32)
            self.gru = nn.GRU(32, 32, batch_first=True)
            self.out = nn.Linear(32, count)

        def forward(self, tokens):
            return self.out(self.gru(self.embedding(tokens))[0])

    tokens = TensorSpec("tokens", ("batch", "time"), dtype="int64", high=count)
    return Model(Words(), (tokens,), ("logits",), name="words")


def many() -> Model:
    """1,000 outputs."""
    torch.manual_seed(0)

    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(3, 1000, batch_first=True)

        def forward(self, x):
            return tuple(y.squeeze(-1) for y in self.gru(x)[0].split(1, -1))

    names = tuple(f"y{i}" for i in range(1000))
    return Model(Many(), (TensorSpec("x", ("batch", "time", 3)),), names, name="many")


def streamed() -> Model:
    """A GRU with its state."""
    torch.manual_seed(0)
    inputs = TensorSpec("x", ("time", "batch", 3)), TensorSpec("h0", (1, "batch", 8), role="state")
    return Model(nn.GRU(3, 8), inputs, ("y", "hn"), states={"h0": "hn"}, name="streamed")


def _small(i: int) -> Model:
    torch.manual_seed(i)
    x = TensorSpec("x", ("time", "batch", 3))
    return Model(nn.GRU(3, 4 + i % 5), (x,), ("y", "hn"), name=f"small{i}")


for _i in range(40):
    globals()[f"small{_i}"] = partial(_small, _i)

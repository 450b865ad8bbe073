"""The models that are attacked: each hides what another does not."""

from functools import cache

import torch
from torch import nn

from rnnbench import Model, TensorSpec

X = TensorSpec("x", ("batch", "time", 6))
LENGTHS = TensorSpec("lengths", ("batch",), dtype="int64", role="lengths")
STATE = TensorSpec("h", (1, "batch", 8), role="state")


class Plain(nn.Module):
    """A fused layer and a head."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(6, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


class OwnCell(nn.Module):
    """A cell of its own in a Python loop, which stays a scan."""

    def __init__(self):
        super().__init__()
        self.i, self.h = nn.Linear(6, 8), nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        state, seen = x.new_zeros(x.size(0), 8), []
        for t in range(x.size(1)):
            state = torch.tanh(self.norm(self.i(x[:, t]) + self.h(state))) * 0.9 + 0.1 * state
            seen.append(state)
        return torch.stack(seen, 1)


class Scales(nn.Module):
    """A pressure in Pa beside a humidity between 0 and 1, in one output."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(6, 8, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        y = self.head(self.rnn(x)[0])
        return torch.stack([y[..., 0] * 500 + 101_325, torch.sigmoid(y[..., 1])], -1)


class Masked(nn.Module):
    """Scores that are -1e9 beyond the lengths."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(6, 8, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x, lengths):
        scores = self.head(self.rnn(x)[0])
        over = torch.arange(x.size(1), device=x.device)[None] >= lengths[:, None]
        return scores.masked_fill(over[..., None], -1e9)


class Units(nn.Module):
    """Two outputs of unlike size."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(6, 8, batch_first=True)
        self.metres, self.millimetres = nn.Linear(8, 2), nn.Linear(8, 2)

    def forward(self, x):
        y = self.rnn(x)[0]
        return self.metres(y) * 1e-3, self.millimetres(y)


class Siamese(nn.Module):
    """One encoder, called twice."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(6, 8, batch_first=True)

    def forward(self, a, b):
        left, right = self.rnn(a)[1][0], self.rnn(b)[1][0]
        return torch.exp(-(left - right).abs().sum(-1))


class Attentive(nn.Module):
    """Attention over the steps of a bidirectional layer."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(6, 4, batch_first=True, bidirectional=True)
        self.query, self.head = nn.Linear(8, 1), nn.Linear(8, 3)

    def forward(self, x):
        y = self.rnn(x)[0]
        weights = torch.softmax(self.query(torch.tanh(y)), 1)
        return self.head((weights * y).sum(1)), weights[..., 0]


class Packed(nn.Module):
    """A packed, bidirectional layer."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(6, 4, 2, batch_first=True, bidirectional=True)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        y, h = self.rnn(packed)
        return nn.utils.rnn.pad_packed_sequence(y, batch_first=True)[0], h


class Streaming(nn.Module):
    """A denoiser that hands its state on."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(6, 8, batch_first=True)
        self.mask = nn.Linear(8, 6)

    def forward(self, x, h):
        y, h = self.rnn(x, h)
        return torch.sigmoid(self.mask(y)) * x, h


class Words(nn.Module):
    """A vocabulary of 30,000."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(30_000, 6)
        self.rnn = nn.LSTM(6, 8, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, ids):
        return torch.log_softmax(self.head(self.rnn(self.words(ids))[0]), -1)


class Decoder(nn.Module):
    """A decoder of letters, step by step, with its cell state."""

    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(40, 6)
        self.cell = nn.LSTMCell(6, 8)
        self.head = nn.Linear(8, 40)

    def forward(self, ids, h, c):
        seen = []
        for t in range(ids.size(1)):
            h, c = self.cell(self.letters(ids[:, t]), (h, c))
            seen.append(self.head(h))
        return torch.stack(seen, 1), h, c


class Chaotic(nn.Module):
    """A reservoir beyond the edge of chaos: after some steps float32 has no digits left."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(6, 8, batch_first=True)
        with torch.no_grad():
            self.rnn.weight_hh_l0.mul_(6)

    def forward(self, x):
        return self.rnn(x)[0]


class Front(nn.Module):
    """A convolution and a normalisation in front, the last step behind."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(6, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8)
        self.rnn = nn.GRU(8, 8, batch_first=True)

    def forward(self, x):
        y = torch.relu(self.norm(self.conv(x.transpose(1, 2)))).transpose(1, 2)
        return self.rnn(y)[0][:, -1]


_IDS = TensorSpec("ids", ("batch", "time"), dtype="int64", high=30_000)
_LETTERS = TensorSpec("ids", ("batch", "time"), dtype="int64", high=40)
_PAIR = (TensorSpec("a", ("batch", "time", 6)), TensorSpec("b", ("batch", "other", 6)))
_CELL = tuple(TensorSpec(name, ("batch", 8), role="state") for name in "hc")

_DECLARED = {
    Plain: ((X,), ("y",), {}),
    OwnCell: ((X,), ("y",), {}),
    Scales: ((X,), ("forecast",), {}),
    Masked: ((X, LENGTHS), ("scores",), {}),
    Units: ((X,), ("metres", "millimetres"), {}),
    Siamese: (_PAIR, ("likeness",), {}),
    Attentive: ((X,), ("y", "weights"), {}),
    Packed: ((X, LENGTHS), ("y", "hn"), {}),
    Streaming: ((X, STATE), ("y", "hn"), {"h": "hn"}),
    Words: ((_IDS,), ("scores",), {}),
    Decoder: ((_LETTERS, *_CELL), ("scores", "hn", "cn"), {"h": "hn", "c": "cn"}),
    Chaotic: ((X,), ("y",), {}),
    Front: ((X,), ("last",), {}),
}
NAMES = tuple(cls.__name__ for cls in _DECLARED)


@cache
def build(name, seed=0):
    """The model with weights of that seed."""
    (cls,) = (cls for cls in _DECLARED if cls.__name__ == name)
    inputs, outputs, states = _DECLARED[cls]
    torch.manual_seed(seed)
    module = cls().eval()
    if name == "Front":
        module.norm.running_mean.normal_(0, 0.3)
        module.norm.running_var.uniform_(0.5, 2)
    return Model(module, inputs, outputs, states=dict(states), name=name)

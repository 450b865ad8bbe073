"""Fused layers anywhere in a module, packed sequences, states."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnbench import TensorSpec
from tests.zoo import LENGTHS, XB, X, entry


class Layer(nn.Module):
    """A layer whose outputs and states are all returned."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, *state):
        state = state if len(state) > 1 else (state[0] if state else None)
        return self.layer(x, state)


@entry(X, outputs="y hn")
class RnnTanh(Layer):
    def __init__(self):
        super().__init__(nn.RNN(3, 4))


@entry(XB, outputs="y hn", expect="fused fused fused")
class RnnReluDeep(Layer):
    def __init__(self):
        super().__init__(nn.RNN(3, 4, 3, "relu", batch_first=True))


@entry(XB, outputs="y hn", expect="fused fused")
class GruBidirectional(Layer):
    def __init__(self):
        super().__init__(nn.GRU(3, 4, 2, batch_first=True, bidirectional=True))


@entry(X, outputs="y hn cn")
class LstmWithoutBias(Layer):
    def __init__(self):
        super().__init__(nn.LSTM(3, 4, bias=False))


@entry(X, outputs="y hn cn", expect="fused fused")
class LstmDropout(Layer):
    def __init__(self):
        super().__init__(nn.LSTM(3, 4, 2, dropout=0.5))


@entry(XB, outputs="y hn cn", expect="scan scan scan scan")
class LstmProjected(Layer):
    def __init__(self):
        super().__init__(nn.LSTM(3, 5, 2, batch_first=True, proj_size=2, bidirectional=True))


@entry(TensorSpec("x", ("time", 3)), outputs="y hn", expect="fused fused")
class Unbatched(Layer):
    def __init__(self):
        super().__init__(nn.GRU(3, 4, 2))


@entry(
    X,
    TensorSpec("h0", (2, "batch", 4), role="state"),
    outputs="y hn",
    expect="fused fused",
    states={"h0": "hn"},
)
class GruStreaming(Layer):
    def __init__(self):
        super().__init__(nn.GRU(3, 4, 2))


@entry(
    X,
    TensorSpec("h0", (1, "batch", 4), role="state"),
    TensorSpec("c0", (1, "batch", 4), role="state"),
    outputs="y hn cn",
    states={"h0": "hn", "c0": "cn"},
)
class LstmStreaming(Layer):
    def __init__(self):
        super().__init__(nn.LSTM(3, 4))


@entry(X, outputs="hn")
class StateAlone(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 4)

    def forward(self, x):
        return self.rnn(x)[1][0].squeeze(0)


@entry(XB)
class StateComputed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.rnn(x, self.first(x.mean(1)).unsqueeze(0))[0]


@entry(X, expect="fused fused")
class CalledTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 3)

    def forward(self, x):
        y, h = self.rnn(x)
        return self.rnn(y, h)[0]


@entry(XB)
class WeightNorm(nn.Module):
    def __init__(self):
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.rnn = norm(nn.LSTM(3, 4, batch_first=True), "weight_hh_l0")
        with torch.no_grad():
            self.conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 3, 3, padding=1))

    def forward(self, x):
        return self.rnn(self.conv(x.transpose(1, 2)).transpose(1, 2))[0]


class Packed(nn.Module):
    """pack, layer, pad."""

    batch_first, enforce_sorted, padding, total = True, False, 0.0, False

    def __init__(self, layer):
        super().__init__()
        self.rnn = layer

    def forward(self, x, lengths):
        packed = pack_padded_sequence(
            x, lengths, batch_first=self.batch_first, enforce_sorted=self.enforce_sorted
        )
        out, state = self.rnn(packed)
        total = x.size(1 if self.batch_first else 0) if self.total else None
        y, n = pad_packed_sequence(
            out, batch_first=self.batch_first, padding_value=self.padding, total_length=total
        )
        return y, n, state


@entry(XB, LENGTHS, outputs="y n hn", expect="fused fused")
class PackedRnn(Packed):
    def __init__(self):
        super().__init__(nn.RNN(3, 4, 2, batch_first=True))


@entry(X, LENGTHS, outputs="y n hn")
class PackedTotalLength(Packed):
    batch_first, total, padding = False, True, -1.0

    def __init__(self):
        super().__init__(nn.GRU(3, 4))


@entry(XB, LENGTHS, outputs="y hn")
class PackedToAConstant(nn.Module):
    """Every output has as many steps as the longest that there can be."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, h = self.rnn(packed)
        return pad_packed_sequence(out, batch_first=True, total_length=400)[0], h


@entry(XB, LENGTHS, outputs="y n hn cn", expect="fused fused")
class PackedBidirectional(Packed):
    def __init__(self):
        super().__init__(nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True))


def falling(dims, rng):
    """Inputs with the lengths in falling order, as `enforce_sorted=True` wants them."""
    lengths = rng.integers(1, dims["time"] + 1, dims["batch"])
    lengths[0] = dims["time"]
    x = rng.standard_normal((dims["batch"], dims["time"], 3)).astype("float32")
    return {"x": x, "lengths": lengths[lengths.argsort()[::-1]].astype("int64")}


@entry(XB, LENGTHS, outputs="y n hn", sample=falling)
class PackedSorted(Packed):
    enforce_sorted = True

    def __init__(self):
        super().__init__(nn.GRU(3, 4, batch_first=True))


@entry(XB, LENGTHS, outputs="hn cn")
class PackedStateAlone(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, (h, c) = self.rnn(packed)
        return h[-1], c[-1]


@entry(XB, LENGTHS, expect="scan")
class PackedProjected(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 5, batch_first=True, proj_size=2)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]


class PackedEncoder(nn.Module):
    """A packed encoder, then a loop of cells over another sequence."""

    batch_first = True

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(3, 4, batch_first=self.batch_first)
        self.cell = nn.GRUCell(2, 4)

    def forward(self, x, lengths, y):
        packed = pack_padded_sequence(
            x, lengths.cpu(), batch_first=self.batch_first, enforce_sorted=False
        )
        out, (h, _) = self.encoder(packed)
        memory, _ = pad_packed_sequence(out, batch_first=self.batch_first)
        h = h[0] + memory.sum(1 if self.batch_first else 0)
        steps = []
        for t in range(y.size(1)):
            h = self.cell(y[:, t], h)
            steps.append(h)
        return torch.stack(steps, 1)


TARGETS = TensorSpec("y", ("batch", "steps", 2))


@entry(XB, LENGTHS, TARGETS, outputs="z", expect="fused fused")
class PackedThenLoop(PackedEncoder):
    pass


@entry(X, LENGTHS, TensorSpec("y", ("batch", "time", 2)), outputs="z", expect="fused fused")
class PackedThenLoopOverTheSameTime(PackedEncoder):
    batch_first = False


@entry(XB)
class DeltaRule(nn.Module):
    """What each step writes into a memory is solved for all steps at once, by a triangle."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        keys = self.rnn(x)[0]
        before = torch.tril(keys @ keys.mT, -1) + torch.eye(keys.size(1))
        return torch.linalg.solve_triangular(before, keys, upper=False, unitriangular=True)

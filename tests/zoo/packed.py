"""Packed sequences: rows of different lengths in one batch."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from zoo.registry import entry, ids, lengths, state, x


def descending(time_first=False, features=4, slack=0):
    """Lengths from the longest to the shortest; the longest is `slack` short of the time."""

    def sample(dims, generator):
        batch, time = dims["batch"], dims["time"]
        top = max(1, time - slack)
        steps = np.sort(generator.integers(1, top + 1, batch))[::-1].copy()
        steps[0] = top
        shape = (time, batch, features) if time_first else (batch, time, features)
        return {"x": generator.standard_normal(shape).astype("float32"), "lengths": steps}

    return sample


class Packed(nn.Module):
    def __init__(self, layer, sorted_rows, pad, first_in, first_out):
        super().__init__()
        self.rnn = layer
        self.sorted_rows = sorted_rows
        self.pad = pad
        self.first_in = first_in
        self.first_out = first_out

    def forward(self, x, lengths):
        packed = pack_padded_sequence(
            x, lengths, batch_first=self.first_in, enforce_sorted=self.sorted_rows
        )
        out, hn = self.rnn(packed)
        padded, steps = pad_packed_sequence(out, batch_first=self.first_out, **self.pad)
        return padded, steps, hn


@entry(expect={"gru": "fused"}, nodes={"GRU": 1})
def packed_gru_unsorted():
    return {
        "module": Packed(nn.GRU(4, 5), False, {}, False, False),
        "inputs": (x("time", "batch", 4), lengths()),
        "outputs": ("y", "steps", "hn"),
    }


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 2})
def packed_lstm_sorted_batch_first():
    return {
        "module": Packed(nn.LSTM(4, 5, 2, batch_first=True), True, {}, True, True),
        "inputs": (x("batch", "time", 4), lengths()),
        "outputs": ("y", "steps", "hn", "cn"),
        "sample": descending(),
    }


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 2})
def packed_lstm_bidirectional():
    layer = nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True)
    return {
        "module": Packed(layer, False, {}, True, True),
        "inputs": (x("batch", "time", 4), lengths()),
        "outputs": ("y", "steps", "hn", "cn"),
    }


@entry(expect={"rnn_tanh": "fused"}, nodes={"RNN": 1})
def packed_rnn_trimmed_to_the_longest_row():
    return {
        "module": Packed(nn.RNN(4, 5), True, {}, False, True),
        "inputs": (x("time", "batch", 4), lengths()),
        "outputs": ("y", "steps", "hn"),
        "sample": descending(time_first=True, slack=2),
    }


@entry(expect={"gru": "fused"}, nodes={"GRU": 1})
def packed_gru_trimmed_with_padding_value():
    layer = nn.GRU(4, 5, batch_first=True, bidirectional=True)
    return {
        "module": Packed(layer, False, {"padding_value": -1.5}, True, True),
        "inputs": (x("batch", "time", 4), lengths()),
        "outputs": ("y", "steps", "hn"),
        "sample": descending(slack=1),
    }


class TotalLength(nn.Module):
    """Rows padded back to the input's length, and a head over them."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)
        self.head = nn.Linear(5, 2)

    def forward(self, x, lengths):
        total = x.size(1)
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        out, _ = self.gru(packed)
        y, _ = pad_packed_sequence(out, batch_first=True, padding_value=0.5, total_length=total)
        return self.head(y)


@entry(expect={"gru": "fused"}, nodes={"GRU": 1})
def packed_gru_total_length():
    return {
        "module": TotalLength(),
        "inputs": (x("batch", "time", 4), lengths()),
        "outputs": ("y",),
        "sample": descending(slack=3),
    }


class TextEncoder(nn.Module):
    """The last state of each row, and no unpacking at all."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 6, padding_idx=0)
        self.lstm = nn.LSTM(6, 5, batch_first=True, bidirectional=True)

    def forward(self, ids, lengths):
        packed = pack_padded_sequence(
            self.embed(ids), lengths, batch_first=True, enforce_sorted=False
        )
        _, (hn, cn) = self.lstm(packed)
        return torch.cat([hn[-2], hn[-1]], dim=1), cn


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 1})
def packed_lstm_last_states():
    return {
        "module": TextEncoder(),
        "inputs": (ids("batch", "time"), lengths()),
        "outputs": ("code", "cn"),
    }


class PackedStreaming(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 5)

    def forward(self, x, lengths, h0, c0):
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        out, (hn, cn) = self.lstm(packed, (h0, c0))
        return pad_packed_sequence(out)[0], hn, cn


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 1})
def packed_lstm_with_states():
    return {
        "module": PackedStreaming(),
        "inputs": (
            x("time", "batch", 4),
            lengths(),
            state(1, "batch", 5),
            state(1, "batch", 5, name="c0"),
        ),
        "outputs": ("y", "hn", "cn"),
        "states": {"h0": "hn", "c0": "cn"},
    }


class PackedStack(nn.Module):
    """Two layers of different kinds, the sequence packed all the way."""

    def __init__(self):
        super().__init__()
        self.first = nn.GRU(4, 5, batch_first=True, bidirectional=True)
        self.second = nn.RNN(10, 3, batch_first=True, nonlinearity="relu")

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed, _ = self.first(packed)
        packed, hn = self.second(packed)
        return pad_packed_sequence(packed, batch_first=True)[0], hn


@entry(expect={"gru": "fused", "rnn_relu": "fused"}, nodes={"GRU": 1, "RNN": 1})
def packed_through_two_layers():
    return {
        "module": PackedStack(),
        "inputs": (x("batch", "time", 4), lengths()),
        "outputs": ("y", "hn"),
    }

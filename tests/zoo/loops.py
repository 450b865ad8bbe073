"""Python loops over time with the library's cells: each becomes one fused layer."""

from dataclasses import dataclass

import torch
from torch import nn
from zoo.registry import entry, lengths, state, x


class RangeTimeFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(4, 5)

    def forward(self, x, h0, c0):
        h, c = h0, c0
        outputs = []
        for t in range(x.size(0)):
            h, c = self.cell(x[t], (h, c))
            outputs.append(h)
        return torch.stack(outputs), h, c


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 1, "Scan": 0})
def loop_lstm_range():
    return {
        "module": RangeTimeFirst(),
        "inputs": (x("time", "batch", 4), state("batch", 5), state("batch", 5, name="c0")),
        "outputs": ("y", "hn", "cn"),
        "states": {"h0": "hn", "c0": "cn"},
    }


class RangeBatchFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        h = torch.zeros(x.shape[0], 5, dtype=x.dtype)
        outputs = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            outputs.append(self.head(h))
        return torch.stack(outputs, dim=1)


@entry(expect={"gru": "fused"}, nodes={"GRU": 1, "Scan": 0})
def loop_gru_range_batch_first():
    return {"module": RangeBatchFirst(), "inputs": (x("batch", "time", 4),), "outputs": ("y",)}


class Unbind(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(4, 5, nonlinearity="relu")

    def forward(self, x):
        h = None
        outputs = []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            outputs.append(h)
        return torch.stack(outputs, 1), h


@entry(expect={"rnn_relu": "fused"}, nodes={"RNN": 1, "Scan": 0})
def loop_rnn_unbind():
    return {"module": Unbind(), "inputs": (x("batch", "time", 4),), "outputs": ("y", "hn")}


class Chunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 5)

    def forward(self, x):
        h = x.new_zeros(x.size(0), 5)
        outputs = []
        for frame in x.chunk(x.size(1), dim=1):
            h = self.cell(frame.squeeze(1), h)
            outputs += [h.unsqueeze(1)]
        return torch.cat(outputs, dim=1)


@entry(expect={"gru": "fused"}, nodes={"GRU": 1, "Scan": 0})
def loop_gru_chunk_and_cat():
    return {"module": Chunk(), "inputs": (x("batch", "time", 4),), "outputs": ("y",)}


class Split(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(4, 5)

    def forward(self, x):
        hx = (x.new_zeros(x.size(1), 5), x.new_zeros(x.size(1), 5))
        outputs = []
        for frame in torch.split(x, 1):
            hx = self.cell(frame[0], hx)
            outputs.append(hx[0])
        return torch.stack(outputs), hx


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 1, "Scan": 0})
def loop_lstm_split_tuple_carry():
    return {
        "module": Split(),
        "inputs": (x("time", "batch", 4),),
        "outputs": ("y", "hn", "cn"),
    }


class Preallocated(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 5)

    def forward(self, x, h0):
        batch, time, _ = x.shape
        out = torch.zeros(batch, time, 5, dtype=x.dtype)
        h = h0
        for t in range(time):
            h = self.cell(x[:, t, :], h)
            out[:, t, :] = h
        return out, h


@entry(expect={"gru": "fused"}, nodes={"GRU": 1, "Scan": 0})
def loop_gru_preallocated():
    return {
        "module": Preallocated(),
        "inputs": (x("batch", "time", 4), state("batch", 5)),
        "outputs": ("y", "hn"),
        "states": {"h0": "hn"},
    }


class OnlyLast(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(4, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        h = x.new_zeros(x.size(0), 5)
        c = torch.zeros_like(h)
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
        return self.head(h)


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 1, "Scan": 0})
def loop_lstm_only_last():
    return {"module": OnlyLast(), "inputs": (x("batch", "time", 4),), "outputs": ("y",)}


class Backwards(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 5)

    def forward(self, x):
        h = x.new_zeros(x.size(1), 5)
        outputs = []
        for t in reversed(range(x.size(0))):
            h = self.cell(x[t], h)
            outputs.append(h)
        outputs.reverse()
        return torch.stack(outputs)


@entry(expect={"gru": "fused"}, nodes={"GRU": 1, "Scan": 0})
def loop_gru_reversed():
    return {"module": Backwards(), "inputs": (x("time", "batch", 4),), "outputs": ("y",)}


class BothWays(nn.Module):
    def __init__(self):
        super().__init__()
        self.right = nn.LSTMCell(4, 5)
        self.left = nn.LSTMCell(4, 5)

    def forward(self, x):
        time, batch = x.shape[:2]
        h = c = x.new_zeros(batch, 5)
        forwards, backwards = [], [None] * time
        for t in range(time):
            h, c = self.right(x[t], (h, c))
            forwards.append(h)
        h = c = x.new_zeros(batch, 5)
        for t in range(time - 1, -1, -1):
            h, c = self.left(x[t], (h, c))
            backwards[t] = h
        return torch.cat([torch.stack(forwards), torch.stack(backwards)], dim=-1)


@entry(expect={"lstm": "fused"}, nodes={"Scan": 0})
def loop_bidirectional_by_hand():
    return {"module": BothWays(), "inputs": (x("time", "batch", 4),), "outputs": ("y",)}


class LayersInAStep(nn.Module):
    """All layers within one step; a list of states."""

    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([nn.GRUCell(4, 5), nn.GRUCell(5, 6), nn.GRUCell(6, 5)])

    def forward(self, x):
        hs = [x.new_zeros(x.size(0), cell.hidden_size) for cell in self.cells]
        outputs = []
        for t in range(x.size(1)):
            value = x[:, t]
            for k, cell in enumerate(self.cells):
                hs[k] = value = cell(value, hs[k])
            outputs.append(value)
        return torch.stack(outputs, dim=1), *hs


@entry(expect={"gru": "fused"}, nodes={"GRU": 3, "Scan": 0})
def loop_all_layers_in_one_step():
    return {
        "module": LayersInAStep(),
        "inputs": (x("batch", "time", 4),),
        "outputs": ("y", "h1", "h2", "h3"),
    }


class LayerByLayer(nn.Module):
    """One loop per layer over Python lists of steps."""

    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(4, 5), nn.LSTMCell(5, 5)])

    def forward(self, x, h0, c0):
        steps = list(x.unbind(0))
        last_h, last_c = [], []
        for k, cell in enumerate(self.cells):
            h, c = h0[k], c0[k]
            for t in range(len(steps)):
                h, c = cell(steps[t], (h, c))
                steps[t] = h
            last_h.append(h)
            last_c.append(c)
        return torch.stack(steps), torch.stack(last_h), torch.stack(last_c)


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 2, "Scan": 0})
def loop_layer_by_layer():
    return {
        "module": LayerByLayer(),
        "inputs": (x("time", "batch", 4), state(2, "batch", 5), state(2, "batch", 5, name="c0")),
        "outputs": ("y", "hn", "cn"),
        "states": {"h0": "hn", "c0": "cn"},
    }


class TwoInARow(nn.Module):
    """An encoder's loop, then another one that starts from its state."""

    def __init__(self):
        super().__init__()
        self.first = nn.GRUCell(4, 5)
        self.second = nn.GRUCell(3, 5)

    def forward(self, x, z):
        h = x.new_zeros(x.size(0), 5)
        for x_t in x.unbind(1):
            h = self.first(x_t, h)
        outputs = []
        for z_t in z.unbind(1):
            h = self.second(z_t, h)
            outputs.append(h)
        return torch.stack(outputs, dim=1)


@entry(expect={"gru": "fused"}, nodes={"GRU": 2, "Scan": 0})
def loop_two_in_a_row():
    return {
        "module": TwoInARow(),
        "inputs": (x("batch", "time", 4), x("batch", "time2", 3, name="z")),
        "outputs": ("y",),
    }


@dataclass
class Memory:
    h: torch.Tensor
    c: torch.Tensor


class DataclassCarry(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(4, 5)

    def step(self, x, memory):
        h, c = self.cell(x, (memory.h, memory.c))
        return Memory(h=h, c=c)

    def forward(self, x):
        zeros = x.new_zeros(x.size(0), 5)
        memory = Memory(h=zeros, c=zeros)
        outputs = []
        for t in range(x.size(1)):
            memory = self.step(x[:, t], memory)
            outputs.append(memory.h)
        return torch.stack(outputs, dim=1), memory.c


@entry(expect={"lstm": "fused"}, nodes={"LSTM": 1, "Scan": 0})
def loop_dataclass_carry():
    return {
        "module": DataclassCarry(),
        "inputs": (x("batch", "time", 4),),
        "outputs": ("y", "cn"),
    }


class Masked(nn.Module):
    """Rows that are over keep their state: a ragged batch without packing."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 5)

    def forward(self, x, lengths):
        h = x.new_zeros(x.size(0), 5)
        outputs = []
        for t in range(x.size(1)):
            alive = (t < lengths).unsqueeze(1)
            h = torch.where(alive, self.cell(x[:, t], h), h)
            outputs.append(h * alive)
        return torch.stack(outputs, dim=1), h


@entry(expect={"loop": "scan"})
def loop_masked_by_lengths():
    return {
        "module": Masked(),
        "inputs": (x("batch", "time", 4), lengths()),
        "outputs": ("y", "hn"),
    }

"""Loops that are not quite regular: odd first and last steps, layers as cells, values asked for."""

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnnbench import TensorSpec
from tests.zoo import LENGTHS, XB, X, entry

H = 4


@entry(
    XB,
    TensorSpec("h0", (2, "batch", H), role="state"),
    outputs="y hn",
    states={"h0": "hn"},
    expect="fused fused",
)
class TwoLayersStepByStep(nn.Module):
    """A stacked layer that is called on one step at a time, as decoders do."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H, num_layers=2, batch_first=True)

    def forward(self, x, h):
        seen = []
        for t in range(x.size(1)):
            y, h = self.rnn(x[:, t : t + 1], h)
            seen.append(y)
        return torch.cat(seen, dim=1), h


@entry(X, outputs="y")
class LayerByListIndex(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, H)

    def forward(self, x):
        state, seen = None, []
        for t in range(x.shape[0]):
            y, state = self.rnn(x[[t]], state)
            seen.append(y[0])
        return torch.stack(seen)


@entry(X, expect="scan")
class WindowsThroughALayer(nn.Module):
    """A layer that is called on two steps at a time stays a layer, inside of a scan."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H)

    def forward(self, x):
        h, seen = x.new_zeros(1, x.size(1), H), []
        before = torch.cat([torch.zeros_like(x[:1]), x[:-1]])
        for t in range(x.size(0)):
            y, h = self.rnn(torch.stack([before[t], x[t]]), h)
            seen.append(y[1])
        return torch.stack(seen)


@entry(X, expect="scan")
class NoStateAtFirst(nn.Module):
    """The first step has nothing to add to; rows of both directions are one batch."""

    def __init__(self):
        super().__init__()
        self.candidate, self.forget = nn.Linear(3, H), nn.Linear(3, H)

    def forward(self, x):
        x = torch.cat([x, x.flip(0)], dim=1)
        keep = torch.sigmoid(self.forget(x))
        new, state, seen = torch.tanh(self.candidate(x)), None, []
        for t in range(x.shape[0]):
            state = new[t] if state is None else keep[t] * state + new[t]
            seen.append(state)
        ahead, back = torch.stack(seen).chunk(2, dim=1)
        return torch.cat([ahead, back.flip(0)], dim=-1)


@entry(XB, outputs="early late middle", expect="scan")
class PartsOfAList(nn.Module):
    """Of what the steps gave, only some is put together."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(3 + H, H)

    def forward(self, x):
        h, seen = x.new_zeros(x.size(0), H), []
        for x_t in torch.cat([x, x, x], dim=1).unbind(1):
            h = torch.cos(self.cell(torch.cat([x_t, h], -1)))
            seen.append(h)
        return torch.stack(seen[:-1], 1), torch.stack(seen[1:], 1), torch.stack(seen[1:-1], 1)


@entry(XB)
class StateLikeAHiddenLayer(nn.Module):
    """The first state has the size and dtype of what a layer made of the first step."""

    def __init__(self):
        super().__init__()
        self.embed, self.cell = nn.Linear(3, 6), nn.GRUCell(6, H)

    def forward(self, x):
        h, seen = None, []
        for x_t in x.unbind(1):
            e = torch.relu(self.embed(x_t))
            if h is None:
                h = torch.zeros_like(e)[:, :H]
            h = self.cell(e, h)
            seen.append(h)
        return torch.stack(seen, 1)


@entry(XB, outputs="y memory", expect="scan")
class SlotsByIndex(nn.Module):
    """A memory of three slots, written by index; what is read is gathered by index, too."""

    def __init__(self):
        super().__init__()
        self.gates = nn.Linear(3, 3 * H)

    def forward(self, x):
        memory, seen = torch.zeros(3, x.size(0), H), []
        for x_t in x.unbind(1):
            read = torch.zeros(3, x.size(0), H)
            for k, g in enumerate(self.gates(x_t).chunk(3, dim=-1)):
                memory[k] = torch.sigmoid(g) * memory[k].clone() + g
                read[k] = torch.sin(memory[k])
            seen.append(read.sum(0))
        return torch.stack(seen, 1), memory


@entry(XB, expect="scan")
class LearntFirstState(nn.Module):
    """The first state is one row, which broadcasts; outputs fill a tensor that was empty."""

    def __init__(self):
        super().__init__()
        self.new, self.recur = nn.Linear(3, H), nn.Linear(H, H)
        self.first = nn.Parameter(torch.linspace(-1, 1, H))

    def forward(self, x):
        h, y = self.first, x.new_empty(x.size(0), x.size(1), H)
        for t, n in enumerate(self.new(x).unbind(1)):
            h = torch.lerp(h, torch.tanh(n), torch.sigmoid(self.recur(h)))
            y[:, t] = h
        return y


@entry(X, outputs="spikes c", expect="scan")
class ForgetsEachStep(nn.Module):
    """A threshold on an LSTM's output, reset in place; the state is thrown away at each step."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, H)
        self.register_buffer("level", torch.tensor(0.1))

    def forward(self, x):
        seen = []
        for t in range(x.shape[0]):
            zeros = torch.zeros(x.shape[1], H)
            h, c = self.cell(x[t], (zeros, zeros))
            h -= self.level * torch.tanh(h)
            seen.append(h)
        return torch.stack(seen), c


@entry(XB)
class HalvesOfTheBatch(nn.Module):
    """Rows that were joined are taken apart along the dimension that is dynamic."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H, batch_first=True)

    def forward(self, x):
        y = self.rnn(torch.cat([x, -x]))[0]
        a, b = y.split(x.shape[0])
        return a * b + torch.cat(y.chunk(2, 0), -1).mean(-1, keepdim=True)


@entry(XB, expect="scan")
class AsksItsBuffers(nn.Module):
    """Its sizes are buffers that are compared; its dimensions are made as a tensor."""

    def __init__(self):
        super().__init__()
        self.register_buffer("sizes", torch.tensor([3, H]))
        self.register_buffer("rate", torch.tensor(0.25))
        self.grow, self.skip = nn.Linear(3 + H, H), nn.Linear(3, H)

    def forward(self, x):
        h, seen = x.new_zeros(x.size(0), int(self.sizes[1])), []
        for x_t in x.unbind(1):
            new = torch.sin(self.grow(torch.cat([x_t, h], -1)))
            if self.sizes[0] != self.sizes[1]:
                new = new + self.skip(x_t)
            h = h + self.rate.item() * new if bool(self.rate > 0) else new
            seen.append(h)
        y = torch.stack(seen, 1)
        return y - y.mean(dim=torch.arange(1, y.dim()).tolist(), keepdim=True)


@entry(X)
class EveryThirdStep(nn.Module):
    """Time is folded into the batch by a stride, and padded where it does not divide."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H)

    def forward(self, x):
        n, batch = len(x), x.size(1)
        if n % 3:
            x = torch.cat([x, x.new_zeros(3 * (n // 3 + 1) - n, batch, 3)])
        y, _ = self.rnn(torch.cat([x[k::3] for k in range(3)], dim=1))
        return torch.stack(y.split(batch, dim=1), dim=1).flatten(0, 1)[:n]


@entry(XB, LENGTHS)
class WalksPackedRows(nn.Module):
    """Step t has `batch_sizes[t]` rows of the data; rows that have ended drop out of the state."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        h, at = x.new_zeros(int(packed.batch_sizes[0]), 4), 0
        data = x.new_zeros(packed.data.shape[0], 4)
        for rows in packed.batch_sizes:
            h = self.cell(packed.data[at : at + rows], h[:rows])
            data[at : at + rows] = h
            at += rows
        return pad_packed_sequence(PackedSequence(data, *packed[1:]), batch_first=True)[0]


@entry(XB, LENGTHS, expect="scan")
class WalksPackedParts(nn.Module):
    """The data is split into the rows of each step, which a list counts; a cell of its own."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 + 4, 4)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        counts, h, seen = packed.batch_sizes.tolist(), None, []
        for part, rows in zip(packed.data.split(counts), counts, strict=True):
            h = part.new_zeros(rows, 4) if h is None else h[:rows]
            h = torch.sin(self.fc(torch.cat([part, h], -1)))
            seen.append(h)
        walked = PackedSequence(torch.cat(seen), *packed[1:])
        return pad_packed_sequence(walked, batch_first=True)[0]


@entry(XB, outputs="y mean", expect="scan")
class SharesOfTheLength(nn.Module):
    """A step computes with its share of the length, which also divides a sum."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 + 4, 4)

    def forward(self, x):
        steps = x.size(1)
        h, total, seen = x.new_zeros(x.size(0), 4), 0.0, []
        for t in range(steps):
            h = torch.sin(self.fc(torch.cat([x[:, t] * (t / steps), h * (1 - 1 / steps)], -1)))
            total = total + h * (1.0 / steps)
            seen.append(h * ((t + 1) / (steps + 1)))
        return torch.stack(seen, 1), total


@entry(XB, expect="scan")
class LooksFurtherBack(nn.Module):
    """States of two and of four steps ago, each with first values of its own."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 + 4 + 4, 4)
        self.first = nn.Parameter(torch.randn(4))

    def forward(self, x):
        zeros, first, seen = x.new_zeros(x.size(0), 4), self.first.expand(x.size(0), 4), []
        for t in range(x.size(1)):
            two = seen[t - 2] if t >= 2 else zeros
            four = seen[-4] if len(seen) >= 4 else first
            seen.append(torch.sin(self.fc(torch.cat([x[:, t], two, four], -1))))
        return torch.stack(seen, 1)


@entry(XB, expect="fused fused scan")
class EverySecondStep(nn.Module):
    """Pairs of frames, of which a last odd one is left out; every third frame; every other back."""

    def __init__(self):
        super().__init__()
        self.pair, self.one = nn.GRUCell(6, 4), nn.GRUCell(3, 4)
        self.back = nn.LSTMCell(3, 4)

    def forward(self, x):
        h = x.new_zeros(x.size(0), 4)
        for t in range(0, x.size(1) - 1, 2):
            h = self.pair(torch.cat([x[:, t], x[:, t + 1]], -1), h)
        for t in range(0, x.size(1), 3):
            h = self.one(x[:, t], h)
        c = h
        for t in range(x.size(1) - 1, -1, -2):
            h, c = self.back(x[:, t], (h, c))
        return h


@entry(XB, outputs="y z w", expect="fused")
class EverySecondState(nn.Module):
    """Lists of every other and every third state, from the front and from the back."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, 4)

    def forward(self, x):
        h = c = x.new_zeros(x.size(0), 4)
        seen, kept = [], []
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
            seen.append(h)
            if t % 2 == 0:
                kept.append(h)
        return torch.stack(kept, 1), torch.stack(seen[::3], 1), torch.stack(seen[::-2], 1)


@entry(XB, outputs="y z", expect="scan")
class OutputsOfSomeSteps(nn.Module):
    """An output of every other state, and another of every third."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, 4)
        self.head, self.other = nn.Linear(4, 5), nn.Linear(4, 2)

    def forward(self, x):
        h = c = x.new_zeros(x.size(0), 4)
        seen, kept = [], []
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
            if t % 2 == 0:
                seen.append(torch.sin(self.head(h + c)))
            if t % 3 == 0:
                kept.append(self.other(h))
        return torch.stack(seen, 1), torch.stack(kept, 1)


@entry(XB, outputs="y h", expect="scan")
class Clockwork(nn.Module):
    """Units that are renewed in every step, in every second and in every fourth (clockwork)."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 6), nn.Linear(6, 6)
        self.periods = (1, 2, 4)

    def forward(self, x):
        h, seen = x.new_zeros(x.size(0), 6), []
        for t, frame in enumerate(x.unbind(1)):
            new = torch.sin(self.inner(frame) + self.outer(h))
            parts = []
            for i, period in enumerate(self.periods):
                parts.append((new if t % period == 0 else h)[:, 2 * i : 2 * i + 2])
            h = torch.cat(parts, 1)
            seen.append(h)
        return torch.stack(seen, 1), h


@entry(XB, expect="scan")
class CellsInTurn(nn.Module):
    """Cells that take turns, a table that is read in turn, and what odd steps do besides."""

    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList(nn.GRUCell(3, 4) for _ in range(3))
        self.even, self.odd = nn.Linear(4, 4), nn.Linear(4, 4)
        self.table = nn.Parameter(torch.randn(5, 4))

    def after(self, h, t):
        if t % 2:
            return torch.sin(self.odd(h))
        return self.even(h)

    def forward(self, x):
        h, seen, t = x.new_zeros(x.size(0), 4), [], 0
        while t < x.size(1):
            h = self.cells[t % 3](x[:, t], h) + self.table[(t + 1) % 5]
            last = self.even if t % 4 == 3 else self.odd
            seen.append(last(self.after(h, t)))
            t += 1
        return torch.stack(seen, 1)


@entry(XB, expect="scan")
class StepsHeldTwice(nn.Module):
    """A decoder of two steps to each frame, and of something else in the first three."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x):
        h, seen = x.new_zeros(x.size(0), 4), []
        for t in range(2 * x.size(1)):
            if t < 3:
                h = torch.sin(h + 1)
            h = self.cell(x[:, t // 2], h)
            seen.append(h)
        return torch.stack(seen, 1)


@entry(XB, TensorSpec("valid", ("batch", "time"), dtype="bool"), expect="scan scan")
class AttentiveUpdates(nn.Module):
    """An attention weight gates each step; rows without any have one of the length's reciprocal."""

    def __init__(self):
        super().__init__()
        self.new, self.gate = nn.Linear(3 + 4, 4), nn.Linear(3 + 4, 4)

    def forward(self, x, valid):
        weights = torch.softmax(x.sum(-1).masked_fill(~valid, float("-inf")), 1)
        lost = weights.isnan().any(1)
        if lost.any():
            weights[lost] = 1.0 / weights.size(1)
        h, seen = x.new_zeros(x.size(0), 4), []
        for t in range(x.size(1)):
            both = torch.cat([x[:, t], h], -1)
            gate = weights[:, t : t + 1] * torch.sigmoid(self.gate(both))
            h = (1 - gate) * h + gate * torch.tanh(self.new(both))
            seen.append(h)
        return torch.stack(seen, 1)


@entry(XB, expect="fused")
class LengthsOfItsOwn(nn.Module):
    """Packs a batch whose rows are all as long as the batch, and says so in Python's numbers."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        lengths = [x.size(1)] * x.size(0)
        packed = pack_padded_sequence(x, lengths, batch_first=True)
        y, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        longest = torch.LongTensor([x.size(1) for _ in range(x.size(0))])
        return y * (torch.arange(x.size(1)) < longest.unsqueeze(1)).unsqueeze(-1)


@entry(XB, LENGTHS, expect="fused scan")
class MaskedConvolution(nn.Module):
    """Takes away what a convolution has made of each row's padding, row by row."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3, padding=1)
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, x, lengths):
        y = self.conv(x.transpose(1, 2))
        mask = torch.BoolTensor(y.size()).fill_(0)
        for i, length in enumerate(lengths):
            length = length.item()
            if mask[i].size(1) - length > 0:
                mask[i].narrow(1, length, mask[i].size(1) - length).fill_(1)
        return self.rnn(y.masked_fill(mask, 0).transpose(1, 2))[0]

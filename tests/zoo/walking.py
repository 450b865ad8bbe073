"""The rows of a packed sequence walked by hand: they end, and in reverse they join."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from tests.zoo import LENGTHS, XB, entry

H = 4


class Walked(nn.Module):
    """Packs, walks, and gives the padded sequence and the last state of each row."""

    def __init__(self):
        super().__init__()
        self.cell, self.back = nn.GRUCell(3, H), nn.GRUCell(3, H)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        data, last = self.walk(packed)
        walked = PackedSequence(data, *packed[1:])
        y, _ = pad_packed_sequence(walked, batch_first=True, total_length=x.size(1))
        return y, last.index_select(0, packed.unsorted_indices)


@entry(XB, LENGTHS, outputs="y hn", expect="fused scan")
class RowsThatDropOut(Walked):
    """By how many fewer rows there are than before; the states of those are put together."""

    def walk(self, packed):
        h = packed.data.new_zeros(int(packed.batch_sizes[0]), H)
        seen, ended, at, before = [], [], 0, packed.batch_sizes[0]
        for rows in packed.batch_sizes:
            step = packed.data[at : at + rows]
            at += rows
            fewer = before - rows
            if fewer > 0:
                ended.append(h[-fewer:])
                h = h[:-fewer]
            before = rows
            h = self.cell(step, h)
            seen.append(h)
        ended.append(h)
        ended.reverse()
        return torch.cat(seen), torch.cat(ended)


@entry(XB, LENGTHS, outputs="y hn", expect="scan")
class RowsThatJoin(Walked):
    """From the end: a row joins with a first state at its own last step."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.randn(H))

    def walk(self, packed):
        sizes = packed.batch_sizes.tolist()
        steps = torch.split(packed.data, sizes)
        first = self.first.expand(sizes[0], H)
        h, seen = first[: sizes[-1]], []
        for t in reversed(range(len(steps))):
            if len(h) < sizes[t]:
                h = torch.cat([h, first[len(h) : sizes[t]]])
            h = self.back(steps[t], h)
            seen.append(h)
        seen.reverse()
        return torch.cat(seen), h


@entry(XB, LENGTHS, outputs="y hn", expect="fused scan scan scan")
class RowsBothWays(Walked):
    """Rows that end and rows that join by one function; the states are kept in place."""

    def one_way(self, cell, steps, sizes, order):
        first = steps[0].new_zeros(sizes[0], H)
        last, h = first.clone(), first[: sizes[order[0]]]
        seen = [None] * len(steps)
        for t in order:
            more = sizes[t] - h.size(0)
            h = torch.cat([h, first[:more]], 0) if more > 0 else h[: sizes[t]]
            h = cell(steps[t], h)
            last[: sizes[t]] = h
            seen[t] = h
        return torch.cat(seen), last

    def walk(self, packed):
        sizes = packed.batch_sizes.tolist()
        steps = packed.data.split(sizes)
        order = list(range(len(sizes)))
        forth, last = self.one_way(self.cell, steps, sizes, order)
        back, first = self.one_way(self.back, steps, sizes, order[::-1])
        return torch.cat([forth, back], -1), torch.cat([last, first], -1)


def falling(dims, generator):
    """Rows in the order of their lengths, the longest first; it need not have all steps."""
    rows, steps = dims["batch"], dims["time"]
    lengths = np.sort(generator.integers(1, steps + 1, rows))[::-1].copy()
    x = generator.standard_normal((rows, steps, 3)).astype("float32")
    return {"x": x, "lengths": lengths}


class CountedRows(nn.Module):
    """A cell along the rows that a step has, counted from one step to the next."""

    def __init__(self, cell, forward=True):
        super().__init__()
        self.cell, self.ahead = cell, forward

    def forward(self, packed):
        x, lengths = pad_packed_sequence(packed, batch_first=True)
        rows, steps = x.size(0), x.size(1)
        y, h = x.new_zeros(rows, steps, H), x.new_zeros(rows, H)
        last = rows - 1 if self.ahead else 0
        for step in range(steps):
            t = step if self.ahead else steps - step - 1
            if self.ahead:
                while lengths[last] <= t:
                    last -= 1
            else:
                while last < (len(lengths) - 1) and lengths[last + 1] > t:
                    last += 1
            new = self.cell(x[0 : last + 1, t], h[0 : last + 1].clone())
            h = h.data.clone()
            h[0 : last + 1] = new
            y[0 : last + 1, t] = new
        return pack_padded_sequence(y, lengths, batch_first=True), h


@entry(XB, LENGTHS, outputs="y h back", expect="scan scan", sample=falling)
class RowsCountedByLengths(nn.Module):
    """The index of the last row goes down as rows end; from the end it goes up as they join."""

    def __init__(self):
        super().__init__()
        self.ahead = CountedRows(nn.GRUCell(3, H))
        self.back = CountedRows(nn.RNNCell(H, H), forward=False)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True)
        packed, h = self.ahead(packed)
        packed, back = self.back(packed)
        return pad_packed_sequence(packed, batch_first=True)[0], h, back


@entry(XB, LENGTHS)
class PaddedBackWhereShorter(nn.Module):
    """Zeros behind the longest row, and none asked for where it has all steps."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, H, batch_first=True)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]
        if y.size(1) != x.size(1):
            behind = torch.zeros(y.size(0), x.size(1) - y.size(1), y.size(2)).type(y.data.type())
            y = torch.cat([y, behind], 1)
        return y

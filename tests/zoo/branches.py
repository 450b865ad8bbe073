"""Modules that ask for the truth of a tensor, and go one of two ways."""

import logging

import torch
from torch import nn

from rnnbench import TensorSpec
from tests.zoo import LENGTHS, XB, entry

logger = logging.getLogger(__name__)

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


@entry(XB)
class OnlySaysSomething(Layer):
    """What it logs and prints of its inputs is in no file: of a number, and of how many there are.

    A mean above 100 no input of the tests has: nothing is said in them.
    """

    def forward(self, x):
        padded = x.ne(0).float().sum(2).eq(0)
        if padded.nonzero().numel() > 0:
            logger.debug("rows of unequal length")
        y = self.rnn(x)[0]
        if y.isnan().any() or x.mean().item() > 100:
            print("not a number")
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


class TwoCells(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.other = nn.GRUCell(3, H), nn.GRUCell(3, H)


@entry(XB, expect="scan")
class GatesEachStep(TwoCells):
    """An `if` in each step: the state changes on one way alone."""

    def forward(self, x):
        h, seen = x.new_zeros(x.size(0), H), []
        for t in range(x.size(1)):
            if x[:, t].abs().max() > 0.9:
                h = self.cell(x[:, t], h)
            seen.append(h)
        return torch.stack(seen, 1)


class CheckedCell(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, H)

    def forward(self, x, h):
        if x.abs().max().item() < 0.9 or not (h.abs() < 0.5).all():
            return h
        new = self.cell(x, h)
        if torch.isnan(new).any():
            raise ValueError("not a number")
        return new


@entry(XB, expect="scan")
class CellThatReturnsEarly(nn.Module):
    """A cell that asks for its numbers, and returns before its end."""

    def __init__(self):
        super().__init__()
        self.cell = CheckedCell()

    def forward(self, x):
        h, seen = x.new_zeros(x.size(0), H), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            seen.append(h)
        return torch.stack(seen, 1)


@entry(XB, outputs="y counted", expect="scan")
class CountsWhatItSkips(TwoCells):
    """`continue`, a number that grows on one way, one `if` in another, and one in an expression."""

    def forward(self, x):
        h, seen, skipped = x.new_zeros(x.size(0), H), [], 0
        for t in range(x.size(1)):
            if x[:, t].mean() < 0:
                seen.append(h)
                skipped += 1
                continue
            h = self.cell(x[:, t], h)
            if bool(h.mean() > 0.1):
                h = self.other(x[:, t], h) * (0.5 if h.mean() > 0.2 else 1.5)
            seen.append(h)
        return torch.stack(seen, 1), h * skipped


@entry(XB, expect="scan")
class ResetsInPlace(TwoCells):
    """A way that writes to the state where it lies."""

    def forward(self, x):
        h, out = x.new_zeros(x.size(0), H), x.new_zeros(x.size(0), x.size(1), H)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            if h.sum() > 0.3 and t > 0:
                h = h.clone()
                h[:, 0] = 0.0
                h += 0.1
            out[:, t] = h
        return out


@entry(XB, expect="scan")
class StabilisedByItsLargest(nn.Module):
    """Exponential gates with a stabiliser that begins with the first step; a logsigmoid in each."""

    def __init__(self):
        super().__init__()
        self.gates, self.back = nn.Linear(3, 4 * H), nn.Linear(H, 4 * H, bias=False)

    def step(self, x, y, c, n, m):
        z, i, f, o = (self.gates(x) + self.back(y)).chunk(4, -1)
        kept = m + nn.functional.logsigmoid(f)
        largest = i
        if not torch.all(n == 0.0):
            largest = torch.max(i, kept)
        enter, stay = torch.exp(i - largest), torch.exp(kept - largest)
        c, n = stay * c + enter * torch.tanh(z), stay * n + enter
        return torch.sigmoid(o) * c / n, c, n, largest

    def forward(self, x):
        y, c, n, m = (x.new_zeros(x.size(0), H) for _ in range(4))
        seen = []
        for t in range(x.size(1)):
            y, c, n, m = self.step(x[:, t], y, c, n, m)
            seen.append(y)
        return torch.stack(seen, 1)

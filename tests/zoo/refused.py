"""Modules that are refused, each with what it is told, and written as it is told to be."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from rnnbench import Model, TensorSpec
from tests.zoo import LENGTHS, XB

H = 4


@dataclass(frozen=True)
class Refused:
    name: str
    build: Callable[[], Model]
    words: str  # of the reason, in the user's words
    line: str  # what the line of code holds that is to be named; empty: no line is to blame
    way: Callable[[], Model] | None  # the same, as it is told to be written


REFUSED: dict[str, Refused] = {}


def refused(*inputs, words, line="", outputs="y", way=None, declared=None, **options):
    """Registers a module class that is refused; `declared` is what its way out declares as well."""

    def register(cls):
        def build(kind=cls, **more):
            torch.manual_seed(0)
            names = tuple(outputs.split())
            return Model(kind(), inputs or (XB,), names, name="refused", **options, **more)

        out = None if way is None else lambda: build(way, **declared or {})
        if way is None and declared:
            out = lambda: build(**declared)  # noqa: E731
        REFUSED[cls.__name__] = Refused(cls.__name__, build, words, line, out)
        return cls

    return register


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.other = nn.GRUCell(3, H), nn.GRUCell(3, H)

    def zeros(self, x):
        return x.new_zeros(x.size(0), H)


class KeepsWhatHasEnded(Cell):
    def forward(self, x):
        h, seen = self.zeros(x), []
        done = torch.zeros(x.size(0), 1, dtype=torch.bool)
        for t in range(x.size(1)):
            h = torch.where(done, h, self.cell(x[:, t], h))
            done = done | (h.norm(dim=-1, keepdim=True) > 1.0)
            seen.append(h)
        return torch.stack(seen, 1)


@refused(words="declare max_steps=", line="if h.norm()", declared={"max_steps": 1000})
class StopsEarly(Cell):
    def forward(self, x):
        h, seen = self.zeros(x), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            seen.append(h)
            if h.norm() > 1.0:
                break
        return torch.stack(seen, 1)


@refused(words="declare max_steps=", line="while h.abs()", way=KeepsWhatHasEnded)
class WhileItGrows(Cell):
    def forward(self, x):
        h, t = self.zeros(x), 0
        while h.abs().max() < 1e-4 and t < x.size(1):
            h, t = self.cell(x[:, t], h), t + 1
        return h.unsqueeze(1)


@refused(words="more steps than max_steps=3", declared={}, way=KeepsWhatHasEnded, max_steps=3)
class GoesOnForLonger(Cell):
    def forward(self, x):
        h, seen = self.zeros(x), []
        for _ in range(12):
            h = self.cell(x[:, 0], h)
            seen.append(h)
            if h.norm() > 10.0:
                break
        return torch.stack(seen, 1)


class AsManyInEachStep(Cell):
    def forward(self, x):
        h, seen = self.zeros(x), []
        for t in range(x.size(1)):
            loud = x[:, t].abs().max() > 0.1
            h = torch.where(loud, self.cell(x[:, t], h), h)
            seen.append(torch.where(loud, h, torch.zeros_like(h)))
        return torch.stack(seen, 1)


@refused(words="leave 1 and 0 elements in 'seen'", line="if x[:, t].abs()", way=AsManyInEachStep)
class KeepsLoudSteps(Cell):
    def forward(self, x):
        h, seen = self.zeros(x), []
        for t in range(x.size(1)):
            if x[:, t].abs().max() > 0.1:
                h = self.cell(x[:, t], h)
                seen.append(h)
        return torch.stack(seen, 1)


class ScalesByATensor(Cell):
    def forward(self, x):
        h = self.zeros(x)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
        return h * h.abs().amax().clamp(min=1.0)


@refused(words="depends on the values", line=".item()", way=ScalesByATensor)
class ScalesByAnItem(Cell):
    def forward(self, x):
        h = self.zeros(x)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
        return h * max(h.abs().max().item(), 1.0)


@refused(words="numpy", line="np.moveaxis", way=ScalesByATensor)
class GoesThroughNumpy(Cell):
    def forward(self, x):
        h = self.zeros(x)
        for frame in np.moveaxis(x.numpy(), 1, 0):
            h = self.cell(torch.from_numpy(frame), h)
        return h


class RunningMean(Cell):
    def forward(self, x):
        h, total, seen = self.zeros(x), self.zeros(x), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], total / max(t, 1))
            total = total + h
            seen.append(h)
        return torch.stack(seen, 1)


@refused(words="no loop over its steps", line="torch.stack(seen)", way=RunningMean)
class MeanOfAllBefore(Cell):
    def forward(self, x):
        seen = [self.zeros(x)]
        for t in range(x.size(1)):
            seen.append(self.cell(x[:, t], torch.stack(seen).mean(0)))
        return torch.stack(seen[1:], 1)


class TakesItsNoise(Cell):
    def forward(self, x):
        return self.cell(x.mean(1), self.zeros(x))


@refused(words="draws random numbers", way=TakesItsNoise)
class DrawsNoise(Cell):
    def forward(self, x):
        return self.cell(x.mean(1) + torch.randn(x.size(0), 3), self.zeros(x))


class TakesAState(Cell):
    def __init__(self):
        super().__init__()
        self.h = None

    def forward(self, x):
        return self.cell(x.mean(1), self.zeros(x))


@refused(words="keeps its state in self.h", way=TakesAState)
class KeepsAState(TakesAState):
    def forward(self, x):
        h = self.zeros(x) if self.h is None or len(self.h) != len(x) else self.h
        self.h = self.cell(x.mean(1), h)
        return self.h


class Masks(Cell):
    def forward(self, x, lengths):
        valid = (torch.arange(x.size(1)) < lengths.unsqueeze(1)).unsqueeze(-1)
        return (x * valid).sum(1) / valid.sum(1)


@refused(XB, LENGTHS, words="depends on the values", line="lengths.tolist()", way=Masks)
class TakesEachRow(Cell):
    def forward(self, x, lengths):
        return torch.stack([row[:n].mean(0) for row, n in zip(x, lengths.tolist(), strict=True)])


@refused(words="the module raises AssertionError: five frames", line="assert x.size(1) == 5")
class OneLengthAlone(Cell):
    def forward(self, x):
        assert x.size(1) == 5, "five frames"
        return self.cell(x.mean(1), self.zeros(x))


@refused(words="computes in another way", line="if x.size(1) < 20")
class OtherForLongOnes(Cell):
    def forward(self, x):
        y = x.mean(1) if x.size(1) < 20 else x[:, -1]
        return self.cell(y, self.zeros(x))


@refused(words="returned a str", outputs="y word")
class ReturnsAWord(Cell):
    def forward(self, x):
        return self.cell(x.mean(1), self.zeros(x)), "fine"


@refused(words="returned 2 tensors and declares 1")
class ReturnsMore(Cell):
    def forward(self, x):
        return self.cell(x.mean(1), self.zeros(x)), x


@refused(TensorSpec("x", ("batch", "time", 5)), words="got 5 expected 3")
class OtherFeatures(Cell):
    def forward(self, x):
        return self.cell(x.mean(1), self.zeros(x))


@refused(words="torch.vmap has no rule")
class UnderVmap(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, H, batch_first=True)

    def forward(self, x):
        return torch.vmap(lambda row: self.rnn(row)[0])(x)


@refused(words="gives complex numbers as 'y'")
class Spectrum(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, dtype=torch.complex64))

    def forward(self, x):
        return x * self.weight


class MeanOfPairs(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(6, H, batch_first=True)

    def forward(self, x):
        x = x[:, : x.size(1) // 2 * 2]
        return self.rnn(x.reshape(x.size(0), -1, 6))[0].sum(1)


@refused(words="Dim(multiple_of=2)", line="if x.size(1) % 2", way=MeanOfPairs)
class CutsToPairs(MeanOfPairs):
    def forward(self, x):
        if x.size(1) % 2:
            x = x[:, :-1]
        return self.rnn(x.reshape(x.size(0), x.size(1) // 2, 6))[0].sum(1)

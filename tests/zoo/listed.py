"""Modules that take the numbers in a tensor as a list, or row by row."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tests.zoo import LENGTHS, XB, entry

H = 4


class Packs(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H, batch_first=True)

    def run(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.size(1))[0]


@entry(XB, LENGTHS)
class LengthsOfHalfTheFrames(Packs):
    """A comprehension over the lengths, one by one."""

    def forward(self, x, lengths):
        lengths = list(map(int, lengths))
        return self.run(x, [max((n + 1) // 2, 1) for n in lengths])


@entry(XB, LENGTHS)
class LengthsAsAnArray(Packs):
    """NumPy computes with the lengths, and torch gets them back."""

    def forward(self, x, lengths):
        lengths = np.maximum(lengths.cpu().numpy() - 1, 1)
        mean = self.run(x, torch.from_numpy(lengths)).sum(1)
        return mean / x.new_tensor(lengths.tolist()).unsqueeze(1)


@entry(XB, LENGTHS)
class MaskOfAList(Packs):
    """How many there are, the longest, and all of them are asked of a list."""

    def forward(self, x, lengths):
        y, lengths = self.run(x, lengths.cpu()), lengths.tolist()
        steps = torch.arange(0, int(max(lengths))).unsqueeze(0).expand(len(lengths), -1)
        ended = steps >= torch.LongTensor(lengths).unsqueeze(1)
        return y.masked_fill(ended.unsqueeze(-1), -1.0)


@entry(XB, LENGTHS, expect="fused scan")
class MaskRowByRow(Packs):
    """Each row of a mask is written up to the length of that row."""

    def forward(self, x, lengths):
        y, mask = self.rnn(x)[0], torch.zeros(x.size(0), x.size(1), dtype=torch.bool)
        for row, n in enumerate(lengths.tolist()):
            mask[row, :n] = True
        return y.masked_fill(~mask.unsqueeze(-1), 0.5)


@entry(XB, LENGTHS, expect="fused scan")
class LastOfEachRow(Packs):
    """The last valid step is taken of each row by its number."""

    def forward(self, x, lengths):
        y = self.rnn(x)[0]
        return torch.stack([y[row, lengths[row].item() - 1] for row in range(x.size(0))])


@entry(XB, LENGTHS, expect="fused scan")
class PutBackByIndex(Packs):
    """Rows go back to where they were, each to a place that a sort gave."""

    def forward(self, x, lengths):
        order = lengths.argsort(descending=True)
        packed = pack_padded_sequence(x[order], lengths[order].cpu(), batch_first=True)
        y = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.size(1))[0]
        back = torch.zeros_like(y)
        for row, place in enumerate(order):
            back[place] = y[row]
        return back


@entry(XB, LENGTHS, expect="fused scan scan")
class SortedByPython(Packs):
    """Python sorts the rows by their lengths; a list that a loop fills says where each was."""

    def forward(self, x, lengths):
        numbers = lengths.tolist()
        order = sorted(range(len(numbers)), key=lambda row: numbers[row], reverse=True)
        back = [0] * len(order)
        for place, row in enumerate(order):
            back[row] = place
        packed = pack_padded_sequence(x[order], [numbers[row] for row in order], batch_first=True)
        y = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.size(1))[0]
        return y[back]


@entry(XB, LENGTHS, expect="fused scan")
class ListOfRowsByPlace(Packs):
    """A list is filled with rows at the places that a sort gave."""

    def forward(self, x, lengths):
        lengths, order = lengths.sort(descending=True)
        packed = pack_padded_sequence(x[order], lengths, batch_first=True)
        y = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.size(1))[0]
        rows = [None] * x.size(0)
        for place in range(x.size(0)):
            rows[order[place]] = y[place]
        return torch.stack(rows)


@entry(XB, LENGTHS)
class SortedByNumpy(Packs):
    """NumPy's argsort of the lengths from the largest on, and of that order."""

    def forward(self, x, lengths):
        numbers = lengths.cpu().numpy()
        order = np.argsort(numbers)[::-1].copy()
        packed = pack_padded_sequence(x[order], numbers[order], batch_first=True)
        y = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.size(1))[0]
        return y[torch.from_numpy(np.argsort(order))]

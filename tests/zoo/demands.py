"""Modules that make sure of something before they go on, and functions of other files."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tests.zoo import LENGTHS, XB, entry
from tests.zoo.masks import numbers, padding_mask, ramp

H = 4


def falling(dims, generator):
    """Numbers of steps in falling order, of which the first are all."""
    lengths = -np.sort(-generator.integers(1, dims["time"] + 1, dims["batch"]))
    lengths[:1] = dims["time"]
    x = generator.standard_normal((dims["batch"], dims["time"], 3), dtype="float32")
    return {"x": x, "lengths": lengths}


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, H, batch_first=True)

    def run(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed, (h, _) = self.rnn(packed)
        return pad_packed_sequence(packed, batch_first=True)[0], h


@entry(XB, LENGTHS, outputs="y hn", sample=falling)
class AssertsTheSizesOfWhatWasPacked(Encoder):
    def forward(self, x, lengths):
        batch, time, _ = x.size()
        y, h = self.run(x, lengths)
        assert list(y.size()) == [batch, time, H]
        if y.size(1) != x.size(1):
            raise ValueError("the longest row has less steps than there are")
        return y + x[..., :1], h


@entry(XB, LENGTHS, sample=falling)
class MaskIfThereIsOne(Encoder):
    """Four questions; what the last one gives is a tensor or None, and nobody takes it."""

    def forward(self, x, lengths):
        mask = padding_mask(lengths, x.size(1))
        if mask[:, 0].any():
            raise ValueError("a row without steps")
        y, h = self.run(x, lengths)
        assert y.shape[1] == x.shape[1]
        if mask.any():
            y = y.masked_fill(mask.unsqueeze(-1), float("-inf"))
        if (h > 0.9).any():
            y = y * 0.5
        return {"y": y.max(1)[0], "mask": mask if mask.any() else None}


@entry(XB, LENGTHS, sample=falling)
class MaskIfThereIsOneAndItIsAsLong(Encoder):
    """As above; what it demands of a size that data say is an `if`, which torch does not know."""

    def forward(self, x, lengths):
        mask = padding_mask(lengths, x.size(1))
        if mask[:, 0].any():
            raise ValueError("a row without steps")
        y, h = self.run(x, lengths)
        if y.shape[1] != x.shape[1]:
            raise ValueError("the longest row has less steps than there are")
        if mask.any():
            y = y.masked_fill(mask.unsqueeze(-1), float("-inf"))
        if (h > 0.9).any():
            y = y * 0.5
        return {"y": y.max(1)[0], "mask": mask if mask.any() else None}


@entry(XB, expect="scan")
class KeepsANumberAsAnAttribute(nn.Module):
    """Plain tensors, no buffers, which every step reads."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(3, H)
        self.keep, self.offsets = torch.tensor(0.9), torch.linspace(-1, 1, H)

    def forward(self, x):
        h, seen = x.new_zeros(x.size(0), H), []
        for step in x.unbind(1):
            h = self.keep * h + torch.sin(self.cell(step) + self.offsets)
            seen.append(h)
        return torch.stack(seen, 1)


@entry(XB, expect="scan")
class AssertsThatItsEndIsItsState(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(3 + H, H)

    def forward(self, x):
        h, seen = x.new_zeros(x.size(0), H), []
        for step in x.unbind(1):
            h = torch.sin(self.cell(torch.cat([step, h], -1)))
            seen.append(h)
        y = torch.stack(seen, 1)
        assert torch.equal(y[:, -1], h)
        assert torch.allclose(y[:, -1], h, atol=1e-3)
        return y


@entry(XB, LENGTHS)
class MaskOfAnotherFile(Encoder):
    """`len`, `max` and `int` in a function that the model imports."""

    def forward(self, x, lengths):
        y, _ = self.run(x, lengths)
        return y.masked_fill(padding_mask(lengths).unsqueeze(-1), 0.5).sum(1)


@entry(XB)
class TablesThatFunctionsKeep(Encoder):
    """A cached function, and one that holds its last table in an attribute of itself."""

    def forward(self, x):
        y = self.rnn(x)[0]
        return y * ramp(x.size(1)).view(-1, 1) + numbers(x.size(1)).view(-1, 1)

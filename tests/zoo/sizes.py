"""Models that compute with their sizes: rounded, divided, as fractions."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from rnnbench import Dim, TensorSpec
from tests.zoo import LENGTHS, XB, entry


class WithGru(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)


@entry(XB, outputs="whole up down")
class RoundedLengths(WithGru):
    """`math.ceil` of a whole number and of a quotient, `math.floor` of a product."""

    def forward(self, x):
        y, _ = self.rnn(x)
        longer = math.ceil(x.size(1) * 2)
        frames = math.ceil((x.size(1) - 2) / 4) + 1
        whole = F.pad(y, (0, 0, 0, longer - y.size(1)))
        up = F.pad(y, (0, 0, 0, frames * 4 - y.size(1)))
        return whole, up, y[:, : math.floor(x.size(1) * 0.7) + 1]


@entry(XB)
class RoundedToEven(WithGru):
    def forward(self, x):
        return self.rnn(x)[0][:, : round(x.size(1) / 2) + 1]


@entry(XB)
class NegativeQuotient(WithGru):
    """`-(-n // 4)`, which rounds up, since `//` rounds down."""

    def forward(self, x):
        y, _ = self.rnn(x)
        return F.pad(y, (0, 0, 0, -(-x.size(1) // 4) * 4 - y.size(1)))


@entry(XB, outputs="scaled mean first rest")
class NumbersOfSizes(WithGru):
    """Functions of Python that would make a number of a size: sqrt, float, divmod."""

    def forward(self, x):
        y, _ = self.rnn(x)
        blocks, over = divmod(x.size(1), 4)
        scaled = y @ y.transpose(1, 2) / math.sqrt(x.size(1))
        return scaled, y.sum(1) / float(x.size(1)), y[:, : blocks + 1], torch.relu(y[:, over:])


@entry(XB, outputs="faded rolled turned")
class SpacedAndRolled(WithGru):
    """`linspace`, `roll` and `%` with a size."""

    def forward(self, x):
        y, _ = self.rnn(x)
        steps = x.size(1)
        faded = y * torch.linspace(0, 1, steps)[None, :, None]
        turned = y[:, torch.arange(steps) * 3 % steps]
        return faded, torch.roll(y, steps // 2, 1), turned


@entry(XB, LENGTHS)
class MaskOfBytes(WithGru):
    """A mask of bytes, as models had them before there were truths."""

    def forward(self, x, lengths):
        y, _ = self.rnn(x)
        mask = (torch.arange(x.size(1))[None] < lengths[:, None]).byte()
        return torch.where(mask.unsqueeze(-1), y, torch.zeros_like(y))


@entry(XB, outputs="product most least middle")
class SoFar(WithGru):
    """Products and extremes so far, and medians, for which PyTorch's ONNX library has no form."""

    def forward(self, x):
        y, _ = self.rnn(x)
        product = (1 + y).cumprod(1)
        return product, y.cummax(1)[0], y.cummin(1)[1], y.median(dim=-1)[0]


@entry(
    TensorSpec("wave", ("batch", "samples")),
    outputs="clean plain",
    time_dim="samples",
    dims={"samples": Dim(min=32, multiple_of=8)},
)
class SpectralMask(nn.Module):
    """Speech enhancement: STFT, a mask from a recurrent layer, and back."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(9, 9, batch_first=True)
        self.register_buffer("window", torch.hann_window(12))

    def forward(self, wave):
        how = {"n_fft": 16, "hop_length": 8, "win_length": 12, "window": self.window}
        spectrum = torch.stft(wave, **how, return_complex=True)  # [batch, 9, frames]
        y, _ = self.rnn(spectrum.abs().transpose(1, 2))
        spectrum = spectrum * torch.sigmoid(y).transpose(1, 2)
        return torch.istft(spectrum, **how, length=wave.size(1)), torch.istft(spectrum, **how)


@entry(TensorSpec("mels", ("batch", "time", 32)), outputs="style")
class SummaryOfFrames(nn.Module):
    """A style from strided convolutions, which give one frame of any short input."""

    def __init__(self):
        super().__init__()
        channels = zip((1, 2, 2, 2), (2, 2, 2, 2), strict=True)
        self.layers = nn.ModuleList([nn.Conv2d(a, b, 3, 2, 1) for a, b in channels])
        self.norms = nn.ModuleList([nn.BatchNorm2d(2) for _ in self.layers])
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, mels):
        y = mels.view(mels.size(0), 1, -1, 32)  # [batch, 1, time, 32]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            y = torch.relu(norm(layer(y)))
        y = y.transpose(1, 2)  # [batch, frames, 2, 2]
        y = y.contiguous().view(y.size(0), y.size(1), -1)
        return self.rnn(y)[1].squeeze(0)


@entry(
    TensorSpec("wave", ("batch", "6*frames")),
    TensorSpec("mels", ("batch", 5, "frames+4")),
    time_dim="frames",
)
class WaveBesideFrames(nn.Module):
    """A vocoder: samples, and frames that have two more on each side and are stretched."""

    def __init__(self):
        super().__init__()
        self.context = nn.Conv1d(5, 3, 5)
        self.rnn = nn.GRU(9, 4, batch_first=True)

    def forward(self, wave, mels):
        near = self.context(mels).repeat_interleave(6, dim=2)  # [batch, 3, samples]
        whole = mels.repeat_interleave(6, dim=2)[:, :, 12:-12]  # [batch, 5, samples]
        return self.rnn(torch.cat([wave.unsqueeze(1), near, whole], 1).transpose(1, 2))[0]


@entry(XB, expect="scan")
class NothingToSqueeze(nn.Module):
    """A usage of memory cells in each step, squeezed where there is no axis of one cell."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x):
        usage, found = x.new_zeros(x.size(0), 4), []
        for t in range(x.size(1)):
            usage = torch.sigmoid(self.cell(x[:, t], usage))
            usage = (1 - usage) * torch.cumprod(usage, 1).squeeze()
            found.append(usage)
        return torch.stack(found, 1)


@entry(
    XB, outputs="all one several last", dims={"batch": Dim(min=2), "time": Dim(min=2)}
)  # an axis of one row or step would go
class SqueezedAtOneAlone(WithGru):
    """`squeeze` of axes that are never 1, by every spelling."""

    def forward(self, x):
        y, _ = self.rnn(x)
        return y.squeeze(), y.squeeze(1), torch.squeeze(y, (0, -1)), y[:, -1:].squeeze()

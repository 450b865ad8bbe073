"""Modules that are called as people write them: dicts, nested states, regions, least lengths."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnbench import Dim, TensorSpec
from tests.zoo import LENGTHS, XB, X, entry

H = 4


@entry(XB, TensorSpec("gain", ("batch",)), outputs="loud y")
class TakesADict(nn.Module):
    """One dict goes in, and one comes out, in an order of its own."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H, batch_first=True)

    def forward(self, batch):
        y = self.rnn(batch["x"])[0]
        return {"y": y, "loud": y.sum(-1) * batch["gain"].unsqueeze(-1)}


@dataclass
class Result:
    last: torch.Tensor
    y: torch.Tensor


@entry(
    X,
    TensorSpec("h0", (1, "batch", H), role="state"),
    TensorSpec("c0", (1, "batch", H), role="state"),
    TensorSpec("bias", ("batch", 3)),
    outputs="y hn cn",
    states={"h0": "hn", "c0": "cn"},
)
class StatesInATuple(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, H)

    def forward(self, x, state=None, *, bias):
        y, state = self.rnn(x + bias, state)
        return y, state


@entry(XB, outputs="y last")
class GivesADataclass(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H, batch_first=True)

    def forward(self, x):
        y, last = self.rnn(x)
        return Result(last=last, y=y)


@entry(XB, outputs="y last")
class GivesMoreThanTensors(nn.Module):
    """None for a mask that was not given, a number and a word stand among what it returns."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H, batch_first=True)

    def forward(self, x, mask=None):
        y, last = self.rnn(x)
        return mask, (y, None), {"last": last, "steps": x.size(1), "kind": "gru"}


@entry(XB, LENGTHS)
class LengthsAsAList(nn.Module):
    """Rows are sorted by their length, packed with a list of numbers, and put back."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H, batch_first=True)

    def forward(self, x, lengths):
        order = lengths.argsort(descending=True)
        packed = pack_padded_sequence(x[order], list(lengths[order]), batch_first=True)
        y = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.size(1))[0]
        return y[order.argsort()]


@entry(XB, expect="fused scan")
class SwitchesGradients(nn.Module):
    """Regions with and without gradients, around a layer and inside of a step."""

    def __init__(self):
        super().__init__()
        self.rnn, self.mix = nn.GRU(3, H, batch_first=True), nn.Linear(2 * H, H)

    def forward(self, x):
        with torch.enable_grad(), torch.autocast("cpu", enabled=False):
            y = self.rnn(x)[0]
        h, seen = torch.zeros_like(y[:, 0]), []
        for y_t in y.unbind(1):
            with torch.enable_grad():
                h = torch.sin(self.mix(torch.cat([y_t, h], -1)))
            seen.append(h.detach())
        return torch.stack(seen, 1)


@entry(XB)
class FrontInAutocast(nn.Module):
    """What is before the layer is computed in bfloat16, in one piece and in each step."""

    def __init__(self):
        super().__init__()
        self.front, self.cell = nn.Linear(3, H), nn.GRUCell(H, H)

    def forward(self, x):
        h, seen = x.new_zeros(len(x), H), []
        for x_t in x.unbind(1):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y_t = torch.tanh(self.front(x_t))
            h = self.cell(y_t.float(), h)
            seen.append(h)
        return torch.stack(seen, 1)


@entry(XB)
class MadeForInference(nn.Module):
    """Its parameters were made, or loaded, under `inference_mode`."""

    def __init__(self):
        super().__init__()
        with torch.inference_mode():
            self.rnn, self.out = nn.LSTM(3, H, batch_first=True), nn.Linear(H, 2)

    def forward(self, x):
        return self.out(self.rnn(x)[0])


@entry(TensorSpec("wave", ("batch", "time")))
class NeedsTwelveSamples(nn.Module):
    """A strided convolution that is longer than the sequence at which models are traced first."""

    def __init__(self):
        super().__init__()
        self.front, self.rnn = nn.Conv1d(1, 3, 12, stride=4), nn.GRU(3, H, batch_first=True)

    def forward(self, wave):
        return self.rnn(self.front(wave.unsqueeze(1)).transpose(1, 2))[0]


@entry(
    TensorSpec("wave", ("batch", "time")),
    expect="scan",
    dims={"time": Dim(min=24, multiple_of=8)},
)
class FramesOfEight(nn.Module):
    """Whole frames alone: other lengths are refused by the module, and declared so."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(8 + H, H)

    def forward(self, wave):
        frames = wave.reshape(wave.size(0), -1, 8)
        h, seen = wave.new_zeros(wave.size(0), H), []
        for frame in frames.unbind(1):
            h = torch.sin(self.cell(torch.cat([frame, h], -1)))
            seen.append(h)
        return torch.stack(seen, 1)


@entry(TensorSpec("wave", ("batch", "time")))
class OneFrameInTheTrace(nn.Module):
    """A spectrum whose frames are as long as the first trace: one frame there, many elsewhere."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(16))
        self.rnn = nn.GRU(9, H, batch_first=True)

    def forward(self, wave):
        spectrum = torch.stft(
            wave, 16, 8, window=self.window, pad_mode="constant", return_complex=True
        )
        return self.rnn(torch.log1p(spectrum.abs()).transpose(1, 2))[0]


@entry(XB)
class PythonsOwnNumbers(nn.Module):
    """`len` and `int` of sizes, as Python has them, and of what is none."""

    def __init__(self):
        super().__init__()
        self.pool, self.rnn = nn.MaxPool1d(2, padding=1), nn.GRU(3, H, batch_first=True)

    def forward(self, x):
        x = self.pool(x.transpose(1, 2)).transpose(1, 2)
        half = int(x.size(1) * 0.5) + int("1")
        mask = torch.arange(len(x[0])) < half
        y, _ = self.rnn(x * mask.to(x.dtype).unsqueeze(-1))
        return y[:, :half] if isinstance(H, int) else y


def _episodes(dims, rng):
    rows, envs = dims["envs"] * dims["time"], dims["envs"]
    return {
        "seen": rng.standard_normal((rows, 3)).astype(np.float32),
        "starts": (rng.random(rows) < 0.3).astype(np.float32),
        "h0": rng.standard_normal((1, envs, H)).astype(np.float32),
    }


@entry(
    TensorSpec("seen", ("envs*time", 3)),
    TensorSpec("starts", ("envs*time",)),
    TensorSpec("h0", (1, "envs", H), role="state"),
    outputs="y hn",
    expect="scan",
    sample=_episodes,
    batch_dim="envs",
)
class RowsOfEpisodes(nn.Module):
    """The rows are environments times steps; the state is reset where an episode starts."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H)

    def forward(self, seen, starts, h):
        envs = h.size(1)
        seen = seen.reshape(envs, -1, 3).swapaxes(0, 1)
        keep = 1 - starts.reshape(envs, -1).swapaxes(0, 1)
        out = []
        for x, k in zip(seen, keep, strict=True):
            y, h = self.rnn(x[None], k.view(1, envs, 1) * h)
            out.append(y)
        return torch.cat(out).transpose(0, 1).flatten(0, 1), h


@entry(
    TensorSpec("frame", ("batch", 3)),
    TensorSpec("memory", ("batch", "text", H)),
    TensorSpec("h", ("batch", H), role="state"),
    TensorSpec("seen", ("batch", "text"), role="state"),
    outputs="y hn seenn",
    states={"h": "hn", "seen": "seenn"},
    expect="",
)
class OneStepOfADecoder(nn.Module):
    """No time at all: one step with attention to a text, which a caller repeats."""

    def __init__(self):
        super().__init__()
        self.cell, self.query = nn.GRUCell(3 + H, H), nn.Linear(H, H)

    def forward(self, frame, memory, h, seen):
        score = (memory @ self.query(h).unsqueeze(-1)).squeeze(-1) - seen
        weight = torch.softmax(score, 1)
        context = (weight.unsqueeze(1) @ memory).squeeze(1)
        h = self.cell(torch.cat([frame, context], -1), h)
        return torch.cat([h, context], -1), h, seen + weight

"""Modules whose loops run as long as data say."""

import torch
from torch import nn

from rnnbench import TensorSpec
from tests.zoo import LENGTHS, XB, entry

H = 4
STATE = TensorSpec("h", ("batch", H))
TEXT = TensorSpec("text", ("batch", "text", 3))


def short(dims, rng):
    """Lengths of which none is the whole time, where that is long enough."""
    time = dims["time"]
    return {
        "x": rng.standard_normal((dims["batch"], time, 3)).astype("float32"),
        "lengths": rng.integers(1, max(2, time - 1), dims["batch"]),
    }


def some(dims, rng):
    return {
        "h": rng.standard_normal((dims["batch"], H)).astype("float32"),
        "count": rng.integers(1, 9, 1),
    }


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, H)


@entry(STATE, expect="while", max_steps=20)
class StopsAtAToken(nn.Module):
    """Greedy decoding until every row has had its stop token."""

    def __init__(self):
        super().__init__()
        self.embed, self.cell, self.out = nn.Embedding(9, H), nn.GRUCell(H, H), nn.Linear(H, 9)

    def forward(self, h):
        token = torch.zeros(h.size(0), dtype=torch.long)
        done = torch.zeros(h.size(0), dtype=torch.bool)
        seen = []
        for _ in range(20):
            h = self.cell(self.embed(token), h)
            scores = self.out(h * 5)
            token = scores.argmax(-1)
            seen.append(scores)
            done = done | (token == 3)
            if done.all():
                break
        return torch.stack(seen, 1)


@entry(TEXT, outputs="mel gate align", expect="fused while", time_dim="text", max_steps=50)
class StopsAtAGate(nn.Module):
    """A decoder with attention over an encoder, `while True`, and two ways to end."""

    def __init__(self):
        super().__init__()
        self.encoder, self.cell = nn.GRU(3, H, batch_first=True), nn.LSTMCell(2 + H, H)
        self.out, self.gate = nn.Linear(H, 2), nn.Linear(H, 1)
        self.most = 50

    def forward(self, text):
        memory, _ = self.encoder(text)
        frame = text.new_zeros(text.size(0), 2)
        h, c, context = (text.new_zeros(text.size(0), H) for _ in range(3))
        frames, gates, weights = [], [], []
        while True:
            h, c = self.cell(torch.cat([frame, context], -1), (h, c))
            weight = torch.softmax((memory * h[:, None]).sum(-1), -1)
            context = (weight[..., None] * memory).sum(1)
            frame, gate = self.out(h), self.gate(h * 4).squeeze(1)
            frames, gates, weights = [*frames, frame], [*gates, gate], [*weights, weight]
            if (torch.sigmoid(gate) > 0.62).all() or len(frames) == self.most:
                break
        return torch.stack(frames, 1), torch.stack(gates, 1), torch.stack(weights, 1)


@entry(XB, outputs="y best", expect="while", max_steps=100_000)
class HasPatience(Cell):
    """It ends early, or at the end of its input; an `if` in the step counts."""

    def forward(self, x):
        h, best, bad, seen = x.new_zeros(x.size(0), H), x.new_full((), -1e9), 0, []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            score = h.mean()
            if score > best:
                best, bad = score, 0
            else:
                bad = bad + 1
            seen.append(h)
            if bad > 2:
                break
        return torch.stack(seen, 1), best


@entry(STATE, expect="while", max_steps=9)
class WhileItIsLarge(nn.Module):
    """A question before each step, and fewer steps than that at most."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(H, H)

    def forward(self, h):
        z, t = h, 0
        while t < 9 and h.abs().mean() > 0.45:
            h = self.cell(z, h) * 0.9
            t += 1
        return h


@entry(XB, LENGTHS, outputs="y h", expect="while", sample=short)
class UpToTheLongest(Cell):
    """The longest row says how many steps there are; the input is cut there."""

    def forward(self, x, lengths):
        longest = lengths.max().item()
        x = x[:, :longest]
        h, seen = x.new_zeros(x.size(0), H), []
        for t in range(longest):
            h = torch.where((t < lengths)[:, None], self.cell(x[:, t], h), h)
            seen.append(h)
        return torch.stack(seen, 1), h


@entry(XB, LENGTHS, sample=short)
class BackFromTheLongest(Cell):
    """Python's own `max`, asked twice, a tensor of that length, and steps from its end on."""

    def forward(self, x, lengths):
        h = x.new_zeros(x.size(0), H)
        out = x.new_zeros(x.size(0), int(max(lengths)), H)
        for t in reversed(range(int(max(lengths)))):
            h = self.cell(x[:, t], h)
            out[:, t] = h
        return out


@entry(STATE, TensorSpec("count", (1,), "int64", high=9), max_steps=8, sample=some)
class AsManyAsAnInputSays(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(H, H)

    def forward(self, h, count):
        z, seen = h, []
        for _ in range(int(count)):
            h = self.cell(z, h)
            seen.append(h)
        return torch.stack(seen, 1)


@entry(XB, outputs="tokens", expect="fused while", max_steps=15)
class LayerUntilAllHaveEnded(nn.Module):
    """A layer called on one step at a time, and rows that are kept once they have ended."""

    def __init__(self):
        super().__init__()
        self.encoder, self.layer = (nn.LSTM(n, H, batch_first=True) for n in (3, H))
        self.embed, self.out = nn.Embedding(9, H), nn.Linear(H, 9)

    def forward(self, x):
        _, state = self.encoder(x)
        token = torch.full((x.size(0), 1), 1)
        ended = torch.zeros(x.size(0), 1, dtype=torch.bool)
        tokens, step = [token], 0
        while step < 15:
            y, state = self.layer(self.embed(token), state)
            token = (self.out(y) * 6).log_softmax(-1).argmax(-1)
            token = torch.where(ended, torch.zeros_like(token), token)
            ended = torch.logical_or(ended, token == 2)
            tokens.append(token)
            step += 1
            if bool(ended.all()):
                break
        return torch.cat(tokens, 1)


@entry(XB, LENGTHS, sample=short)
class CutAtANumber(nn.Module):
    """No loop: a part as long as a number in a tensor."""

    def __init__(self):
        super().__init__()
        self.layer = nn.GRU(3, H, batch_first=True)

    def forward(self, x, lengths):
        return self.layer(x[:, : int(lengths[0])])[0].mean(1)

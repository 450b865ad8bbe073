"""Loops that use the number of the step, and outputs that grow, narrow or are dated."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnbench import TensorSpec
from rnnbench.core.known_warnings import torchscript_deprecation
from tests.zoo import LENGTHS, TOKENS, XB, X, entry

H = 4


class OneCell(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, H)


@entry(XB, LENGTHS, outputs="y hn", expect="scan")
class MaskedByLengths(OneCell):
    """A row that has ended keeps its state."""

    def forward(self, x, lengths):
        h, steps = x.new_zeros(x.size(0), H), []
        for t in range(x.size(1)):
            live = (t < lengths).unsqueeze(1)
            h = torch.where(live, self.cell(x[:, t], h), h)
            steps.append(h)
        return torch.stack(steps, 1), h


@entry(XB, LENGTHS, outputs="y hn")
class MaskedAfterwards(OneCell):
    """The outputs alone are masked, so that the cell is still a GRU."""

    def forward(self, x, lengths):
        h, steps = x.new_zeros(x.size(0), H), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            steps.append(h * (t < lengths).float().unsqueeze(1))
        return torch.stack(steps, 1), h


@entry(XB)
class ScaledByStep(OneCell):
    """A ramp on the input."""

    def forward(self, x):
        h, steps = x.new_zeros(x.size(0), H), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t] * (0.1 * t + 1), h)
            steps.append(h)
        return torch.stack(steps, 1)


@entry(XB)
class PositionTable(OneCell):
    """A row of a parameter for each step."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(2000, 3))

    def forward(self, x):
        h, steps = x.new_zeros(x.size(0), H), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t] + self.table[t], h)
            steps.append(h)
        return torch.stack(steps, 1)


@entry(XB)
class PositionEmbedding(OneCell):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(2000, 3)

    def forward(self, x):
        h, steps = x.new_zeros(x.size(0), H), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t] + self.embed(torch.tensor([t])), h)
            steps.append(h)
        return torch.stack(steps, 1)


@entry(XB)
class Sinusoid(OneCell):
    """The phase is computed from the number of the step, as a tensor."""

    def forward(self, x):
        h, steps = x.new_zeros(x.size(0), H), []
        rates = torch.tensor([1.0, 0.1, 0.01])
        for t in range(x.size(1)):
            h = self.cell(x[:, t] + torch.sin(t * rates * math.pi), h)
            steps.append(h)
        return torch.stack(steps, 1)


@entry(XB)
class CountingBackwards(OneCell):
    def forward(self, x):
        h, steps = x.new_zeros(x.size(0), H), []
        for t in range(x.size(1) - 1, -1, -1):
            h = self.cell(x[:, t], h)
            steps.append(h)
        return torch.stack(steps[::-1], 1)


@entry(XB)
class GrowingOutput(OneCell):
    """`out = torch.cat([out, h])` in each step."""

    def forward(self, x):
        h, out = x.new_zeros(x.size(0), H), x.new_zeros(x.size(0), 0, H)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            out = torch.cat([out, h.unsqueeze(1)], 1)
        return out


@entry(XB)
class GrowingFromNone(OneCell):
    def forward(self, x):
        h, out = x.new_zeros(x.size(0), H), None
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            out = h.unsqueeze(1) if out is None else torch.cat((out, h.unsqueeze(1)), 1)
        return out


@entry(X, outputs="y hn", expect="fused")
class FinalStepTwice(OneCell):
    """The last output is used beside all of them."""

    def forward(self, x):
        h, steps = x.new_zeros(x.size(1), H), []
        for t in range(x.size(0)):
            h = self.cell(x[t], h)
            steps.append(h)
        return torch.stack(steps) - steps[-1], steps[-1]


@entry(XB, outputs="y m", expect="fused scan")
class MeanOverTime(OneCell):
    """Pooling of the steps, by hand and by the number of them."""

    def forward(self, x):
        h, steps = x.new_zeros(x.size(0), H), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            steps.append(h)
        return torch.stack(steps, 1), sum(steps) / len(steps)


@entry(XB, expect="")
class LogCumulativeSum(nn.Module):
    """A linear recurrence in log space, which no ONNX operator computes (minGRU)."""

    def __init__(self):
        super().__init__()
        self.gate, self.new = nn.Linear(3, H), nn.Linear(3, H)

    def forward(self, x):
        k = self.gate(x)
        keep, take = -nn.functional.softplus(k), -nn.functional.softplus(-k)
        total = torch.cumsum(keep, 1)
        values = take + torch.log(torch.sigmoid(self.new(x)))
        return torch.exp(total + torch.logcumsumexp(values - total, 1))


@entry(XB, LENGTHS)
class MeanOverLengths(nn.Module):
    """The lengths as a mask over what a layer gives."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H, batch_first=True)

    def forward(self, x, lengths):
        y, _ = self.rnn(x)
        mask = torch.arange(x.size(1))[None] < lengths[:, None]
        return (y * mask[..., None]).sum(1) / lengths[:, None]


@entry(XB, LENGTHS)
class LastValidStep(nn.Module):
    """`gather` at the last step of each row."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, H, batch_first=True)

    def forward(self, x, lengths):
        y, _ = self.rnn(x)
        at = (lengths - 1).view(-1, 1, 1).expand(-1, 1, y.size(2))
        return y.gather(1, at).squeeze(1)


@entry(XB, LENGTHS, outputs="y", expect="fused")
class PackedListOfLengths(nn.Module):
    """The lengths as a Python list."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, H, batch_first=True)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths.tolist(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]


@entry(TOKENS)
class DroppedInput(nn.Module):
    """Evaluation mode leaves dropout out, also where it is a function."""

    def __init__(self):
        super().__init__()
        self.embed, self.cell = nn.Embedding(9, 3), nn.LSTMCell(3, H)

    def forward(self, tokens):
        x = nn.functional.dropout(self.embed(tokens), 0.5, self.training)
        h = c = x.new_zeros(x.size(0), H)
        steps = []
        for x_t in x.unbind(1):
            h, c = self.cell(x_t, (h, c))
            steps.append(nn.functional.dropout(h, 0.2, training=self.training))
        return torch.stack(steps, 1)


class Inner(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.linear = nn.Linear(size, H)
        self.size, self.hidden = size, H

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() == 2:
            return torch.tanh(self.linear(x))
        return torch.tanh(self.linear(x.reshape(-1, self.size))).reshape(x.size(0), -1, self.hidden)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(H, H, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.rnn(x)
        return y


@entry(XB)
class ScriptedChildren(nn.Module):
    """A scripted front-end and a scripted encoder."""

    def __init__(self):
        super().__init__()
        with torchscript_deprecation():
            self.front = torch.jit.script(Inner(3))
            self.encoder = torch.jit.script(Encoder())

    def forward(self, x):
        return self.encoder(self.front(x))


@entry(
    X,
    TensorSpec("h", ("batch", H), role="state"),
    outputs="y hn",
    states={"h": "hn"},
    expect="scan",
)
class ScriptedStepsInAList(nn.Module):
    """A scripted layer that adds lists of what each step gives, and keeps its states in one."""

    class _Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(3 + H, H)

        def forward(self, x: Tensor, hidden: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            found: list[Tensor] = []
            for step in x.unbind(0):
                hidden = [torch.sin(self.mix(torch.cat([step, hidden[0]], 1)))]
                found += [hidden[0]]
            return torch.stack(found), hidden

    def __init__(self):
        super().__init__()
        with torchscript_deprecation():
            self.layer = torch.jit.script(self._Layer())

    def forward(self, x, h):
        y, hidden = self.layer(x, [h])
        return y, hidden

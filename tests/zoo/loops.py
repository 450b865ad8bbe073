"""Python loops over time, as people write them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._higher_order_ops import while_loop
from torch._higher_order_ops.scan import scan

from rnnbench import TensorSpec
from tests.zoo import TOKENS, XB, X, entry

H = 4


class OneCell(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, H)


@entry(
    X,
    TensorSpec("h0", ("batch", H), role="state"),
    outputs="y hn",
    states={"h0": "hn"},
)
class RangeOverTime(OneCell):
    def forward(self, x, h):
        steps = []
        for t in range(x.size(0)):
            h = self.cell(x[t], h)
            steps.append(h)
        return torch.stack(steps), h


@entry(X)
class ConstantToTheDevice(OneCell):
    """Who writes for any device and dtype casts in each step, mostly to what is there."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.linspace(0.5, 2.0, H))
        self.shift = torch.ones(H)

    def forward(self, x):
        h = torch.zeros(x.size(1), H).to(x)
        steps = []
        for x_t in x:
            h = self.cell(x_t.to(h.device), h)
            steps.append(h * self.scale.to(h.dtype) + self.shift.to(h.device))
        return torch.stack(steps)


@entry(XB)
class Unbind(OneCell):
    def forward(self, x):
        h, steps = None, []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            steps.append(h)
        return torch.stack(steps, dim=1)


@entry(XB)
class ChunkAndCat(OneCell):
    def forward(self, x):
        h, steps = None, []
        for x_t in x.chunk(x.size(1), 1):
            h = self.cell(x_t.squeeze(1), h)
            steps.append(h.unsqueeze(1))
        return torch.cat(steps, 1)


@entry(XB)
class SplitOne(OneCell):
    def forward(self, x):
        h, steps = x.new_zeros(x.size(0), H), []
        for x_t in x.split(1, dim=1):
            h = self.cell(x_t[:, 0], h)
            steps.append(h)
        return torch.stack(steps, 1)


@entry(XB)
class PreallocatedReversed(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, H)

    def forward(self, x):
        batch, time, _ = x.shape
        h, c = x.new_zeros(batch, H), torch.zeros(batch, H)
        out = torch.empty(batch, time, H)
        for t in reversed(range(time)):
            h, c = self.cell(x[:, t], (h, c))
            out[:, t, :] = h
        return out


@entry(XB)
class LastAlone(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTMCell(3, H), nn.Linear(H, 2)

    def forward(self, x):
        state = None
        for t in range(x.shape[1]):
            state = self.cell(x[:, t, :], state)
        return self.out(state[0])


@entry(XB, expect="fused fused")
class BidirectionalByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.forth, self.back = nn.GRUCell(3, H), nn.GRUCell(3, H)

    def forward(self, x):
        time = x.size(1)
        a = b = torch.zeros(x.size(0), H)
        ones, others = [], []
        for t in range(time):
            a = self.forth(x[:, t], a)
            b = self.back(x[:, time - 1 - t], b)
            ones.append(a)
            others.insert(0, b)
        return torch.cat([torch.stack(ones, 1), torch.stack(others, 1)], -1)


@entry(XB, expect="fused fused")
class TwoLoops(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.GRUCell(3, H), nn.RNNCell(H, H)

    def forward(self, x):
        h, steps = x.new_zeros(x.size(0), H), []
        for x_t in x.unbind(1):
            h = self.one(x_t, h)
            steps.append(h)
        y = torch.stack(steps, 1)
        h, steps = h, []
        for t in range(y.size(1)):
            h = self.two(y[:, t], h)
            steps.append(h)
        return torch.stack(steps, 1)


@entry(XB, expect="fused fused")
class LayerByLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([nn.GRUCell(3, H), nn.GRUCell(H, H)])

    def forward(self, x):
        steps = list(x.unbind(1))
        for cell in self.cells:
            h, after = torch.zeros(x.size(0), H), []
            for x_t in steps:
                h = cell(x_t, h)
                after.append(h)
            steps = after
        return torch.stack(steps, 1)


@entry(XB, expect="fused fused")
class AllLayersInOneStep(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(3, H), nn.LSTMCell(H, H)])
        self.out = nn.Linear(H, 2)

    def forward(self, x):
        states = [(x.new_zeros(x.size(0), H), x.new_zeros(x.size(0), H)) for _ in self.cells]
        steps = []
        for t in range(x.size(1)):
            h = x[:, t]
            for i, cell in enumerate(self.cells):
                states[i] = cell(h, states[i])
                h = states[i][0]
            steps.append(self.out(h))
        return torch.stack(steps, dim=1)


@dataclass
class State:
    h: Tensor
    c: Tensor


@entry(XB)
class DataclassState(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, H)

    def step(self, x, state):
        return State(*self.cell(x, (state.h, state.c)))

    def forward(self, x):
        state = State(x.new_zeros(x.size(0), H), x.new_zeros(x.size(0), H))
        steps = []
        for t in range(x.size(1)):
            state = self.step(x[:, t], state)
            steps.append(state.h)
        return torch.stack(steps, 1)


@entry(XB, outputs="y hn", expect="fused scan")
class RunningSum(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(3, H, nonlinearity="relu")

    def forward(self, x):
        h, total = torch.zeros(x.shape[0], H), 0
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            total = total + h
        return total / x.shape[1], h


@entry(XB, outputs="y hn", expect="scan")
class FirstStepDiffers(OneCell):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, H)

    def forward(self, x):
        h = torch.tanh(self.first(x[:, 0]))
        steps = [h]
        for t in range(1, x.size(1)):
            h = self.cell(x[:, t], h)
            steps.append(h)
        return torch.stack(steps, 1), h


@entry(XB, expect="scan")
class FromTheThirdStep(OneCell):
    """No steps at all where there are two or fewer."""

    def forward(self, x):
        h = x.new_zeros(x.size(0), H)
        for t in range(2, x.size(1)):
            h = self.cell(x[:, t], h)
        return h


@entry(XB)
class AfterStridedConvolution(OneCell):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 3, stride=2, padding=1)

    def forward(self, x):
        x = self.conv(x.transpose(1, 2)).transpose(1, 2)
        h, steps = torch.zeros(x.size(0), H), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            steps.append(h)
        return torch.stack(steps, 1)


@entry(TOKENS, expect="scan")
class TeacherForced(nn.Module):
    """The step's output goes into the next step, beside the target."""

    def __init__(self):
        super().__init__()
        self.embed, self.cell, self.out = nn.Embedding(9, 3), nn.GRUCell(3 + H, H), nn.Linear(H, H)

    def forward(self, tokens):
        h = y = torch.zeros(tokens.size(0), H)
        steps = []
        for t in range(tokens.size(1)):
            h = self.cell(torch.cat([self.embed(tokens[:, t]), y], 1), h)
            y = self.out(h)
            steps.append(y)
        return torch.stack(steps, 1)


class Greedy(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.cell, self.out = nn.Embedding(9, H), nn.GRUCell(H, H), nn.Linear(H, 9)

    def decode(self, h, steps):
        token, scores = torch.zeros(h.size(0), dtype=torch.int64), []
        for _ in range(steps):
            h = self.cell(self.embed(token), h)
            scores.append(self.out(h))
            token = scores[-1].argmax(-1)
        return torch.stack(scores, 1)


@entry(TensorSpec("h", ("batch", H)), TOKENS, expect="scan")
class GreedyAsLongAsTarget(Greedy):
    def forward(self, h, tokens):
        return self.decode(h, tokens.size(1))


@entry(TensorSpec("h", ("batch", H)), expect="unrolled")
class GreedySixSteps(Greedy):
    def forward(self, h):
        return self.decode(h, 6)


@entry(X, expect="scan")
class OwnScan(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(3, 3)

    def forward(self, x):
        def step(h, x_t):
            h = torch.tanh(self.cell(x_t) + h)
            return h, h.clone()

        return scan(step, x.new_zeros(x.size(1), 3), x)[1]


@entry(TensorSpec("h", ("batch", 3)), outputs="steps hn", expect="while")
class OwnWhileLoop(nn.Module):
    """As many steps as it takes."""

    def __init__(self):
        super().__init__()
        self.grow = nn.Linear(3, 3)

    def forward(self, h):
        def grows(steps, h):
            return (steps < 40) & (h.abs().sum() < 50.0)

        def step(steps, h):
            return steps + 1, 1.5 * h + torch.tanh(self.grow(h))

        return while_loop(grows, step, (torch.zeros((), dtype=torch.int64), h))


@entry(
    TensorSpec("x", ("batch", "sentences", "words", 3)),
    outputs="y hs",
    expect="fused fused scan",
    time_dim="sentences",
)
class WordsInSentences(nn.Module):
    """A loop over words inside of a loop over sentences, both of any length."""

    def __init__(self):
        super().__init__()
        self.word, self.sentence = nn.GRUCell(3, H), nn.LSTMCell(H, H)

    def forward(self, x):
        h, c = (x.new_zeros(x.size(0), H) for _ in range(2))
        seen = []
        for i in range(x.size(1)):
            word = x.new_zeros(x.size(0), H)
            for j in range(x.size(2)):
                word = self.word(x[:, i, j], word)
            h, c = self.sentence(word, (h, c))
            seen.append(h)
        return torch.stack(seen, 1), h


@entry(X, expect="scan")
class FirstStatesOfNoBatch(nn.Module):
    """Rates and potentials that begin with one row for all; each step gives those of every row."""

    def __init__(self):
        super().__init__()
        self.enter, self.back = nn.Linear(3, H), nn.Linear(H, H)

    def forward(self, x):
        potential = torch.zeros(H)
        rate, seen = torch.relu(potential), []
        for t in range(x.size(0)):
            potential = 0.8 * potential + 0.2 * (self.back(rate) + self.enter(x[t]))
            rate = torch.relu(potential)
            seen.append(rate)
        return torch.stack(seen)

"""Cells of people's own in a plain loop: known algebra in many spellings, and unknown algebra."""

import torch
from torch import nn

from rnnbench import TensorSpec
from tests.zoo import X, entry

H, I = 4, 3  # noqa: E741


class Loop(nn.Module):
    """`step(x_t, *state) -> state`, whose first element is the output."""

    states = 1

    def forward(self, x):
        state = tuple(x.new_zeros(x.size(1), H) for _ in range(self.states))
        steps = []
        for t in range(x.size(0)):
            state = self.step(x[t], *state)
            state = state if isinstance(state, tuple) else (state,)
            steps.append(state[0])
        return torch.stack(steps), state[0]


@entry(X, outputs="y hn")
class ElmanTwoLinears(Loop):
    def __init__(self):
        super().__init__()
        self.i, self.h = nn.Linear(I, H), nn.Linear(H, H, bias=False)

    def step(self, x, h):
        return torch.tanh(self.h(h) + self.i(x))


@entry(X, outputs="y hn")
class ElmanAfterRelu(ElmanTwoLinears):
    def __init__(self):
        super().__init__()
        self.before = nn.Linear(I, I)

    def step(self, x, h):
        return torch.relu(self.h(h) + self.i(torch.relu(self.before(x))))


@entry(X, outputs="y hn", expect="scan")
class ElmanInFloat64(ElmanTwoLinears):
    """No runtime has a fused layer in float64."""

    def __init__(self):
        super().__init__()
        self.double()

    def forward(self, x):
        return super().forward(x.double())


@entry(X, outputs="y hn")
class GruSplitGates(Loop):
    def __init__(self):
        super().__init__()
        for name in "rzc":
            setattr(self, f"i{name}", nn.Linear(I, H))
            setattr(self, f"h{name}", nn.Linear(H, H))

    def step(self, x, h):
        r = torch.sigmoid(self.ir(x) + self.hr(h))
        z = torch.sigmoid(self.iz(x) + self.hz(h))
        n = torch.tanh(self.ic(x) + r * self.hc(h))
        return (1 - z) * n + z * h


@entry(X, outputs="y hn")
class GruFusedGates(Loop):
    def __init__(self):
        super().__init__()
        self.i, self.h = nn.Linear(I, 3 * H), nn.Linear(H, 3 * H)

    def step(self, x, h):
        ir, iz, i_n = self.i(x).chunk(3, 1)
        hr, hz, hn = self.h(h).split(H, 1)
        r, z = torch.sigmoid(ir + hr), torch.sigmoid(iz + hz)
        n = torch.tanh(i_n + r * hn)
        return n + z * (h - n)


@entry(X, outputs="y hn")
class GruOtherOrder(GruFusedGates):
    def step(self, x, h):
        g, k = self.i(x), self.h(h)
        z = torch.sigmoid(g[:, :H] + k[:, :H])
        r = torch.sigmoid(g[:, H : 2 * H] + k[:, H : 2 * H])
        n = torch.tanh(g[:, 2 * H :] + r * k[:, 2 * H :])
        return torch.lerp(h, n, z)


@entry(X, outputs="y hn")
class GruSigmoidBeforeChunk(Loop):
    def __init__(self):
        super().__init__()
        self.gates = nn.Linear(I + H, 2 * H)
        self.i, self.h = nn.Linear(I, H), nn.Linear(H, H)

    def step(self, x, h):
        z, r = torch.sigmoid(self.gates(torch.cat([x, h], -1))).chunk(2, -1)
        n = torch.tanh(self.i(x) + r * self.h(h))
        return n + z * (h - n)


@entry(X, outputs="y hn")
class LstmOneLinear(Loop):
    states = 2

    def __init__(self):
        super().__init__()
        self.gates = nn.Linear(I + H, 4 * H)

    def step(self, x, h, c):
        f, i, o, g = self.gates(torch.cat((h, x), 1)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class FourGates(Loop):
    states = 2

    def __init__(self):
        super().__init__()
        for name in "ifgo":
            setattr(self, f"w{name}", nn.Linear(I, H))
            setattr(self, f"u{name}", nn.Linear(H, H, bias=False))

    def gates(self, x, h):
        return [getattr(self, f"w{n}")(x) + getattr(self, f"u{n}")(h) for n in "ifgo"]


@entry(X, outputs="y hn")
class LstmSplitGates(FourGates):
    def step(self, x, h, c):
        i, f, g, o = self.gates(x, h)
        c = i.sigmoid() * g.tanh() + c * f.sigmoid()
        return c.tanh() * o.sigmoid(), c


@entry(X, outputs="y hn", expect="scan")
class LstmPeephole(FourGates):
    def __init__(self):
        super().__init__()
        self.peep = nn.Parameter(torch.randn(3, H))

    def step(self, x, h, c):
        i, f, g, o = self.gates(x, h)
        after = torch.sigmoid(f + self.peep[0] * c) * c
        after = after + torch.sigmoid(i + self.peep[1] * c) * g.tanh()
        return torch.sigmoid(o + self.peep[2] * after) * after.tanh(), after


@entry(X, outputs="y hn", expect="scan")
class LstmCoupled(FourGates):
    def step(self, x, h, c):
        _, f, g, o = self.gates(x, h)
        f = f.sigmoid()
        c = f * c + (1 - f) * g.tanh()
        return o.sigmoid() * c.tanh(), c


@entry(X, outputs="y hn", expect="scan")
class LstmLayerNorm(FourGates):
    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(H) for _ in range(5))

    def step(self, x, h, c):
        i, f, g, o = (norm(gate) for norm, gate in zip(self.norms, self.gates(x, h), strict=False))
        c = self.norms[4](f.sigmoid() * c + i.sigmoid() * g.tanh())
        return o.sigmoid() * c.tanh(), c


@entry(X, outputs="y hn", expect="scan")
class MinimalGatedUnit(Loop):
    def __init__(self):
        super().__init__()
        self.f, self.i, self.h = nn.Linear(I + H, H), nn.Linear(I, H), nn.Linear(H, H)

    def step(self, x, h):
        f = torch.sigmoid(self.f(torch.cat([x, h], 1)))
        return (1 - f) * h + f * torch.tanh(self.i(x) + self.h(f * h))


@entry(X, outputs="y hn", expect="scan")
class IndependentRnn(Loop):
    def __init__(self):
        super().__init__()
        self.i, self.u = nn.Linear(I, H), nn.Parameter(torch.rand(H))

    def step(self, x, h):
        return torch.relu(self.i(x) + self.u * h)


@entry(X, outputs="y hn", expect="scan")
class MultiplicativeRnn(Loop):
    def __init__(self):
        super().__init__()
        self.i, self.h, self.m = nn.Linear(I, H), nn.Linear(H, H), nn.Linear(I, H)

    def step(self, x, h):
        return torch.tanh(self.i(x) + self.m(x) * self.h(h))


@entry(
    TensorSpec("x", ("time", "batch", 3)),
    TensorSpec("gap", ("time", "batch", 1)),
    outputs="y",
    expect="scan",
)
class DecayingGru(nn.Module):
    """The hidden state decays with the time since the last observation, as in GRU-D."""

    def __init__(self):
        super().__init__()
        self.cell, self.rate = nn.GRUCell(3, H), nn.Linear(1, H)

    def forward(self, x, gap):
        h, steps = x.new_zeros(x.shape[1], H), []
        for t in range(x.shape[0]):
            h = h * torch.exp(-torch.relu(self.rate(gap[t])))
            h = self.cell(x[t], h)
            steps.append(h)
        return torch.stack(steps)

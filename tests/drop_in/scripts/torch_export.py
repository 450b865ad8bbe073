"""As people make a .pt2: torch.export.export and save."""

import torch
from torch import nn
from torch.export import Dim, export, save


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(6, 8)

    def forward(self, x, state, reverse=None, *, scale=1.0):
        h, c = state
        steps = []
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
            steps.append(h * scale)
        return {"y": torch.stack(steps, 1), "reverse": reverse, "state": (h, c)}


class Leaky(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(6, 8), nn.Linear(8, 8)

    def forward(self, *inputs, **more):
        x, h = inputs
        steps = []
        for t in range(x.size(0)):
            h = torch.sin(self.inner(x[t])) * h + torch.cos(self.outer(h)) + more["drive"]
            steps.append(h)
        return [torch.stack(steps), h]


decoder, leaky = Decoder(), Leaky()
batch, time = Dim("batch", max=64), Dim("time")

program = export(
    decoder,
    (torch.randn(2, 5, 6), (torch.zeros(2, 8), torch.zeros(2, 8)), None),
    {"scale": 2.0},
    dynamic_shapes={
        "x": {0: batch, 1: time},
        "state": ({0: batch}, {0: batch}),
        "reverse": None,
        "scale": None,
    },
)
save(program, "decoder.pt2")

rows = Dim("rows")
save(
    export(
        leaky,
        (torch.randn(5, 2, 6), torch.zeros(2, 8)),
        {"drive": torch.randn(2, 1)},
        dynamic_shapes={"inputs": ({0: time, 1: rows}, {0: rows}), "more": {"drive": {0: rows}}},
    ),
    "leaky.pt2",
)

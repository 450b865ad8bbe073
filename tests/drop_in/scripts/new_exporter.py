"""As people export with the exporter on torch.export: dynamic_shapes, nested arguments, no f."""

import torch
from torch import nn, onnx
from torch.export import Dim


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(6, 8), nn.LSTMCell(8, 8)])

    def forward(self, x, states, reverse=None, *, scale=1.0, bias=None):
        states, steps = list(states), []
        for t in range(x.size(1)):
            y = x[:, t]
            for i, cell in enumerate(self.cells):
                states[i] = cell(y, states[i])
                y = states[i][0]
            steps.append(y * scale if bias is None else y * scale + bias["bias"])
        return {"y": torch.stack(steps, 1), "reverse": reverse, "states": states}


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x, thinned):
        y, _ = self.gru(x)
        return y[:, ::2] * thinned[..., None]


decoder, mixer = Decoder().eval(), Mixer().eval()
batch, time = Dim("batch", min=1, max=64), Dim("time")
state = (torch.zeros(2, 8), torch.zeros(2, 8))
per_state = ({0: batch}, {0: batch})

program = onnx.export(
    decoder,
    (torch.randn(2, 5, 6), [state, state], None),
    kwargs={"scale": 2.0, "bias": {"bias": torch.randn(8)}},
    dynamic_shapes={
        "x": {0: batch, 1: time},
        "states": [per_state, per_state],
        "reverse": None,
        "scale": None,
        "bias": {"bias": None},
    },
    output_names=["y"],
    dynamo=True,
)
program.save("decoder.onnx")

onnx.export(
    mixer,
    (torch.randn(2, 8, 6), torch.ones(2, 4)),
    "mixer.onnx",
    dynamic_shapes=({0: Dim.AUTO, 1: 2 * time, 2: Dim.AUTO}, (Dim.DYNAMIC, time)),
    verify=True,
)

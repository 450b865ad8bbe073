"""Numbers that a step makes anew."""

import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec


class Spiking(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(3, 4)

    def forward(self, x):
        v, seen = x.new_zeros(x.shape[1], 4), []
        for t in range(x.shape[0]):
            v = v * torch.as_tensor([0.9, 0.8, 0.7, 0.6]) + self.cell(x[t])
            fired = torch.gt(v, torch.as_tensor(0.5)).to(v.dtype)
            v = v * (1 - fired)
            seen.append(fired)
        return torch.stack(seen), v


class Inside(nn.Module):
    """The constants are those of a part: `net.lifted_tensor_0`."""

    def __init__(self):
        super().__init__()
        self.net = Spiking()

    def forward(self, x):
        return self.net(x)


@pytest.mark.parametrize("cls", [Spiking, Inside])
def test_a_step_may_make_the_same_constants_each_time(cls, tmp_path):
    model = Model(cls().eval(), (TensorSpec("x", ("time", "batch", 3)),), ("y", "v"))
    bundle = rnnbench.export(model, ("onnx", "torchscript", "pt2"), tmp_path / "made")
    assert bundle.manifest["failed"] == {}
    assert [r["representation"] for r in bundle.manifest["recurrences"]] == ["scan"]
    report = rnnbench.check(bundle, isolate=False)
    wrong = [row for row in report.rows if row.verdict != "same" and row.format != "eager"]
    assert not wrong, wrong

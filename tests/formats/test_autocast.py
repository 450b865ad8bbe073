"""A forward in autocast to a smaller type is written where that can be, else refused by name."""

import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec


class Smaller(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        y, _ = self.rnn(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = self.head(y)
        return y.float()


def test_autocast_to_bfloat16_is_refused_by_name_where_a_file_has_none(tmp_path):
    model = Model(Smaller(), (TensorSpec("x", ("batch", "time", 3)),), ("y",))
    bundle = rnnbench.export(model, formats=("onnx", "torchscript", "pt2"), out=tmp_path)
    assert set(bundle.artifacts) == {"pt2"}
    assert set(bundle.manifest["failed"]) == {"onnx", "torchscript"}
    for reason in bundle.manifest["failed"].values():
        assert "autocast to bfloat16" in reason
        assert "\n" not in reason

"""What a file computes of its sizes is exact."""

import math

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec


class Shortened(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0][:, : math.ceil(x.size(1) * 0.6)]


@pytest.mark.parametrize("steps", [20, 25, 45, 50])
def test_a_fraction_of_a_length_is_pythons(steps, tmp_path):
    # In float32, 25 * 0.6 is 15.000001.
    model = Model(Shortened(), (TensorSpec("x", ("batch", "time", 3)),), ("y",))
    bundle = rnnbench.export(model, formats=("onnx",), out=tmp_path)
    session = onnxruntime.InferenceSession(str(bundle.artifacts["onnx"].path))
    x = np.ones((2, steps, 3), dtype=np.float32)
    (y,) = session.run(None, {"x": x})
    assert y.shape == tuple(model.module(torch.from_numpy(x)).shape)

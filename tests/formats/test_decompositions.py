"""What PyTorch's ONNX library has a wrong form for, or none, at small and at large values."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rnnbench import Model, TensorSpec
from rnnbench.capture.pipeline import capture
from rnnbench.formats.onnx import translate

FUNCTIONS = {
    "logsigmoid": F.logsigmoid,
    "logaddexp": lambda x: torch.logaddexp(x, 0.5 * x),
    "logaddexp2": lambda x: torch.logaddexp2(x, 0.5 * x),
    "hypot": lambda x: torch.hypot(x, x + 1),
    "atan2": lambda x: torch.atan2(x, x - 1),
    "amax": torch.amax,
    "amin": torch.amin,
    "logcumsumexp": lambda x: torch.logcumsumexp(x, 1),
    "cummax": lambda x: torch.cummax(x, 1)[0],
    "median": lambda x: x.median(1)[0],
}


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_right_at_any_size_of_the_values(name, tmp_path):
    function = FUNCTIONS[name]
    model = Model(Function(function), (TensorSpec("x", ("batch", 8)),), ("y",))
    path = tmp_path / "f.onnx"
    translate(capture(model)).save(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    for scale in (0.01, 1.0, 30.0, 300.0, 3e4):
        x = (scale * rng.standard_normal((64, 8))).astype(np.float32)
        x[0, :3] = 0.0, -2.5, 2.5
        expected = function(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-5, atol=1e-6)

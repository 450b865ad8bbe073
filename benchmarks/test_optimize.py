"""`rnnbench optimize` of stock files: the new file against the given one, in ONNX Runtime.

Batch 1, one thread. A stock file of a loop is unrolled to the 32 steps that are measured, or a
`Loop` that PyTorch wrote of a script.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import Keep

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.benchmarking.measuring.networks import inputs_for
from rnnbench.benchmarking.measuring.paired import interleave
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.benchmarking.plan import Conditions
from rnnbench.core.model import Arrays
from rnnbench.formats.onnx.stock import export_stock
from rnnbench.runtimes.adapters import onnxruntime
from rnnbench.runtimes.timed import Source

STEPS = 32


class CellLoop(torch.nn.Module):
    """What people write."""

    def __init__(self, cell: str, given: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.cell = getattr(torch.nn, cell)(given, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state: object = None
        steps = []
        for x_t in x.unbind(0):
            state = self.cell(x_t, state)
            steps.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(steps)


class Layer(torch.nn.Module):
    def __init__(self, given: int, hidden: int) -> None:
        super().__init__()
        self.layer = torch.nn.LSTM(given, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.layer(x)[0]
        return made


class Scripted(torch.nn.Module):
    """A GRU by hand, its loop in TorchScript: a Loop in ONNX."""

    def __init__(self, given: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.x, self.h = torch.nn.Linear(given, 3 * hidden), torch.nn.Linear(hidden, 3 * hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(x.size(1), self.hidden, dtype=x.dtype)
        steps: list[torch.Tensor] = []
        for t in range(x.size(0)):
            a, b = self.x(x[t]).chunk(3, 1), self.h(h).chunk(3, 1)
            r, z = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
            n = torch.tanh(a[2] + r * b[2])
            h = (1 - z) * n + z * h
            steps.append(h)
        return torch.stack(steps)


CASES = {
    "LSTMCell loop": (lambda: CellLoop("LSTMCell", 64, 128), 64, STEPS, 0.40),
    "GRUCell loop": (lambda: CellLoop("GRUCell", 16, 32), 16, STEPS, 0.2),
    "scripted GRU": (lambda: Scripted(16, 32), 16, STEPS, 0.4),
    "nn.LSTM": (lambda: Layer(64, 128), 64, 1, 0.9),
}


def written(model: Model, arrays: Arrays, path: Path, scripted: bool) -> None:
    if not scripted:
        export_stock(model, arrays, path)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            torch.jit.script(model.module),
            (torch.from_numpy(arrays["x"]),),
            str(path),
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "time", 1: "batch"}},
            dynamo=False,
        )


@pytest.mark.parametrize("name", list(CASES))
def test_optimized(keep_ratio: Keep, tmp_path: Path, effort: Effort, name: str) -> None:
    torch.manual_seed(0)
    build, given, steps, limit = CASES[name]
    x = TensorSpec("x", ("time", "batch", given))
    model = Model(build().eval(), (x,), ("y",), name="net")
    arrays = inputs_for(model, Conditions(time=steps))
    stock, better = tmp_path / "stock.onnx", tmp_path / "better.onnx"
    written(model, arrays, stock, scripted=name.startswith("scripted"))
    report = rnnbench.optimize(stock, better)
    assert all(finding.done for finding in report.findings)
    layers = [n for n in onnx.load(str(better)).graph.node if n.op_type in ("GRU", "LSTM")]
    assert len(layers) == 1
    with torch.no_grad():
        expected = model.module.double()(torch.from_numpy(arrays["x"]).double()).numpy()
    model.module.float()
    runs = []
    for path in (better, stock):
        source = Source(model.inputs, model.outputs, path=path)
        subject = onnxruntime.prepare(source, arrays, "cpu", 1)
        np.testing.assert_allclose(subject.read(subject.run())["y"], expected, atol=1e-5)
        runs.append(subject.run)
    ratio = interleave(runs[0], runs[1], effort)
    this = {"model": name, "cell": layers[0].op_type.lower(), "form": "optimized", "layers": 1}
    this |= {"runtime": "onnxruntime", "time": steps}
    keep_ratio(ratio, "optimized/stock", f"{name}, T={steps}: optimized / stock", this, "stock")
    assert ratio.ratio <= limit

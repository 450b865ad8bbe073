"""The ONNX of a loop over nn.LSTMCell: as fast as that of nn.LSTM, and not unrolled.

Inputs of 64, batch 1, 32 steps, one thread. The rival `torch.onnx.export(dynamo=False)` unrolls.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Keep

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.benchmarking.measuring.judging import assert_right, make_trial, usual_cases
from rnnbench.benchmarking.measuring.networks import Network, inputs_for
from rnnbench.benchmarking.measuring.paired import interleave
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.benchmarking.plan import Conditions
from rnnbench.formats.onnx.stock import export_stock
from rnnbench.runtimes.adapters import onnxruntime
from rnnbench.runtimes.timed import Source

INPUT = 64


class Loop(torch.nn.Module):
    """What people write."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.cell = torch.nn.LSTMCell(INPUT, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = c = x.new_zeros(x.shape[1], self.hidden)
        steps = []
        for x_t in x.unbind(0):
            h, c = self.cell(x_t, (h, c))
            steps.append(h)
        return torch.stack(steps)


class Fused(torch.nn.Module):
    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.layer = torch.nn.LSTM(INPUT, loop.hidden)
        self.layer.load_state_dict({f"{k}_l0": v for k, v in loop.cell.state_dict().items()})

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x)[0]


def declared(module: torch.nn.Module, name: str) -> Model:
    x = TensorSpec("x", ("time", "batch", INPUT))
    return Model(module.eval(), (x,), ("y",), name=name)


@pytest.mark.parametrize(
    ("hidden", "rival", "limit"),
    [(128, "fused", 1.1), (128, "stock", 0.4), (32, "fused", 1.1), (32, "stock", 0.25)],
)
def test_loop_of_lstm_cells(
    keep_ratio: Keep, tmp_path: Path, effort: Effort, hidden: int, rival: str, limit: float
) -> None:
    torch.manual_seed(0)
    loop = declared(Loop(hidden), "loop")
    fused = declared(Fused(loop.module), "fused")
    conditions = Conditions(time=32, hidden=hidden)
    arrays = inputs_for(loop, conditions)
    stock = tmp_path / "stock.onnx"
    if rival == "stock":
        export_stock(loop, arrays, stock)
    paths = {"stock": stock}
    for model in (loop, fused):
        bundle = rnnbench.export(model, formats=("onnx",), out=tmp_path)
        paths[model.name] = bundle.artifacts["onnx"].path
    network = Network(fused)
    trial = make_trial(network, conditions, usual_cases(network))
    assert trial.timed is not None
    runs = []
    for name in ("loop", rival):
        source = Source(loop.inputs, loop.outputs, path=paths[name])
        subject = onnxruntime.prepare(source, arrays, "cpu", 1)
        assert_right(subject.read(subject.run()), trial.timed, trial.standard)
        runs.append(subject.run)
    ratio = interleave(runs[0], runs[1], effort)
    what = "ours/stock" if rival == "stock" else "loop/fused"
    this = {"model": "nn.LSTMCell loop", "cell": "lstm", "form": "exported", "layers": 1}
    this |= {"runtime": "onnxruntime", "time": 32, "hidden": hidden}
    keep_ratio(ratio, what, f"ONNX of an nn.LSTMCell loop / {rival}, H{hidden}", this, rival)
    assert ratio.ratio <= limit

"""One step of a fused layer from zero states, in ONNX Runtime: our file against the stock one.

Batch 1, one thread. The stock exporter makes the zero states in the graph; ours has none to make.
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
KINDS = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


class Layer(torch.nn.Module):
    def __init__(self, kind: str, hidden: int) -> None:
        super().__init__()
        self.layer = KINDS[kind](INPUT, hidden)

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x)[0]


@pytest.mark.parametrize("hidden", [32, 128])
@pytest.mark.parametrize("kind", list(KINDS))
def test_one_step(keep_ratio: Keep, tmp_path: Path, effort: Effort, kind: str, hidden: int) -> None:
    torch.manual_seed(0)
    x = TensorSpec("x", ("time", "batch", INPUT))
    model = Model(Layer(kind, hidden).eval(), (x,), ("y",), name=kind)
    conditions = Conditions(time=1, hidden=hidden)
    arrays = inputs_for(model, conditions)
    export_stock(model, arrays, tmp_path / "stock.onnx")
    bundle = rnnbench.export(model, formats=("onnx",), out=tmp_path)
    network = Network(model)
    trial = make_trial(network, conditions, usual_cases(network))
    assert trial.timed is not None
    runs = []
    for path in (bundle.artifacts["onnx"].path, tmp_path / "stock.onnx"):
        source = Source(model.inputs, model.outputs, path=path)
        subject = onnxruntime.prepare(source, arrays, "cpu", 1)
        assert_right(subject.read(subject.run()), trial.timed, trial.standard)
        runs.append(subject.run)
    ratio = interleave(runs[0], runs[1], effort)
    this = {"model": f"{kind}, zero states", "cell": kind, "form": "fused", "layers": 1}
    this |= {"runtime": "onnxruntime", "time": 1, "hidden": hidden}
    keep_ratio(ratio, "ours/stock", f"one step of {kind}, H{hidden}", this, "stock")
    assert ratio.ratio < 1

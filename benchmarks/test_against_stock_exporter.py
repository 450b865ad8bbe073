"""Our ONNX of one fused layer against that of torch.onnx.export(dynamo=False) for the same layer.

One step, batch 1, one thread in ONNX Runtime, interleaved round by round; the target is a ratio of
0.75 or less. The default (dynamo) exporter is no opponent: it refuses a dynamic time axis.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interleaved import Compared, interleave
from pytest_benchmark.fixture import BenchmarkFixture
from subjects import (
    INPUT_SIZE,
    Conditions,
    Subject,
    assert_right,
    facts,
    in_onnxruntime,
    inputs_for,
    reference,
    warm_up,
)

import rnnbench
from rnnbench import Model, TensorSpec

LAYERS = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


class WithStates(torch.nn.Module):
    """`nn.LSTM` takes its states as a tuple, and a model's inputs are tensors."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, h0: torch.Tensor, c0: torch.Tensor) -> Any:
        return self.layer(x, (h0, c0))


@pytest.mark.parametrize("state", ["zero", "given"])
def test_one_step(
    benchmark: BenchmarkFixture,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    quick: bool,
    cell: str,
    hidden: int,
    state: str,
) -> None:
    conditions = Conditions(batch=1, time=1, hidden=hidden, threads=1)
    model = layer_model(cell, hidden, given=state == "given")
    arrays = inputs_for(model, conditions)
    expected, eager = reference(model, arrays)
    bundle = rnnbench.export(model, formats=("onnx",), out=tmp_path)
    stock = tmp_path / "stock.onnx"
    export_stock(model, conditions, stock)
    ours, theirs = (
        in_onnxruntime(path, arrays, "cpu", 1, list(model.outputs))
        for path in (bundle.artifacts["onnx"].path, stock)
    )
    for subject in (ours, theirs):
        assert_right(subject.read(warm_up(subject.run)), expected, eager)

    compared = measure(ours, theirs, quick)
    benchmark.group = f"one step of {cell}, hidden {hidden}, state {state}"
    benchmark.extra_info.update(
        facts(
            conditions,
            kind="ours-against-stock",
            cell=cell,
            state=state,
            ours_us=float(np.median(compared.first)),
            stock_us=float(np.median(compared.second)),
            ratio=compared.ratio,
            quartiles=compared.quartiles,
        )
    )
    with capsys.disabled():
        low, high = compared.quartiles
        print(f"\n{benchmark.group}: ours/stock {compared.ratio:.2f} ({low:.2f} to {high:.2f})")
    returned = benchmark.pedantic(ours.run, rounds=100, iterations=20)
    assert_right(ours.read(returned), expected, eager)


def layer_model(cell: str, hidden: int, *, given: bool) -> Model:
    """One fused layer; its states are inputs, or zeros that it makes."""
    torch.manual_seed(0)
    layer = LAYERS[cell](INPUT_SIZE, hidden).eval()
    x = TensorSpec("x", ("time", "batch", INPUT_SIZE))
    last = ("hn", "cn") if cell == "lstm" else ("hn",)
    if not given:
        return Model(layer, (x,), ("y", *last), name=cell)
    first = ("h0", "c0") if cell == "lstm" else ("h0",)
    states = [TensorSpec(name, (1, "batch", hidden), role="state") for name in first]
    pairs = dict(zip(first, last, strict=True))
    module = WithStates(layer).eval() if cell == "lstm" else layer
    return Model(module, (x, *states), ("y", *last), pairs, name=cell)


def export_stock(model: Model, conditions: Conditions, path: Path) -> None:
    """The same inputs, outputs and dynamic dimensions; traced at two rows and three steps."""
    arrays = inputs_for(model, Conditions(2, 3, conditions.hidden, 1))
    names = [spec.name for spec in model.inputs]
    axes = {
        s.name: {i: d for i, d in enumerate(s.shape) if isinstance(d, str)} for s in model.inputs
    }
    axes |= {name: {1: "batch"} for name in model.outputs} | {"y": {0: "time", 1: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and warns about every recurrent layer
        torch.onnx.export(
            model.module,
            tuple(torch.from_numpy(arrays[name]) for name in names),
            str(path),
            input_names=names,
            output_names=list(model.outputs),
            dynamic_axes=axes,
            dynamo=False,
        )


def measure(ours: Subject, theirs: Subject, quick: bool) -> Compared:
    return interleave(ours.run, theirs.run, rounds=40 if quick else 200, calls=50)

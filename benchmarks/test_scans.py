"""Loops that stay loops, in ONNX Runtime: what export makes of a step, and the step as written.

`--keep-loops` leaves every product where the model has it. One thread, T=100, both in turns.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Keep

import rnnbench
from rnnbench.benchmarking.measuring.judging import assert_right, make_trial, usual_cases
from rnnbench.benchmarking.measuring.networks import Network, inputs_for
from rnnbench.benchmarking.measuring.paired import interleave
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.benchmarking.plan import Conditions
from rnnbench.runtimes.adapters import onnxruntime
from rnnbench.runtimes.timed import Source

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/zoo has the models

NAMES = ("LstmLayerNorm", "MinimalGatedUnit", "DecayingGru", "StabilisedByItsLargest", "Nowcast")
LIMIT = 1.0


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("name", NAMES)
def test_scan(keep_ratio: Keep, tmp_path: Path, effort: Effort, name: str, batch: int) -> None:
    from tests.zoo import MODELS

    model = MODELS[name].build()
    conditions = Conditions(time=100, batch=batch)
    arrays = inputs_for(model, conditions)
    network = Network(model)
    trial = make_trial(network, conditions, usual_cases(network))
    assert trial.timed is not None
    runs: list[Any] = []
    for folder, keeps in (("made", False), ("as-written", True)):
        bundle = rnnbench.export(model, ("onnx",), tmp_path / folder, keep_loops=keeps)
        source = Source(model.inputs, model.outputs, path=bundle.artifacts["onnx"].path)
        subject = onnxruntime.prepare(source, arrays, "cpu", 1)
        assert_right(subject.read(subject.run()), trial.timed, trial.standard)
        runs.append(subject.run)
    ratio = interleave(runs[0], runs[1], effort)
    this = {"model": name, "form": "scan", "runtime": "onnxruntime", "time": 100, "batch": batch}
    group = f"{name}: a step without what is done for all, batch {batch}"
    keep_ratio(ratio, "export/keep-loops", group, this, "keep-loops")
    assert ratio.ratio <= LIMIT

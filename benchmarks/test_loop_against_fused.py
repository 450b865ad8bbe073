"""Cell loop against fused layer with the same weights, in every runtime, on every device."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from subjects import (
    Conditions,
    assert_right,
    export_artifact,
    facts,
    inputs_for,
    missing,
    network,
    reference,
    subject,
    warm_up,
)


@pytest.mark.parametrize("form", ["loop", "exported", "fused"])
def test_latency(
    benchmark: BenchmarkFixture,
    tmp_path: Path,
    cell: str,
    form: str,
    runtime: str,
    device: str,
    conditions: Conditions,
) -> None:
    """`loop` runs as it is written; `exported` is what `rnnbench export` makes of it."""
    reason = missing(runtime, device)
    if reason:
        pytest.skip(reason)
    if runtime == "eager" and form == "exported":
        pytest.skip("eager has no artifact")
    model = network(cell, form, conditions.hidden)
    arrays = inputs_for(model, conditions)
    expected, eager = reference(network(cell, "fused", conditions.hidden), arrays)
    path = None if runtime == "eager" else export_artifact(model, form, runtime, tmp_path)
    timed = subject(model, runtime, device, arrays, path, conditions.threads)
    assert_right(timed.read(warm_up(timed.run)), expected, eager, device)

    benchmark.group = f"{cell} in {runtime} on {device}, {conditions}"
    benchmark.extra_info.update(
        facts(
            conditions,
            kind="loop-against-fused",
            cell=cell,
            form=form,
            runtime=runtime,
            device=device,
        )
    )
    returned = benchmark(timed.run)
    assert_right(timed.read(returned), expected, eager, device)

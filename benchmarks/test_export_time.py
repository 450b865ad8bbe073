"""Export takes 3 s at most, and neither time nor the graph grows with the example's length."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

import rnnbench
from rnnbench.capture.tracing import sizes
from rnnbench.models import variants
from rnnbench.models.variants import Options

SECONDS = 3.0
FORMATS = ("onnx", "torchscript", "pt2")


def model_of(variant: str, layers: int) -> rnnbench.Model:
    options = Options(40, 64, layers)
    made = variants.model(variant, options, bundle_name=f"{variant}-{layers}")
    return replace(made, module=made.module.eval())


@pytest.fixture(scope="module", autouse=True)
def _imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The first export imports the exporters."""
    rnnbench.export(model_of("elman", 1), formats=FORMATS, out=tmp_path_factory.mktemp("first"))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("variant", ["lstm", "gru", "lstm-loop"])
def test_export_of_recurrent_layers(
    benchmark: BenchmarkFixture, tmp_path: Path, variant: str, layers: int
) -> None:
    model = model_of(variant, layers)
    benchmark.group = "export to onnx, torchscript and pt2"

    def export() -> Any:
        return rnnbench.export(model, formats=FORMATS, out=tmp_path)

    bundle = benchmark.pedantic(export, rounds=3)
    assert len(bundle.manifest["recurrences"]) == layers
    if benchmark.enabled:
        assert benchmark.stats.stats.median <= SECONDS


@pytest.mark.parametrize("variant", ["lstm", "lstm-loop"])
def test_the_graph_does_not_grow_with_the_example(
    benchmark: BenchmarkFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    """The example's length is capture's own choice: here it chooses 7, 14 and 28 steps."""
    model = model_of(variant, 1)
    benchmark.group = "export of an example that is 4 times as long"
    nodes, seconds = {}, {}

    def export(scale: int) -> None:
        def traced(given: rnnbench.Model) -> dict[str, int]:
            return {"batch": 3, "time": 7 * scale}

        for module in ("capture", "capture.sizes"):
            monkeypatch.setattr(f"rnnbench.{module}.traced_sizes", traced)
        start = perf_counter()
        bundle = rnnbench.export(model, formats=("onnx",), out=tmp_path)
        seconds[scale] = perf_counter() - start
        nodes[scale] = bundle.artifacts["onnx"].details["nodes"]

    benchmark.pedantic(lambda: [export(scale) for scale in (1, 2, 4)], rounds=1)
    benchmark.extra_info.update(nodes=nodes, seconds=seconds, torch=torch.__version__)
    assert sizes.traced_sizes(model)["time"] == 28
    assert len(set(nodes.values())) == 1, nodes
    assert seconds[4] <= 2 * seconds[1] + 0.5, seconds

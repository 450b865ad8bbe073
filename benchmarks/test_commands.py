"""The commands as users run them: `bench --quick` takes 2 minutes, and says the same twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from pytest_benchmark.fixture import BenchmarkFixture

from rnnbench.benchmarking.results import read_file

QUICK_S, REPORT_S = 120.0, 10.0
APART = 0.05
ROWS = 1000


def run(words: Sequence[str | Path], folder: Path) -> float:
    start = perf_counter()
    command = [sys.executable, "-m", "rnnbench", *map(str, words)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return perf_counter() - start


def test_bench_quick_twice(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Two runs of the ratio of a loop to its fused layer differ by 5 % at most."""
    seconds: list[float] = []

    def quick() -> None:
        seconds.append(run(["bench", "--quick", "--out", "results"], tmp_path))

    benchmark.group = "bench --quick"
    benchmark.pedantic(quick, rounds=2)
    first, second = (read_file(p) for p in sorted((tmp_path / "results").glob("*/*.json")))
    before = {ratio.name: ratio.ratio for ratio in first.ratios}
    apart = {
        r.name: abs(r.ratio / before[r.name] - 1) for r in second.ratios if r.what == "loop/fused"
    }
    benchmark.extra_info["apart"] = apart
    assert len(apart) >= 9
    assert max(apart.values()) <= APART, apart
    assert max(seconds) <= QUICK_S


def test_report_of_a_thousand_rows(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """The committed results, until there are so many rows of them."""
    files = sorted((Path(__file__).parent / "results").glob("*/*.json"))
    rows = [len(r.latencies) + len(r.ratios) + len(r.costs) for r in map(read_file, files)]
    assert sum(rows) >= ROWS, "make more with `rnnbench bench`"
    words = ["report", *(file.resolve() for file in files), "--html", "page.html"]
    benchmark.group = "report"
    benchmark.pedantic(lambda: run(words, tmp_path), rounds=1)
    if benchmark.enabled:
        assert benchmark.stats.stats.max <= REPORT_S

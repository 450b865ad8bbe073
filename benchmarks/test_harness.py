"""Our harness against others that time the same callable: the ratio of the two medians.

Each other harness takes its turn in every round, so that both meet the same machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter_ns
from typing import Any

import pytest
import torch
from conftest import Keep
from torch.utils.benchmark import Timer

from rnnbench.benchmarking.measuring.artifacts import Artifacts
from rnnbench.benchmarking.measuring.inference_mode import inference_mode
from rnnbench.benchmarking.measuring.paired import Compared, compared
from rnnbench.benchmarking.measuring.sampling import Effort, sample
from rnnbench.benchmarking.plan import Conditions, Implementation

ROUNDS = 15
SHORT = Effort(samples_s=0.05, min_samples=20, max_samples=2000, warmup_s=0.2)
CONDITIONS = Conditions(hidden=128, layers=1, time=32)


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with inference_mode(1):
        yield


def test_a_callable_of_5_us_as_a_bare_loop_sees_it(keep_ratio: Keep) -> None:
    def work() -> int:
        return sum(numbers)

    numbers = list(range(1000))
    while sum(numbers) and _bare_loop(work) > 5e-6:  # as long as it takes 5 us here
        del numbers[-20:]
    ratio = side_by_side(work, lambda: _bare_loop(work))
    keep_ratio(ratio, "harness", "harness / bare loop, 5 us", {"runtime": "python"}, "bare loop")
    assert 0.97 <= ratio.ratio <= 1.03


@pytest.mark.parametrize("time", [1, 32])
def test_onnxruntime_as_a_bare_loop_sees_it(
    keep_ratio: Keep, artifacts: Artifacts, time: int
) -> None:
    conditions = Conditions(hidden=128, layers=1, time=time)
    subject = artifacts.subject("lstm", Implementation("fused", "onnxruntime"), conditions)
    ratio = side_by_side(subject.run, lambda: _bare_loop(subject.run))
    this = {"model": "lstm", "cell": "lstm", "form": "fused", "runtime": "onnxruntime"}
    sizes = {"time": time, "hidden": 128, "layers": 1}
    keep_ratio(ratio, "judge", f"bench / bare loop, T{time}", this | sizes, "bare loop")
    assert 0.9 <= ratio.ratio <= 1.1


def test_eager_as_torch_s_own_timer_sees_it(keep_ratio: Keep, artifacts: Artifacts) -> None:
    subject = artifacts.subject("lstm", Implementation("fused", "eager"), CONDITIONS)
    timer = Timer("run()", globals={"run": subject.run}, num_threads=1)

    def judge() -> float:
        with torch.inference_mode():
            return float(timer.blocked_autorange(min_run_time=0.2).median)

    ratio = side_by_side(subject.run, judge)
    this = {"model": "lstm", "cell": "lstm", "form": "fused", "runtime": "eager"}
    sizes = {"time": 32, "hidden": 128, "layers": 1}
    keep_ratio(ratio, "judge", "bench / blocked_autorange", this | sizes, "blocked_autorange")
    assert 0.9 <= ratio.ratio <= 1.1


def side_by_side(run: Callable[[], Any], other: Callable[[], float]) -> Compared:
    """Our median and the other's, in turns."""
    ours, theirs = [], []
    for n in range(ROUNDS):
        for which in (0, 1) if n % 2 else (1, 0):
            if which:
                theirs.append(other())
            else:
                ours.append(sample(run, SHORT).median)
    return compared(ours, theirs)


def _bare_loop(run: Callable[[], Any], seconds: float = 0.05) -> float:
    """The median second of a call, by the loop that anybody would write."""
    for _ in range(50):
        run()
    times = []
    end = perf_counter_ns() + int(seconds * 1e9)
    while perf_counter_ns() < end:
        start = perf_counter_ns()
        for _ in range(10):
            run()
        times.append(perf_counter_ns() - start)
    return median(times) / 10 / 1e9

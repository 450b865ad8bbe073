"""How `bench` times: one callable, two of them in turns, on CUDA, and what the machine allows."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from rnnbench.benchmarking.measuring import roofline, work
from rnnbench.benchmarking.measuring.networks import build_network, inputs_for, work_of
from rnnbench.benchmarking.measuring.paired import compared, interleave
from rnnbench.benchmarking.measuring.sampling import Effort, doubts_about, sample, warm_up
from rnnbench.benchmarking.plan import CELLS, Conditions, Plan, items
from rnnbench.core import cuda

FAST = Effort(samples_s=0.02, min_samples=5, max_samples=20, warmup_s=0.1, rounds_s=0.05)


class Made:
    """A clock that callables turn: known durations, with a noise of their own."""

    def __init__(self, seed=0):
        self.now = 0
        self.random = random.Random(seed)

    def clock(self):
        return self.now

    def takes(self, microseconds, noise=0.0):
        def run():
            factor = self.random.lognormvariate(0, noise) if noise else 1.0
            slow = 3.0 if noise and self.random.random() < 0.02 else 1.0  # somebody else's turn
            self.now += round(1000 * microseconds * factor * slow)

        return run


# ---- one callable


@pytest.mark.parametrize("microseconds", [0.5, 5, 300, 20000])
def test_samples_have_the_duration_of_the_callable(microseconds):
    made = Made()
    found = sample(made.takes(microseconds), FAST, clock=made.clock)
    assert found.median == pytest.approx(microseconds * 1e-6, rel=1e-3)
    assert 5 <= len(found.seconds) <= 20
    assert found.calls * found.median >= 9.9e-6
    assert found.why_unstable == ""


def test_calls_that_compile_again_are_told_apart():
    made, calls = Made(), []

    def run():
        calls.append(None)
        made.now += 5_000_000 if len(calls) in (2, 3) else 100_000

    found = warm_up(run, 1.0, clock=made.clock)
    assert found.steady
    assert found.recompile_s == pytest.approx(2 * 4.9e-3)
    assert found.call_s == pytest.approx(1e-4)


def test_what_never_gets_steady_is_measured_and_marked():
    made, calls = Made(), []

    def run():
        calls.append(None)
        made.now += 1_000_000 * 2 ** (len(calls) // 5 % 2)

    found = sample(run, FAST, clock=made.clock)
    assert "not steady after 0.1 s" in found.why_unstable
    assert found.seconds


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((1.0, 1.0), "fewer than 4"),
        ((1.0, 1.5) * 10, "the middle half spreads over 40%"),
        ((1.0,) * 10 + (1.2,) * 10, "the second half is 20% slower"),
    ],
)
def test_doubts_are_in_words(values, said):
    assert said in "; ".join(doubts_about(values))
    assert doubts_about((1.0,) * 20) == []


# ---- two callables


def test_the_interval_covers_the_ratio_in_most_simulated_runs():
    effort = Effort(rounds_s=0.05, min_rounds=20, max_rounds=20, warmup_s=0.05)
    covered = 0
    for seed in range(25):
        made = Made(seed)
        found = interleave(
            made.takes(210, 0.1), made.takes(100, 0.1), effort, seed=seed, clock=made.clock
        )
        covered += found.low <= 2.1 <= found.high
    assert covered >= 19, covered  # 24 of 25 are expected; fewer than 19 in less than 1 of 1,000


def test_what_disturbs_every_few_calls_counts_alike_for_both():
    made, due = Made(), [35_000]

    def takes(microseconds):
        def run():
            made.now += 1000 * microseconds
            while made.now >= due[0]:
                made.now += 3_300
                due[0] += made.random.randrange(30_000, 40_000)

        return run

    effort = Effort(rounds_s=0.5, warmup_s=0.05)
    found = interleave(takes(28), takes(14), effort, clock=made.clock)
    assert found.ratio == pytest.approx(2, rel=0.01)


def test_the_interval_covers_the_ratio_beside_a_busy_process():
    def unit():
        sum(range(2000))

    def twice():
        unit()
        unit()

    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        found = interleave(twice, unit, Effort(rounds_s=1.0, warmup_s=0.3))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    # the call of `twice` itself takes its part, and so the ratio is 2 to within a percent
    assert 0.98 * found.low <= 2 <= 1.02 * found.high, found
    assert found.verdict == "slower"


def test_rounds_alternate_and_begin_with_either():
    made, order = Made(), []

    def named(name):
        run = made.takes(500)

        def call():
            order.append(name)
            run()

        return call

    effort = Effort(rounds_s=0.01, min_rounds=20, max_rounds=20, warmup_s=0.01)
    found = interleave(named("a"), named("b"), effort, clock=made.clock)
    assert (found.rounds, found.ratio) == (20, 1.0)
    timed = order[-20 * 24 :]
    first = {timed[start] for start in range(0, len(timed), 24)}
    assert first == {"a", "b"}
    assert timed.count("a") == timed.count("b")


@pytest.mark.parametrize(
    ("scale", "verdict"),
    [(0.9, "faster"), (1.0, "cannot tell"), (1.005, "cannot tell"), (1.2, "slower")],
)
def test_verdicts(scale, verdict):
    rng = np.random.default_rng(0)
    second = 1 + 0.01 * rng.standard_normal(50)
    first = scale * (1 + 0.01 * rng.standard_normal(50))
    assert compared(first, second).verdict == verdict


# ---- CUDA, without one: in which order things are asked of it


class FakeCuda:
    """Notes what is asked of `torch.cuda`."""

    def __init__(self):
        self.log = []

    def __getattr__(self, name):
        def note(*args, **_):
            self.log.append(name)
            return self

        return note

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.log.append("exit")

    def elapsed_time(self, _):
        return 2.5


def test_cuda_waits_inside_of_the_callable(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(torch, "cuda", fake)
    run = cuda.synchronised(lambda: fake.log.append("launch") or "out")
    assert run() == "out"
    assert fake.log == ["launch", "synchronize"]


def test_cuda_events_surround_each_call_and_are_read_after_one_wait(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(torch, "cuda", fake)
    seconds = cuda.event_seconds(lambda: fake.log.append("launch"), 3)
    assert seconds == pytest.approx(2.5e-3)
    assert fake.log.count("synchronize") == 1
    assert fake.log[-1] == "synchronize"
    once = ["Event", "Event", "record", "launch", "record"]
    assert fake.log[:-1] == once * 3


def test_a_cuda_graph_is_captured_after_a_warm_up_on_another_stream(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(torch, "cuda", fake)
    replay, returned = cuda.capture_graph(lambda: fake.log.append("launch") or "static")
    assert returned == "static"
    assert fake.log.count("launch") == 4
    assert fake.log.index("CUDAGraph") > fake.log.index("exit") > fake.log.index("launch")
    replay()
    assert fake.log[-1] == "replay"


def test_only_cuda_has_graphs():
    plan = Plan(("gru",), ("eager",), devices=("cpu", "cuda:1"), time=(3,), hidden=(8,))
    modes = {(i.conditions.device, i.way.mode) for i in items(plan) if i.kind == "latency"}
    assert modes == {("cpu", ""), ("cuda:1", ""), ("cuda:1", "cuda-graph")}


# ---- what a call must do


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_the_formulas_agree_with_pytorch_s_own_counter(cell, layers):
    conditions = Conditions(batch=2, time=5, hidden=8, layers=layers)
    network = build_network(cell, "fused", 8, layers)
    arrays = inputs_for(network.model, conditions)
    found = work_of(network, conditions, arrays)
    assert found.flops == work.count_flops(network.model, arrays)
    assert found.weight_bytes == work.weight_bytes(network.model.module, 10)
    assert 0 < found.recurrent_flops < found.flops


def test_an_embedding_is_read_by_its_rows():
    table = torch.nn.Embedding(1000, 16)
    assert work.weight_bytes(table, rows=3) == 3 * 16 * 4
    assert work.weight_bytes(table, rows=10**6) == 1000 * 16 * 4


def test_the_limits_of_this_machine():
    found = roofline.measure_limits([1], [8])["threads"]["1"]
    assert found["read_bytes_per_s"] > 1e8
    assert found["gemm_flops"]["8"] > 0
    assert found["gemv_flops"]["8"] > 0


def test_the_roofline_is_the_larger_of_reading_and_computing():
    limits = {"read_bytes_per_s": 1e9, "gemv_flops": {"8": 1e9}, "gemm_flops": {"8": 1e10}}
    facts = {"limits": {"threads": {"1": limits}}, "caches": {"L3": 1000}}
    row = {"device": "cpu", "threads": 1, "mode": "", "batch": 1, "time": 10, "hidden": 8}
    row |= {"input_bytes": 0, "output_bytes": 0, "flops": 2000, "recurrent_flops": 1000}
    small, large = row | {"weight_bytes": 100}, row | {"weight_bytes": 2000}
    assert roofline.limit_seconds(small, facts) == pytest.approx(1000 / 1e10 + 1000 / 1e9)
    assert roofline.limit_seconds(large, facts) == pytest.approx(2000 * 10 / 1e9)
    assert roofline.limit_seconds(row | {"weight_bytes": 1, "device": "cuda"}, facts) is None
    assert roofline.limit_seconds(small | {"threads": 2}, facts) is None
    assert roofline.limit_seconds(small | {"mode": "training"}, facts) is None

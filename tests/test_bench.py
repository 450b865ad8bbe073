"""`bench`: sampling, pairing, plans, the journal, and the suite itself in its quick form."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnbench import Model, RnnbenchError, TensorSpec, plugins, variants
from rnnbench.bench import cuda, driver, roofline, work
from rnnbench.bench.coldstart import peak_memory
from rnnbench.bench.machine import describe_machine, same_machine
from rnnbench.bench.networks import build_network, inputs_for, work_of
from rnnbench.bench.paired import compared, interleave
from rnnbench.bench.plan import CELLS, Conditions, Plan, Way, check_plan, items, numbers
from rnnbench.bench.record import Journal, find_journal, machine_folder, next_file
from rnnbench.bench.sampling import Effort, doubts_about, sample, warm_up
from rnnbench.bench.tables import format_results
from rnnbench.bench.workshop import Workshop, WrongOutput, assert_right
from rnnbench.cli import main
from rnnbench.results import read_file
from tests.made_results import write_made

ROOT = Path(__file__).parents[1]
FAST = Effort(samples_s=0.02, min_samples=5, max_samples=20, warmup_s=0.1, rounds_s=0.05)
TINY = Plan(("gru",), ("eager", "onnxruntime"), time=(3,), hidden=(8,), quick=True)


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
    row = {"device": "cpu", "threads": 1, "batch": 1, "time": 10, "hidden": 8}
    row |= {"input_bytes": 0, "output_bytes": 0, "flops": 2000, "recurrent_flops": 1000}
    small, large = row | {"weight_bytes": 100}, row | {"weight_bytes": 2000}
    assert roofline.limit_seconds(small, facts) == pytest.approx(1000 / 1e10 + 1000 / 1e9)
    assert roofline.limit_seconds(large, facts) == pytest.approx(2000 * 10 / 1e9)
    assert roofline.limit_seconds(row | {"weight_bytes": 1, "device": "cuda"}, facts) is None
    assert roofline.limit_seconds(small | {"threads": 2}, facts) is None


# ---- machine, plan, names


def test_the_machine_is_described():
    facts = describe_machine()
    assert facts["versions"]["torch"]
    assert facts["cores"] >= 1
    assert facts["cpu"]
    assert same_machine(facts, facts | {"load": [9, 9, 9]}) == ""
    assert "cpu was Other" in same_machine(facts, facts | {"cpu": "Other"})
    assert peak_memory() > 2**20


@pytest.mark.parametrize("given", ["", "a", "0", "1,-2", "1,,2", "1.5"])
def test_wrong_numbers_are_one_line(given):
    with pytest.raises(RnnbenchError, match="whole numbers above 0"):
        numbers("hidden", given)


@pytest.mark.parametrize(
    "plan", [Plan(("mamba",)), Plan(runtimes=("tensorrt",)), Plan(devices=("tpu",))]
)
def test_unknown_names_are_refused(plan):
    with pytest.raises(RnnbenchError, match=r"unknown .* choose from"):
        check_plan(plan)


def test_every_item_has_a_name_of_its_own():
    plan = Plan(
        (*variants.names(), "some/net.py", "some/net.py:other"),
        plugins.names("timing"),
        devices=("cpu", "cuda"),
        layers=(1, 2),
        threads=(1, 2),
    )
    found = [f"{i.kind} {i.id}" for i in items(plan)]
    assert len(found) == len(set(found))
    assert any("net.other-model-onnxruntime-bound-cuda-b1-t32-threads2" in name for name in found)


def test_frames_per_second_must_be_a_rate():
    x = (TensorSpec("x", ("time", 2)),)
    for wrong in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(RnnbenchError, match="frames_per_second"):
            Model(torch.nn.Linear(2, 2), x, ("y",), frames_per_second=wrong)


# ---- ways to be timed


@pytest.mark.parametrize("name", plugins.names("timing"))
def test_every_way_to_be_timed_has_the_same_names(name):
    plugin = plugins.load("timing", name)
    assert plugin.FORMAT in ("eager", *plugins.names("formats"))
    assert "" in plugin.MODES
    assert set(plugin.PLANS) <= {"quick", "full"}
    assert isinstance(plugin.RECOMPILES, bool)
    assert plugin.available() is None or "install" in plugin.available()


@pytest.fixture(scope="module")
def workshop():
    with Workshop() as made:
        yield made


QUICK_WAYS = [
    (name, mode)
    for name in plugins.names("timing")
    if plugins.load("timing", name).PLANS
    for mode, devices in plugins.load("timing", name).MODES.items()
    if "cpu" in devices
]


@pytest.mark.parametrize(("runtime", "mode"), QUICK_WAYS)
def test_what_is_timed_computes_what_the_module_does(runtime, mode, workshop):
    why = plugins.load("timing", runtime).available()
    if why:
        pytest.skip(why)
    conditions = Conditions(batch=2, time=4, hidden=8, layers=1)
    with torch.inference_mode():
        subject = workshop.subject("lstm", Way("fused", runtime, mode), conditions)
        for _ in range(20):  # buffers that nobody kept would hold something else by now
            subject.run()
        workshop.assert_subject(subject, "lstm", Way("fused", runtime, mode), conditions)


def test_a_wrong_output_is_not_timed():
    right = {"y": np.linspace(0, 1, 5)}
    single = {"y": right["y"].astype(np.float32)}
    assert_right(single, right, single, "cpu")
    with pytest.raises(WrongOutput, match="y off by"):
        assert_right({"y": single["y"] + np.float32(1e-3)}, right, single, "cpu")
    with pytest.raises(WrongOutput):
        assert_right({}, right, single, "cpu")


# ---- runs


def test_a_run_is_saved_and_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "QUICK", FAST)
    outcome = driver.run_plan(TINY, tmp_path, name="tiny")
    assert (outcome.wrong, outcome.interrupted) == ((), False)
    assert outcome.measured == outcome.total
    results = read_file(outcome.path)
    assert {r.what for r in results.ratios} == {"loop/fused", "runtime/runtime", "ours/stock"}
    assert {c.runtime for c in results.costs} == {"eager", "onnxruntime"}
    assert all(c.peak_memory_bytes > c.baseline_memory_bytes > 0 for c in results.costs)
    assert results.facts["limits"]["threads"]["1"]["gemm_flops"]["8"] > 0
    text = format_results(results)
    for said in ("onnxruntime (bound)", "loop/fused", "x limit", "hidden 8"):
        assert said in text
    assert [p.name for p in outcome.path.parent.iterdir()] == ["0001_tiny.json"]
    other = outcome.path.with_name("0002_tiny.json")
    other.write_text(outcome.path.read_text())
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", outcome.path, other],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "test_latency[gru-loop-eager-cpu-b1-t3-h8-l1-threads1]" in done.stdout


def made_line(item, workshop, quick):
    entry = {"extra_info": {}, "name": item.id, "stats": {}}
    return {"id": f"{item.kind} {item.id}", "entry": entry}


def test_ctrl_c_keeps_what_is_measured_and_resume_goes_on(tmp_path, monkeypatch):
    seen = []

    def stops(item, workshop, quick):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(item.id)
        return made_line(item, workshop, quick)

    monkeypatch.setattr(driver, "_measure", stops)
    monkeypatch.setattr(driver, "measure_limits", lambda *_: {})
    first = driver.run_plan(TINY, tmp_path, name=None)
    assert first.interrupted
    assert first.measured == 3
    assert len(json.loads(first.path.read_text())["benchmarks"]) == 3

    with pytest.raises(RnnbenchError, match="another plan"):
        driver.run_plan(Plan(("lstm",)), tmp_path, name=None, resume=True)
    again = []
    monkeypatch.setattr(driver, "_measure", lambda *a: (again.append(a[0].id), made_line(*a))[1])
    second = driver.run_plan(TINY, tmp_path, name=None, resume=True)
    assert second.path == first.path
    assert second.measured == second.total == 3 + len(again)
    assert not set(again) & set(seen) or len(again) + 3 == second.total
    with pytest.raises(RnnbenchError, match="was stopped: start one without --resume"):
        driver.run_plan(TINY, tmp_path, name=None, resume=True)


def test_a_cut_line_of_a_journal_is_measured_again(tmp_path):
    journal = Journal(tmp_path / "0001_x.json")
    journal.begin({"plan": {}})
    journal.add({"id": "a"})
    with journal.path.open("a") as file:
        file.write('{"id": "b", "ent')
    head, lines = find_journal(tmp_path, None).read()
    assert (head, lines) == ({"plan": {}}, [{"id": "a"}])
    journal.add({"id": "b"})
    assert journal.read()[1] == [{"id": "a"}, {"id": "b"}]


def test_numbers_of_files_go_on(tmp_path):
    assert next_file(tmp_path, "x").name == "0001_x.json"
    write_made(tmp_path / "0007_y.json")
    assert next_file(tmp_path, "x").name == "0008_x.json"


def test_what_is_not_here_is_a_row_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "measure_limits", lambda *_: {})
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device, so nothing is missing: run it on a machine without")
    with pytest.raises(RnnbenchError, match=r"nothing could be measured: .*cannot use 'cuda' here"):
        driver.run_plan(Plan(("gru",), devices=("cuda",)), tmp_path, name=None)
    assert not list(machine_folder(tmp_path).iterdir())


MODEL = """
import torch
from rnnbench import Model, TensorSpec

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(6, 8)

    def forward(self, x):
        return self.rnn(x)[0]

def build():
    x = TensorSpec("x", ("time", "batch", 6))
    return Model(Net(), (x,), ("y",), frames_per_second=100)
"""


def test_a_user_s_model_and_its_bundle_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(driver, "QUICK", FAST)
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(MODEL)
    words = ["--runtime", "eager,onnxruntime", "--time", "3", "--quick", "--name", "mine"]
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "net.py", *words])
    out, err = capsys.readouterr()
    assert stopped.value.code == 0, err
    assert "RTF" in out
    (path,) = Path("benchmarks/results").glob("*/0001_mine.json")
    row = read_file(path).latencies[0]
    assert (row.model, row.form, row.hidden, row.frames_per_second) == ("Net", "model", None, 100)
    assert row.flops > 0

    with pytest.raises(SystemExit):
        main(["export", "net.py", "--format", "onnx", "--out", "exports"])
    Path("net.py").unlink()
    sys.modules.pop(next((m for m in sys.modules if m.startswith("_rnnbench_net")), ""), None)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "exports/Net", *words, "--json"])
    data = json.loads(capsys.readouterr().out)
    assert stopped.value.code == 0
    ran = {e["extra_info"]["runtime"] for e in data["benchmarks"]}
    assert ran == {"onnxruntime"}
    assert any("code" in each["reason"] for each in data["machine_info"]["rnnbench"]["skipped"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mamba"], "unknown variant 'mamba'"),
        (["--threads", "0"], "whole numbers above 0"),
        (["--name", "../x"], "becomes a file's name"),
        (["--resume", "--out", "nowhere"], "was stopped"),
        (["gone.py", "--quick"], "there is no file gone.py"),
    ],
)
def test_bad_input_is_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["bench", *words])
    err = capsys.readouterr().err
    assert stopped.value.code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1


# ---- benchmarks/


def test_the_suite_can_be_collected_and_runs(tmp_path):
    file = tmp_path / "x.json"
    words = ["--quick", "--targets=gru", "--runtimes=eager", "--hidden=8", "--time=3"]
    words += ["-k", "test_latency or test_ratio", f"--benchmark-json={file}", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(ROOT / "benchmarks"), *words, "-p", "no:xdist",
         "-p", "no:cacheprovider"],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    results = read_file(file)
    assert {row.form for row in results.latencies} == {"loop", "fused"}
    assert results.ratios[0].what == "loop/fused"
    assert results.latencies[0].name == "test_latency[gru-loop-eager-cpu-b1-t3-h8-l1-threads1]"

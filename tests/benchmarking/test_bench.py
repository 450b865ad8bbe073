"""`bench`: plans, runs and their journals, anybody's models, and the suite in its quick form."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec, runtimes
from rnnbench.__main__ import main
from rnnbench.benchmarking import driver
from rnnbench.benchmarking.machine import describe_machine, same_machine
from rnnbench.benchmarking.measuring.artifacts import Artifacts
from rnnbench.benchmarking.measuring.coldstart import peak_memory
from rnnbench.benchmarking.measuring.judging import WrongOutput
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.benchmarking.plan import Conditions, Implementation, Plan, items, numbers
from rnnbench.benchmarking.record import Journal, find_journal, machine_folder, next_file
from rnnbench.benchmarking.refusals import check_plan
from rnnbench.benchmarking.results import read_file
from rnnbench.benchmarking.tables import format_results
from rnnbench.core import plugins
from rnnbench.core.errors import Unavailable
from rnnbench.models import variants
from rnnbench.runtimes.training import TRAINING
from tests.helpers.made_results import write_made

ROOT = Path(__file__).parents[2]
FAST = Effort(samples_s=0.02, min_samples=5, max_samples=20, warmup_s=0.1, rounds_s=0.05)
TINY = Plan(("gru",), ("eager", "onnxruntime"), time=(3,), hidden=(8,), quick=True)


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
        tuple(runtimes.timeable()),
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


@pytest.mark.parametrize("name", runtimes.timeable())
def test_every_way_to_be_timed_says_how(name):
    runtime = runtimes.get(name)
    timing = runtime.timing
    assert timing.format in ("eager", *plugins.names("formats"))
    assert timing.format in runtime.formats
    assert "" in timing.modes
    assert {kind for kinds in timing.modes.values() for kind in kinds} <= {"cpu", "cuda"}
    assert set(timing.plans) <= {"quick", "full"}
    assert timing.rewritten in ("", "open", "pinned")
    assert not timing.rewritten or runtime.profile is not None
    assert runtime.missing() is None or "install" in runtime.missing()


@pytest.fixture(scope="module")
def artifacts():
    with Artifacts() as made:
        yield made


QUICK_WAYS = [
    (name, mode)
    for name, known in runtimes.timeable().items()
    if known.timing.plans
    for mode, devices in known.timing.modes.items()
    if "cpu" in devices
]


@pytest.mark.parametrize(("runtime", "mode"), QUICK_WAYS)
def test_what_is_timed_computes_what_the_module_does(runtime, mode, artifacts):
    why = runtimes.get(runtime).missing()
    if why:
        pytest.skip(why)
    conditions = Conditions(batch=2, time=4, hidden=8, layers=1)
    with torch.inference_mode(mode != TRAINING):
        subject = artifacts.subject("lstm", Implementation("fused", runtime, mode), conditions)
        for _ in range(20):  # buffers that nobody kept would hold something else by now
            subject.run()
        artifacts.assert_subject(
            subject, "lstm", Implementation("fused", runtime, mode), conditions
        )


ENGINES = [name for name, known in runtimes.timeable().items() if known.timing.rewritten]


@pytest.mark.parametrize("form", ["loop", "fused"])
@pytest.mark.parametrize("runtime", ENGINES)
def test_an_engine_is_timed_with_the_file_that_was_written_for_it(runtime, form, artifacts):
    why = runtimes.get(runtime).missing()
    if why:
        pytest.skip(why)
    conditions = Conditions(batch=2, time=4, hidden=8, layers=1)
    way = Implementation(form, runtime)
    with torch.inference_mode():
        subject = artifacts.subject("elman", way, conditions)
        for _ in range(20):
            subject.run()
        artifacts.assert_subject(subject, "elman", way, conditions)
    assert artifacts.source("elman", way, conditions).path.name == "model.onnx"


@pytest.mark.parametrize("runtime", ["tract", "iree", "emx"])
def test_an_engine_with_one_thread_is_not_timed_beside_two(runtime, artifacts):
    if runtimes.get(runtime).missing():
        pytest.skip(runtimes.get(runtime).missing())
    conditions = Conditions(batch=2, time=4, hidden=8, layers=1, threads=2)
    with pytest.raises(Unavailable, match="is timed in one thread, not 2: use --threads 1"):
        artifacts.subject("elman", Implementation("fused", runtime), conditions)


def test_a_bundle_without_its_code_is_judged_by_a_case_that_has_elements(tmp_path, artifacts):
    """Also where its length is fixed: the smallest case, by its sizes, is the empty batch then."""

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.GRU(3, 4, batch_first=True)

        def forward(self, x):
            return self.rnn(x)[0]

    model = Model(Fixed(), (TensorSpec("x", ("batch", 6, 3)),), ("y",), name="fixed")
    bundle = rnnbench.export(model, formats=("onnx",), out=tmp_path)
    conditions = Conditions(batch=2, time=6)
    artifacts.subject(str(bundle.path), Implementation("model", "onnxruntime"), conditions).run()
    other = rnnbench.export(model, formats=("onnx",), out=tmp_path / "other")
    wrong = onnx.load(other.artifacts["onnx"].path)
    for tensor in wrong.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            doubled = 2 * onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(doubled, tensor.name))
    onnx.save(wrong, other.artifacts["onnx"].path)
    with pytest.raises(WrongOutput):
        artifacts.subject(str(other.path), Implementation("model", "onnxruntime"), conditions)


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
    assert "\nx limit: p50 over the least time that its reads and products take here" in text
    assert "RTF" not in text, "nothing declares frames here"
    assert [p.name for p in outcome.path.parent.iterdir()] == ["0001_tiny.json"]
    other = outcome.path.with_name("0002_tiny.json")
    other.write_text(outcome.path.read_text())
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", outcome.path, other],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "test_latency[gru-loop-eager-cpu-b1-t3-h8-l1-threads1]" in done.stdout


def made_line(item, artifacts, quick):
    entry = {"extra_info": {}, "name": item.id, "stats": {}}
    return {"id": f"{item.kind} {item.id}", "entry": entry}


def test_ctrl_c_keeps_what_is_measured_and_resume_goes_on(tmp_path, monkeypatch):
    seen = []

    def stops(item, artifacts, quick):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(item.id)
        return made_line(item, artifacts, quick)

    monkeypatch.setattr(driver, "measure_line", stops)
    monkeypatch.setattr(driver, "measure_limits", lambda *_: {})
    first = driver.run_plan(TINY, tmp_path, name=None)
    assert first.interrupted
    assert first.measured == 3
    assert len(json.loads(first.path.read_text())["benchmarks"]) == 3

    with pytest.raises(RnnbenchError, match="another plan"):
        driver.run_plan(Plan(("lstm",)), tmp_path, name=None, resume=True)
    again = []
    monkeypatch.setattr(
        driver, "measure_line", lambda *a: (again.append(a[0].id), made_line(*a))[1]
    )
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
    with pytest.raises(RnnbenchError, match=r"no run in .* was stopped"):
        find_journal(tmp_path, None)  # it runs still
    journal.end(finished=False)
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
    with pytest.raises(
        RnnbenchError, match=r"nothing could be measured: .*cannot use device 'cuda' here"
    ):
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
    assert "\nRTF: seconds of computing for a second of real time" in out
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


# ---- what is said meanwhile


def test_a_line_for_each_measurement_and_a_forecast(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(driver, "QUICK", FAST)
    monkeypatch.chdir(tmp_path)
    words = ["bench", "vanilla", "--quick", "--runtime", "ort", "--time", "3", "--hidden", "4"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    first, *lines = capsys.readouterr().err.splitlines()
    found = re.fullmatch(r"(\d+) measurements, about \d+ s", first)
    assert found, first
    count = int(found[1])
    said = lines[:count]
    assert all(line.startswith(f"[{i}/{count}] ") for i, line in enumerate(said, 1))
    assert all(re.search(r", about \d+ (s|min) left$", line) for line in said[:-1])
    assert "left" not in said[-1]
    latencies = [line for line in said if "] latency elman-" in line]
    assert latencies
    assert all(re.search(r": \d+\.\d us", line) for line in latencies)
    ratios = [line for line in said if "] ratio " in line]
    assert all(re.search(r": [\d.]+ \([\d.]+ to [\d.]+\)", line) for line in ratios)


def test_the_forecast_grows_with_the_plan():
    todo = list(items(TINY))
    seconds = driver.forecast_s(todo, quick=True)
    assert 0 < driver.forecast_s(todo[:3], quick=True) < seconds
    assert driver.forecast_s(todo, quick=False) > seconds

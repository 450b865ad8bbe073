"""`bench`: the call of pytest, pairing, tables. The suite itself runs once, in eager."""

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from rnnbench import bench
from rnnbench.bench import Plan, command, format_results, numbers, read_results, run_suite
from rnnbench.errors import RnnbenchError, Unavailable

ROOT = Path(bench.__file__).parent.parent


def load(name):
    """A module of benchmarks/, which is no package and not on the path."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


interleave = load("interleaved").interleave


def entry(form, median, **info):
    sizes = {"batch": 1, "time": 32, "hidden": 8, "threads": 2}
    names = {"kind": "loop-against-fused", "cell": "gru", "runtime": "eager", "device": "cpu"}
    return {"stats": {"median": median}, "extra_info": names | sizes | info | {"form": form}}


def against(**info):
    facts = {
        "kind": "ours-against-stock",
        "cell": "lstm",
        "hidden": 32,
        "state": "zero",
        "ours_us": 5.0,
        "stock_us": 10.0,
        "ratio": 0.5,
        "quartiles": [0.45, 0.55],
        "threads": 2,
    }
    return {"stats": {"median": 5e-6}, "extra_info": facts | info}


def test_forms_are_paired_under_the_same_conditions_only():
    data = {
        "benchmarks": [
            entry("loop", 3e-3),
            entry("fused", 1e-3),
            entry("fused", 7e-3, hidden=16),
            entry("loop", 4e-3, runtime="onnxruntime"),
            entry("exported", 2e-3, runtime="onnxruntime"),
            entry("fused", 2e-3, runtime="onnxruntime"),
            against(),
        ]
    }
    results = read_results(data, ok=True)
    first, alone, artifact = results.pairs
    assert (first.loop, first.fused) == (pytest.approx(3000), pytest.approx(1000))
    assert first.ratio == pytest.approx(3)
    assert first.exported is None
    assert (alone.hidden, alone.loop, alone.ratio) == (16, None, None)
    assert (artifact.exported, artifact.ratio) == (pytest.approx(2000), pytest.approx(2))
    assert results.threads == 2
    assert results.against[0].quartiles == (0.45, 0.55)
    json.dumps(results.to_json(), allow_nan=False)


def test_the_tables_say_what_was_measured():
    data = {"benchmarks": [entry("loop", 3e-3), entry("fused", 1e-3), against()]}
    text = format_results(read_results(data, ok=True))
    assert "microseconds, threads: 2" in text
    assert "3000.0" in text
    assert "3.00" in text
    assert "0.50" in text
    assert "0.45 to 0.55" in text
    assert format_results(read_results({"benchmarks": []}, ok=True)) == ""


def test_other_entries_of_pytest_benchmark_are_left_out():
    foreign = {"stats": {"median": 1.0}, "extra_info": {}}
    assert read_results({"benchmarks": [foreign]}, ok=True).pairs == ()


def test_the_plan_reaches_pytest():
    plan = Plan(cells=("gru",), devices=("cpu",), hidden=(8, 16), threads=3, quick=True)
    words = command(plan, Path("/somewhere/benchmarks"), Path("/tmp/x.json"))
    for word in ("--cells=gru", "--devices=cpu", "--hidden=8,16", "--threads=3", "--quick"):
        assert word in words
    assert not any(word.startswith("--runtimes") for word in words)
    assert "--rootdir=/somewhere" in words


@pytest.mark.parametrize("given", ["", "a", "0", "1,-2", "1,,2", "1.5"])
def test_wrong_numbers_are_one_line(given):
    with pytest.raises(RnnbenchError, match="whole numbers above 0"):
        numbers("hidden", given)


def test_numbers_in_their_order():
    assert numbers("time", "32,1,32") == (32, 1)


@pytest.mark.parametrize(
    "plan", [Plan(cells=("mamba",)), Plan(runtimes=("tensorrt",)), Plan(devices=("tpu",))]
)
def test_unknown_names_are_refused_before_anything_runs(plan, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(RnnbenchError, match=r"unknown .* choose from"):
        run_suite(plan)


def test_without_the_suite_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "__file__", str(tmp_path / "rnnbench" / "bench.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unavailable, match="run it in a checkout"):
        run_suite(Plan())


def test_without_pytest_benchmark_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="pip install"):
        run_suite(Plan())


def test_rounds_are_interleaved_and_each_has_its_ratio():
    order = []

    def slow():
        order.append("slow")
        time.sleep(0.001)

    compared = interleave(slow, lambda: order.append("fast"), rounds=8, calls=3)
    assert len(compared.first) == len(compared.second) == len(compared.ratios) == 8
    for start in range(0, len(order), 6):  # each round has both, three calls in a row
        assert sorted(order[start : start + 6]) == ["fast"] * 3 + ["slow"] * 3
    assert {order[start] for start in range(0, len(order), 6)} == {"fast", "slow"}
    assert compared.ratio > 1
    assert compared.quartiles[0] <= compared.ratio <= compared.quartiles[1]


def test_the_suite_measures_and_asserts_in_eager():
    plan = Plan(("gru",), ("eager",), ("cpu",), hidden=(8,), time=(4,), quick=True)
    data = _run_selected(plan)
    loop, fused = sorted(data["benchmarks"], key=lambda e: e["extra_info"]["form"], reverse=True)
    assert (loop["extra_info"]["form"], fused["extra_info"]["form"]) == ("loop", "fused")
    assert loop["extra_info"]["threads"] == 1
    assert loop["extra_info"]["versions"]["torch"]
    (pair,) = read_results(data, ok=True).pairs
    assert pair.loop > 0
    assert pair.ratio == pytest.approx(pair.loop / pair.fused)


def test_a_wrong_output_is_not_timed():
    right = {"y": np.linspace(0, 1, 5)}
    single = {"y": right["y"].astype(np.float32)}
    assert_right = load("subjects").assert_right
    assert_right(single, right, single)
    with pytest.raises(AssertionError, match="y off by"):
        assert_right({"y": single["y"] + np.float32(1e-3)}, right, single)
    with pytest.raises(AssertionError):
        assert_right({}, right, single)


def _run_selected(plan):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.json"
        words = [*command(plan, ROOT / "benchmarks", file), "-k", "test_latency"]
        done = subprocess.run(
            words, cwd=ROOT, env=bench.alone(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(file.read_text())

"""Results files: what `bench` writes is what `report` and `compare` read."""

import json
import subprocess
import sys

import pytest

from rnnbench.benchmarking.results import Side, read_results
from rnnbench.core.errors import RnnbenchError
from tests.helpers.made_results import latency, make_results, wrap, write_made


def test_every_kind_is_read_with_its_conditions(tmp_path):
    path = write_made(tmp_path / "results" / "machine" / "0001_made.json", seed=3)
    (results,) = read_results([tmp_path / "results"])
    assert results.path == path
    assert len(results.latencies) == 2 * 2 * 2 * (2 + 3 + 3)
    first = results.latencies[0]
    assert (first.cell, first.form, first.runtime, first.hidden) == ("gru", "loop", "eager", 32)
    assert len(first.samples) == 50
    assert first.p50 == pytest.approx(first.median)
    ratios = [r for r in results.ratios if r.what == "loop/fused"]
    assert ratios[0].versus == Side("gru", "fused", "eager")
    assert ratios[0].verdict == "slower"
    assert any(r.what == "runtime/runtime" for r in results.ratios)
    assert results.costs[0].artifact_bytes is None
    assert results.skipped[0].reason == "openvino is not installed"
    assert results.facts["cpu"] == "Made Processor"


def test_entries_of_others_are_left_out(tmp_path):
    data = make_results(cells=("gru",))
    data["benchmarks"].append(data["benchmarks"][0] | {"extra_info": {}})
    (results,) = read_results([write_made(tmp_path / "x.json", data)])
    assert len(results.latencies) == len(
        read_results([write_made(tmp_path / "y.json", cells=("gru",))])[0].latencies
    )


def test_the_same_file_twice_is_read_once(tmp_path):
    path = write_made(tmp_path / "x.json")
    assert len(read_results([path, tmp_path])) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"machine_info": {', "cannot be read"),
        ("[1]", "was not written by"),
        ('{"machine_info": {}, "benchmarks": []}', "was not written by"),
        ('{"machine_info": {"rnnbench": {"schema": 99}}}', "schema 99"),
        ('{"machine_info": {"rnnbench": {"schema": 1}}}', "is damaged"),
    ],
)
def test_a_damaged_or_foreign_file_is_one_line(tmp_path, content, said):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(RnnbenchError, match=said) as caught:
        read_results([tmp_path / "x.json"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lost", ["runtime", "p99", "stable"])
def test_an_entry_that_lacks_something_is_named(tmp_path, lost):
    data = make_results(cells=("gru",))
    del data["benchmarks"][0]["extra_info"][lost]
    with pytest.raises(RnnbenchError, match=f"latency-gru-loop-eager.* lacks {lost}"):
        read_results([write_made(tmp_path / "x.json", data)])


@pytest.mark.parametrize(
    ("kind", "where", "value", "said"),
    [
        ("latency", "p50", -1e-6, "p50 is -1e-06"),
        ("latency", "p99", float("nan"), "p99 is not finite"),
        ("latency", "p99", "1e-6", "p99 is no number"),
        ("latency", "warmup_s", float("inf"), "warmup_s is not finite"),
        ("latency", "stable", 1, "stable is not true or false"),
        ("latency", "runtime", None, "runtime is missing"),
        ("latency", "hidden", [3], "hidden"),
        ("ratio", "ratio", -1.0, "ratio is -1"),
        ("ratio", "low", 0, "low is 0"),
        ("cost", "load_s", -3.0, "load_s is -3"),
    ],
)
def test_a_number_that_cannot_be_is_named(tmp_path, kind, where, value, said):
    data = make_results(cells=("gru",))
    entries = [e["extra_info"] for e in data["benchmarks"] if e["extra_info"]["kind"] == kind]
    entries[0][where] = value
    with pytest.raises(RnnbenchError, match=said) as caught:
        read_results([write_made(tmp_path / "x.json", data)])
    assert "\n" not in str(caught.value)


def test_samples_that_cannot_be_are_named(tmp_path):
    data = make_results(cells=("gru",))
    entry = next(e for e in data["benchmarks"] if e["extra_info"]["kind"] == "latency")
    entry["stats"]["data"] = [1e-6, -1e-6]
    with pytest.raises(RnnbenchError, match="samples is -1e-06"):
        read_results([write_made(tmp_path / "x.json", data)])


def test_an_unknown_kind_is_refused(tmp_path):
    data = make_results(cells=("gru",))
    data["benchmarks"][0]["extra_info"]["kind"] = "guess"
    with pytest.raises(RnnbenchError, match="unknown kind 'guess'"):
        read_results([write_made(tmp_path / "x.json", data)])


def test_no_results_say_how_to_make_some(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RnnbenchError, match="make some with `rnnbench bench`"):
        read_results()
    with pytest.raises(RnnbenchError, match="no results at nowhere"):
        read_results(["nowhere.json"])


def test_a_file_without_its_data_has_the_median_as_its_sample(tmp_path):
    where = make_results(cells=("gru",))["benchmarks"][0]["extra_info"]
    entry = latency(where, [1e-3, 2e-3, 9e-3])
    del entry["stats"]["data"]
    (results,) = read_results([write_made(tmp_path / "x.json", wrap([entry]))])
    assert results.latencies[0].samples == (2e-3,)


def test_pytest_benchmark_compares_them(tmp_path):
    paths = [write_made(tmp_path / f"000{n}_made.json", cells=("gru",), scale=n) for n in (1, 2)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", *map(str, paths), "--csv=x.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "latency-gru-fused-eager-1-32-128-1-1" in done.stdout
    assert (tmp_path / "x.csv").stat().st_size
    json.loads(paths[0].read_text())

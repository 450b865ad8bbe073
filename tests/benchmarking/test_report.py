"""`report`: the recommendation and its doubts, tables, JSON, CSV, plots, the page, bad input."""

import copy
import csv
import io
import json
import math
import re
from pathlib import Path

import pytest

from rnnbench import __main__ as cli
from rnnbench.benchmarking.report import checks, format_report, make_report
from rnnbench.benchmarking.report.drawing import file_names, to_png, to_svg
from rnnbench.benchmarking.report.page import make_page
from rnnbench.benchmarking.report.plots import Plot, sections
from rnnbench.benchmarking.results import read_file
from rnnbench.checking.drift import DriftCurve, DriftReport
from rnnbench.core import plugins
from tests.benchmarking.test_recommendation import WHERE, row
from tests.helpers.made_results import cost, ratio, wrap, write_made

CHECK = {
    "ok": False,
    "skipped": {},
    "rows": [
        {"model": "lstm", "format": "onnx", "runtime": "onnxruntime", "verdict": "same"},
        {
            "model": "lstm",
            "format": "onnx",
            "runtime": "onnxruntime",
            "verdict": "DIFFERS",
            "worst_error": "inf",
            "reason": "NaN at batch 3",
            "a field of tomorrow": 1,
        },
    ],
}
DRIFT = DriftReport(
    model="lstm",
    steps=100,
    ends=(1, 10, 100),
    sizes=(1.0, 1.0, 1.0),
    lines=(
        DriftCurve("eager", "float32", (1e-8, 1e-8, 1e-8), "floor"),
        DriftCurve("onnx", "onnxruntime", (1e-7, 0.0, math.inf), "DIFFERS", first=11),
        DriftCurve("onnx", "openvino", reason="not installed"),
    ),
    reference="the module in float64",
    notes=(),
    ok=False,
).to_json()


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Runs a command in an empty folder: the exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        with pytest.raises(SystemExit) as caught:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return call


@pytest.fixture
def made(tmp_path):
    return write_made(tmp_path / "made.json", cells=("lstm",))


@pytest.fixture
def drift_file(tmp_path):
    path = tmp_path / "drift.json"
    path.write_text(json.dumps(DRIFT))
    return path


@pytest.fixture
def check_file(tmp_path):
    path = tmp_path / "check.json"
    path.write_text(json.dumps(CHECK))
    return path


def test_the_first_line_is_the_recommendation_from_a_paired_ratio(run, made):
    code, out, err = run("report", made)
    assert (code, err) == (0, "")
    first, how = " ".join(out.split()).split(" How sure: ")[:2]
    assert first.startswith(
        "LSTM, hidden 32, batch 1, 1 step: ship ONNX Runtime (onnxruntime), fused: 3.9"
    )
    assert first.endswith("4.0 times as fast as eager, fused (3.9 to 4.1)")
    assert how.startswith("paired, 20 rounds")


# -- doubts ---------------------------------------------------------------------------------------


def test_it_doubts_itself(tmp_path, check_file):
    rows = [
        row("eager", 400, stable=False),
        row("onnxruntime", 100),
        row("eager", 990, form="loop"),
    ]
    pair = ratio(WHERE | {"runtime": "eager", "form": "loop"}, 1.5, {"form": "fused"})
    judge = ratio(WHERE | {"runtime": "onnxruntime", "form": "fused"}, 1.3, {}, what="judge")
    data = wrap([*rows, pair, judge], load=[3.1, 1, 1], governor="powersave")
    data["commit_info"]["dirty"] = True
    text = "\n".join(make_report([write_made(tmp_path / "x.json", data), check_file]).doubts)
    for said in (
        "1 of 3 latencies are unstable",
        "the deviation is",
        "the load was 3.1 at the start on 2 cores",
        "'powersave'",
        "uncommitted changes",
        "1 of 2 ratios differ by more than 25.0 %",
        "10.0 % is allowed",
        "lstm: onnx in onnxruntime, which is the fastest here: DIFFERS: NaN at batch 3",
    ):
        assert said in text


def test_machines_are_told_apart_and_never_compared(tmp_path):
    here = write_made(tmp_path / "a.json", wrap([row("eager", 400)]))
    there = write_made(tmp_path / "b.json", wrap([row("onnxruntime", 9)], cpu="Another One"))
    report = make_report([here, there])
    assert "2 machines are mixed" in report.doubts[0]
    assert [s.partition(":")[0] for s in report.sentences] == [
        "Made Processor, 2 cores",
        "Another One, 2 cores",
    ]
    assert all("nothing else was measured" in s for s in report.sentences)


def test_the_newest_of_the_same_row_counts(tmp_path):
    old, new = wrap([row("eager", 400)]), wrap([row("eager", 100)])
    new["datetime"] = "2026-02-01T00:00:00+00:00"
    paths = [write_made(tmp_path / "b.json", new), write_made(tmp_path / "a.json", old)]
    report = make_report(paths)
    (kept,) = report.material.machines[0].latencies
    assert kept.p50 == pytest.approx(100e-6, rel=0.02)
    assert any("measured again later" in doubt for doubt in report.doubts)


# -- what is printed and written ------------------------------------------------------------------


def test_tables_have_units_and_mark_what_is_unstable(run, tmp_path, check_file):
    path = write_made(
        tmp_path / "x.json", wrap([row("eager", 9, stable=False, why_unstable="why")])
    )
    out = run("report", path, check_file)[1]
    for said in ("p50 (us)", "(steps/ms)", "unstable: why", "NaN at batch 3", "is not installed"):
        assert said in out
    out = run("report", path, "--markdown")[1]
    assert out.startswith("* for lstm")  # nothing to compare it with: no card
    assert re.search(r"\| +p50 \(us\) +\|", out)


def test_real_time_is_a_part_of_it(tmp_path):
    entry = row("eager", 1000)
    entry["extra_info"]["frames_per_second"] = 100.0  # 32 frames are 320 ms
    text = format_report(make_report([write_made(tmp_path / "x.json", wrap([entry]))]))
    assert "of real time" in text
    assert "0.31" in text


def test_json_and_csv_hold_every_row(run, made, check_file, drift_file):
    code, out, _ = run("report", made, check_file, drift_file, "--json")
    data = json.loads(out)
    assert code == 0
    results = read_file(made)
    assert len(data["latencies"]) == len(results.latencies)
    assert len(data["ratios"]) == len(results.ratios)
    assert data["recommendations"][0]["verdict"] == "faster"
    assert data["checks"][0]["worst_error"] == "inf"
    assert data["drift"][1]["error"] == [1e-7, 0.0, "inf"]
    rows = list(csv.DictReader(io.StringIO(run("report", made, "--csv")[1])))
    assert len(rows) == len(results.latencies) + len(results.ratios) + len(results.costs)
    assert float(rows[0]["p50_s"]) == pytest.approx(results.latencies[0].p50)


def in_float16(entry):
    """The same of a model with rounded weights; None of a ratio."""
    said = entry["extra_info"]
    if said["kind"] == "ratio":
        return None
    entry["name"] += "-float16"
    said |= {"precision": "float16", "of": said["model"], "model": f"{said['model']}-float16"}
    if said["kind"] == "cost":
        said["price"] = {"signal_db": {"y": 70.0}}
    return entry


def test_every_kind_of_plot_is_drawn(tmp_path, made, check_file, drift_file):
    data = json.loads(made.read_text())
    for entry in data["benchmarks"]:
        entry["extra_info"]["frames_per_second"] = 100.0
    data["benchmarks"] += [
        rounded for entry in data["benchmarks"] if (rounded := in_float16(copy.deepcopy(entry)))
    ]
    made.write_text(json.dumps(data))
    found = sections(make_report([made, check_file, drift_file]).material)
    assert len(found) == len(plugins.names("plots"))
    names = [plot.name for section in found for plot in section.plots]
    assert len(set(names)) == len(names)
    for section in found:
        plot = section.plots[0]
        assert to_png(plot).startswith(b"\x89PNG")
        svg = to_svg(plot)
        assert svg.startswith("<svg viewBox=")
        assert "currentColor" in svg
        assert re.search(r"\d", plot.alt)
        assert plot.alt.endswith(".")
        assert svg == to_svg(plot)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["../../out/of/here", "_x$y$ z", "\u6a21\u578b" * 90, "a\nb"])
def test_a_plot_has_a_file_whatever_the_models_name(run, tmp_path, name):
    data = wrap([row("eager", 400), row("onnxruntime", 100), row("eager", 990, form="loop")])
    for entry in data["benchmarks"]:
        entry["extra_info"]["model"] = name
    data["benchmarks"].append(cost(WHERE | {"runtime": "eager", "form": "fused", "model": name}))
    code, _, err = run("report", write_made(tmp_path / "x.json", data), "--png", "plots")
    assert code == 0, err
    assert len(list((tmp_path / "plots").glob("*.png"))) == len(list(tmp_path.rglob("*.png"))) >= 3


def test_plots_of_names_that_are_written_alike_have_files_of_their_own():
    plots = [Plot(name, "", "", "", print) for name in ("a/b", "a_b", "a b", "c")]
    assert file_names(plots) == ["a_b.png", "a_b~2.png", "a_b~3.png", "c.png"]


def test_the_page_needs_nothing_from_elsewhere(made, check_file, drift_file):
    page = make_page(make_report([made, check_file, drift_file]))
    addresses = set(re.findall(r"https?://[^\s\"']+", page))
    assert {a for a in addresses if not a.startswith("http://www.w3.org/")} == set()
    assert not re.search(r"<link|@import|url\((?!#)|src=", page)
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert page.count("<svg ") == page.count("</svg>") > 5


def test_names_of_others_cannot_break_the_page(tmp_path):
    entry = row("eager", 9)
    entry["extra_info"]["model"] = "<script>alert(1)</script>|&"
    page = make_page(make_report([write_made(tmp_path / "x.json", wrap([entry]))]))
    assert "<script>alert" not in page
    assert page.count("<script") == 1


def test_files_are_written_whole_or_not_at_all(run, tmp_path, made, monkeypatch):
    code, out, err = run("report", made, "--html", "page.html", "--png", "plots")
    assert code == 0
    assert out.startswith("LSTM, hidden 32")
    assert (tmp_path / "page.html").read_text().endswith("</html>\n")
    assert {path.suffix for path in (tmp_path / "plots").iterdir()} == {".png"}
    (tmp_path / "page.html").write_text("before")
    monkeypatch.setattr(Path, "replace", _full)
    code, out, err = run("report", made, "--html", "page.html")
    assert (code, out) == (2, "")
    assert "cannot write page.html" in err
    assert (tmp_path / "page.html").read_text() == "before"
    assert not list(tmp_path.glob(".*"))


def _full(self, target):
    raise OSError(28, "No space left on device", str(target))


def test_without_arguments_the_newest_of_this_machine(run, tmp_path, monkeypatch):
    folder = tmp_path / "benchmarks" / "results"
    write_made(folder / "here" / "0001_a.json", wrap([row("eager", 100)]))
    write_made(folder / "here" / "0002_b.json", wrap([row("eager", 320)]))
    newer = wrap([row("eager", 3200)], cpu="Another One")
    newer["datetime"] = "2027-01-01T00:00:00+00:00"
    write_made(folder / "there" / "0001_c.json", newer)
    assert "3200" in run("report", "--csv")[1] or "Another One" in run("report", "--csv")[1]
    this = {"cpu": "Made Processor", "cores": 2, "gpu": None}
    monkeypatch.setattr("rnnbench.benchmarking.machine.describe_machine", lambda: this)
    (only,) = csv.DictReader(io.StringIO(run("report", "--csv")[1]))
    assert only["machine"] == "Made Processor, 2 cores"
    assert float(only["p50_s"]) == pytest.approx(320e-6, rel=0.02)


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"machine_info": {', "cannot be read"),
        ("[1]", "is something else"),
        ("PK\x03\x04", "cannot be read"),
        ('{"machine_info": {"rnnbench": {"schema": 99}}}', "schema 99"),
        ('{"rows": [{}]}', "is damaged"),
        (json.dumps(DRIFT | {"ends": [1, 10]}), "is damaged"),
        (json.dumps(wrap([])), "nothing was measured"),
    ],
)
def test_a_file_that_is_no_results_is_one_line(run, tmp_path, content, said):
    (tmp_path / "x.json").write_text(content)
    code, out, err = run("report", "x.json", "--html", "page.html")
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "make some with `rnnbench bench`"),
        (("nowhere.json",), "nowhere.json"),
        (("--json", "--csv"), "give one of them"),
        (("{made}", "--html", "no/such/page.html"), "cannot write no/such/page.html"),
        (("{made}", "--png", "made.json"), "cannot write to made.json"),
    ],
)
def test_other_bad_input_is_one_line(run, made, words, said):
    code, out, err = run("report", *(word.format(made=made) for word in words))
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_without_matplotlib_the_page_has_its_tables(run, made, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    code, _, err = run("report", made, "--html", "page.html")
    assert code == 0
    assert "pip install 'rnnbench[plot]'" in err
    page = (tmp_path / "page.html").read_text()
    assert "pip install &#x27;rnnbench[plot]&#x27;" in page
    assert page.count("<table") == 6
    assert "ship ONNX Runtime (onnxruntime), fused" in page
    assert "<svg" not in page
    code, _, err = run("report", made, "--png", "plots")
    assert code == 2
    assert "pip install 'rnnbench[plot]'" in err
    assert run("report", made)[0] == 0


def test_the_worst_output_of_an_artifact_is_shown():
    rows, _ = checks.read_checks(CHECK)
    assert [(r.verdict, r.worst_error) for r in rows] == [("DIFFERS", math.inf)]
    limit = {"model": "m", "format": "onnx", "runtime": "ort", "verdict": "limit"}
    rows, _ = checks.read_checks({"rows": [limit, limit | {"verdict": "same"}]})
    assert [r.verdict for r in rows] == ["same"]


def test_drift_is_read_as_check_writes_it():
    _, curves = checks.read_checks(DRIFT)
    assert [(c.model, c.runtime) for c in curves] == [
        ("lstm", "eager float32"),
        ("lstm", "onnxruntime"),
    ]
    assert curves[1].error == (1e-7, 0.0, math.inf)

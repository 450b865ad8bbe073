"""`report` with what `inspect --json` and `conform --json` print: on the page, in text, as data."""

import json
import re
import sys

import click
import pytest

from rnnbench import __main__ as cli
from rnnbench.benchmarking.report import format_report, make_report
from rnnbench.benchmarking.report.page import make_page
from rnnbench.benchmarking.report.values import to_json
from rnnbench.checking.conformance.rows import ConformanceRow
from rnnbench.core.documents import document
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.verdicts import Verdict
from rnnbench.inspection.inspect import inspect
from tests.helpers.hazard_files import GRU, OUT, written
from tests.helpers.made_results import write_made

EVIL = "\x1b[2J\u202e<script>alert(1)</script>|`a`[b](c)\n$x$"


def saved(path, verb, content):
    path.write_text(json.dumps(document(verb, content, ok=True)))
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Where there are no results of this machine."""
    monkeypatch.chdir(tmp_path)


def conformed(target, verdict=Verdict.SAME, model="net", profile="plain", **more):
    more = {"cases": 3, "worst_error": 1e-7, "allowed": 1e-6, "step_s": 2e-5} | more
    row = ConformanceRow(target, model=model, verdict=verdict, profile=profile, **more)
    return row.to_json()


def test_hazards_of_a_file_are_shown(tmp_path):
    clean = written(tmp_path / "clean.onnx", GRU, *OUT)
    frozen = written(tmp_path / "frozen.onnx", GRU, *OUT, x="7, 1, 2", h0="1, 1, 4")
    found = [inspect(clean), inspect(frozen)]
    assert found[1].hazards
    path = saved(tmp_path / "i.json", "inspect", {"files": [one.to_json() for one in found]})
    report = make_report([path])
    page = make_page(report).replace("<wbr>", "")
    for shown in (format_report(report), format_report(report, "markdown"), page):
        assert "Hazards of the files" in shown
        assert "Recurrences in the files" in shown
        assert all(hazard.name in shown for one in found for hazard in one.hazards)
        assert str(clean) in shown
    (first, second) = to_json(report)["inspected"]
    assert second["hazards"][0]["severity"] == found[1].hazards[0].severity
    assert first["recurrences"][0]["hidden_size"] == "4"
    assert "<table" in make_page(report)


def test_a_hazard_that_is_an_error_is_a_doubt(tmp_path):
    hazard = {"name": "frozen-batch", "severity": "error", "where": "x", "what": "one row alone"}
    hazard["remedy"] = "export it again"
    file = {"path": "a.onnx", "format": "onnx", "recurrences": [], "hazards": [hazard] * 7}
    report = make_report([saved(tmp_path / "i.json", "inspect", {"files": [file]})])
    assert report.doubts[0] == "a.onnx: frozen-batch: one row alone: export it again"
    assert report.doubts[5:] == ("2 more hazards are errors: see their table",)
    assert "<b class=bad>error</b>" in make_page(report)


def test_engines_of_one_model_have_their_numbers(tmp_path):
    rows = [
        conformed("tract", versions={"tract": "0.23.9"}),
        conformed("opencv", Verdict.REFUSED, worst_error=None, reason="no GRU"),
        conformed("cpp", profile=""),
    ]
    report = make_report([saved(tmp_path / "c.json", "conform", {"rows": rows})])
    text = format_report(report)
    assert "Which engine runs net right, in which form" in text
    assert re.search(r"tract +plain +right +1.0e-07 +1.0e-06 +20.0 +tract 0.23.9", text)
    assert re.search(r"opencv +plain +refused +net +no GRU", text)
    page = make_page(report)
    assert "<b class=good>right</b>" in page
    assert re.search("engines.*tract 0.23.9", page)


def test_engines_of_several_models_are_a_matrix(tmp_path):
    rows = [
        conformed("tract", model="a"),
        conformed("tract", Verdict.DIFFERS, model="b", worst_error=float("inf"), reason="NaN"),
        conformed("iree", Verdict.NOT_RUN, model="a", reason="not installed"),
    ]
    report = make_report([saved(tmp_path / "c.json", "conform", {"rows": rows})])
    text = format_report(report)
    assert re.search(r"engine +profile +a +b *\n", text)
    assert re.search(r"tract +plain +right +WRONG", text)
    assert re.search(r"iree +plain +not run +a +not installed", text)
    assert report.doubts == (
        "1 of 3 runs of engines are wrong without an error, first b in tract, plain: NaN",
    )
    page = make_page(report)
    assert "<b class=bad>WRONG</b>" in page
    assert to_json(report)["conformed"][1]["worst_error"] == "inf"


def test_a_wide_matrix_goes_on_below(tmp_path):
    rows = [conformed("tract", model=f"a model with a name {n}") for n in range(40)]
    report = make_report([saved(tmp_path / "c.json", "conform", {"rows": rows})])
    assert max(map(len, format_report(report).splitlines())) <= 120
    page = make_page(report)
    assert "in which form (2 of " in page
    assert page.count(">right<") == 40


def test_all_documents_come_together(tmp_path):
    made = write_made(tmp_path / "made.json", cells=("lstm",))
    inspected = {"path": "a.onnx", "format": "onnx", "recurrences": [], "hazards": []}
    report = make_report(
        [
            saved(tmp_path / "c.json", "conform", {"rows": [conformed("tract")]}),
            made,
            saved(tmp_path / "i.json", "inspect", {"files": [inspected]}),
        ]
    )
    text = format_report(report)
    for title in ("What is fastest", "Hazards of the files", "Which engine runs net right"):
        assert title in text
    assert "none found" in text


def test_names_in_documents_are_data(tmp_path):
    hazard = dict.fromkeys(("name", "severity", "where", "what", "remedy"), EVIL)
    recurrence = dict.fromkeys(("where", "form", "kind", "direction"), EVIL)
    file = {"path": EVIL, "format": EVIL, "producer": EVIL}
    file |= {"recurrences": [recurrence], "hazards": [hazard, hazard | {"severity": "error"}]}
    rows = [
        conformed(EVIL, verdict, model=model, profile=EVIL, reason=EVIL, versions={EVIL: EVIL})
        for model in (EVIL, EVIL + "2", "engine")
        for verdict in (Verdict.DIFFERS,)
    ]
    for some in (rows, rows[:1]):
        paths = [
            saved(tmp_path / "i.json", "inspect", {"files": [file]}),
            saved(tmp_path / "c.json", "conform", {"rows": some}),
        ]
        report = make_report(paths)
        page, markdown = make_page(report, EVIL), format_report(report, "markdown")
        assert "<script>alert" not in page
        assert page.count("<script") == 1
        assert not re.search(r"(?<!\\)(<script|`a`|\[b\])", markdown)
        controls = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
        for shown in (page, markdown, format_report(report)):
            assert not controls.search(shown)


@pytest.mark.parametrize(
    ("verb", "content", "said"),
    [
        ("inspect", {}, "is damaged (KeyError: 'files'): inspect again"),
        ("inspect", {"files": ["x"]}, "is damaged (TypeError"),
        ("inspect", {"files": [{"path": 1, "format": 2, "recurrences": 3}]}, "is damaged"),
        ("conform", {"rows": [{"model": "a"}]}, "is damaged (KeyError: 'target'): conform again"),
        ("conform", {"rows": [conformed("a") | {"allowed": "much"}]}, "is damaged"),
        ("inspect-diff", {"files": [], "differences": []}, "is something else"),
        ("train", {"models": []}, "`inspect --json` or `conform --json` printed"),
    ],
)
def test_a_damaged_document_is_one_line(tmp_path, verb, content, said):
    with pytest.raises(RnnbenchError) as caught:
        make_report([saved(tmp_path / "x.json", verb, content)])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", [80, 120])
def test_what_documents_say_fits_a_terminal(tmp_path, monkeypatch, capsys, width):
    file = written(tmp_path / "frozen.onnx", GRU, *OUT, x="7, 1, 2", h0="1, 1, 4")
    rows = [
        conformed("tract:pinned", verdict, model=f"a model with a name {n}", reason="no " * 60)
        for n in range(9)
        for verdict in (Verdict.SAME, Verdict.REFUSED)
    ]
    paths = [
        saved(tmp_path / "i.json", "inspect", {"files": [inspect(file).to_json()]}),
        saved(tmp_path / "c.json", "conform", {"rows": rows}),
        write_made(tmp_path / "made.json", cells=("lstm",)),
    ]
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(SystemExit):
        cli.main(["report", *map(str, paths)])
    lines = [click.unstyle(line) for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= width, max(lines, key=len)
    assert lines[0].startswith(
        "LSTM, hidden 32, batch 1, 1 step: ship ONNX Runtime (onnxruntime), fused"
    )


def test_the_tolerance_needed_is_the_largest_of_all_outputs(tmp_path):
    """Which is not that of the output with the largest error, where that has large values."""
    same = {"model": "net", "format": "onnx", "runtime": "onnxruntime", "verdict": "same"}
    rows = [
        same | {"output": "y", "worst_error": 9e-7, "tolerance_needed": 1.2e-7},
        same | {"output": "hn", "worst_error": 4.4e-7, "tolerance_needed": 4.2e-7},
        same | {"output": "(weights)", "worst_error": None, "tolerance_needed": None},
        same | {"output": "y", "worst_error": "inf", "tolerance_needed": "inf", "verdict": "limit"},
    ]
    path = tmp_path / "check.json"
    path.write_text(json.dumps({"schema": "rnnbench-check-1", "rows": rows}))
    (found,) = make_report([path]).material.checks
    assert (found.worst_error, found.tolerance_needed) == (9e-7, 4.2e-7)
    assert found.verdict == "same"

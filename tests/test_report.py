"""`report`: the recommendation and its doubts, tables, JSON, CSV, plots, the page, bad input."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbench import cli, plugins
from rnnbench.report import checks, format_report, make_report, units
from rnnbench.report.drawing import to_png, to_svg
from rnnbench.report.intervals import of_latencies
from rnnbench.report.page import make_page
from rnnbench.report.plots import sections
from rnnbench.results import read_file
from tests.made_results import latency, make_results, ratio, wrap, write_made

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
    "drift": [{"runtime": "onnxruntime", "steps": [1, 10, 100], "error": [1e-7, 0, "inf"]}],
}
WHERE = {"model": "lstm", "cell": "lstm", "mode": "", "device": "cpu", "batch": 1, "time": 32}
WHERE |= {"hidden": 128, "layers": 1, "threads": 1, "frames_per_second": None}


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
def check_file(tmp_path):
    path = tmp_path / "check.json"
    path.write_text(json.dumps(CHECK))
    return path


def row(runtime, us, *, noise=0.02, samples=50, form="fused", seed=0, **more):
    rng = np.random.default_rng(seed)
    data = us * 1e-6 * (1 + noise * rng.standard_normal(samples))
    return latency(WHERE | {"runtime": runtime, "form": form}, data.tolist(), **more)


def sentences(tmp_path, *rows, **facts):
    return make_report([write_made(tmp_path / "x.json", wrap(list(rows), **facts))]).sentences


# -- the recommendation ---------------------------------------------------------------------------


def test_the_first_line_is_the_recommendation_from_a_paired_ratio(run, made):
    code, out, err = run("report", made)
    assert (code, err) == (0, "")
    first = out.splitlines()[0]
    assert "for lstm, hidden 32, batch 1, 1 step: ONNX Runtime (fused), 3.9" in first
    assert "4.0 (3.9 to 4.1) times faster than eager (fused); paired, 20 rounds" in first


def test_without_a_pair_the_bootstrap_decides_and_says_so(tmp_path):
    (said,) = sentences(tmp_path, row("eager", 400), row("onnxruntime", 100, seed=1))
    found = re.search(r"us a step, (\S+) \((\S+) to (\S+)\) times faster than eager", said)
    ratio, low, high = map(float, found.groups())
    assert low <= ratio <= high
    assert ratio == pytest.approx(4, rel=0.02)
    assert said.endswith("bootstrap over 50 and 50 samples")


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row("eager", 100), row("onnxruntime", 100, seed=1)], "the interval holds 1"),
        ([row("eager", 100)], "nothing else was measured"),
        ([row("eager", 100, samples=3), row("onnxruntime", 50, samples=3)], "too few samples (3)"),
        (
            [
                row("eager", 115, noise=0.1, samples=400, stable=False, why_unstable="it drifts"),
                row("onnxruntime", 100, noise=0.1, samples=400, seed=1),
            ],
            "eager (fused) is unstable: it drifts",
        ),
    ],
)
def test_it_says_when_the_data_cannot_tell(tmp_path, rows, why):
    (said,) = sentences(tmp_path, *rows)
    assert f"cannot tell, {why}" in said


def test_an_unstable_row_is_still_faster_where_nearly_all_samples_are(tmp_path):
    shaky = row("onnxruntime", 100, stable=False, why_unstable="it drifts")
    (said,) = sentences(tmp_path, row("eager", 400), shaky)
    assert "times faster than eager" in said


def test_eager_can_be_the_best(tmp_path):
    (said,) = sentences(tmp_path, row("eager", 50), row("onnxruntime", 100, seed=1))
    assert "steps: eager (fused), 1.5" in said
    assert "times faster than the next, ONNX Runtime (fused)" in said


def test_bound_buffers_are_named_and_rivals_listed(tmp_path):
    bound = latency(
        WHERE | {"runtime": "onnxruntime", "form": "fused", "mode": "bound"}, [1e-4, 1.01e-4] * 9
    )
    (said,) = sentences(tmp_path, row("eager", 400), row("openvino", 101, seed=2), bound)
    assert "ONNX Runtime with bound buffers (fused)" in said
    assert said.endswith("cannot be told from OpenVINO")


@settings(max_examples=15, deadline=None)
@given(st.floats(0.5, 2.0), st.integers(0, 2**16))
def test_the_interval_holds_its_estimate_and_turns_around(factor, seed):
    a, b = (_read(row(name, us, seed=seed + n)) for n, (name, us) in enumerate(_both(100 * factor)))
    there, back = of_latencies(a, b), of_latencies(b, a)
    assert there.low <= there.ratio <= there.high
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert there.low == pytest.approx(back.inverse().low, rel=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_the_interval_covers_a_known_ratio(correlation):
    """Also where neighbouring samples are alike, as on a machine that others use."""
    model, covered, runs = _read(row("eager", 100)), 0, 100
    for seed in range(runs):
        a, b = (
            _correlated(model, us, correlation, 2 * seed + n) for n, us in enumerate((130, 100))
        )
        found = of_latencies(a, b)
        covered += found.low <= 1.3 <= found.high
    assert covered >= (90 if correlation == 0 else 75), f"{covered} of {runs}"


def _correlated(model, us, correlation, seed):
    rng = np.random.default_rng(seed)
    noise = [0.0]
    for step in rng.standard_normal(400):
        noise.append(correlation * noise[-1] + math.sqrt(1 - correlation**2) * step)
    samples = us * 1e-6 * (1 + 0.03 * np.asarray(noise[1:]))
    return replace(
        model, samples=tuple(samples.tolist()), p50=float(np.median(samples)), name=f"row {seed}"
    )


def _both(us):
    return (("eager", us), ("onnxruntime", 100.0))


def _read(entry):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return read_file(write_made(Path(folder) / "x.json", wrap([entry]))).latencies[0]


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
    assert out.startswith("* for lstm")
    assert re.search(r"\| +p50 \(us\) +\|", out)


def test_real_time_is_a_part_of_it(tmp_path):
    entry = row("eager", 1000)
    entry["extra_info"]["frames_per_second"] = 100.0  # 32 frames are 320 ms
    text = format_report(make_report([write_made(tmp_path / "x.json", wrap([entry]))]))
    assert "of real time" in text
    assert "0.31" in text


def test_json_and_csv_hold_every_row(run, made, check_file):
    code, out, _ = run("report", made, check_file, "--json")
    data = json.loads(out)
    assert code == 0
    results = read_file(made)
    assert len(data["latencies"]) == len(results.latencies)
    assert len(data["ratios"]) == len(results.ratios)
    assert data["recommendations"][0]["verdict"] == "faster"
    assert data["checks"][0]["worst_error"] == "inf"
    assert data["drift"][0]["error"] == [1e-7, 0.0, "inf"]
    rows = list(csv.DictReader(io.StringIO(run("report", made, "--csv")[1])))
    assert len(rows) == len(results.latencies) + len(results.ratios) + len(results.costs)
    assert float(rows[0]["p50_s"]) == pytest.approx(results.latencies[0].p50)


def test_every_kind_of_plot_is_drawn(tmp_path, made, check_file):
    found = sections(make_report([made, check_file]).material)
    assert len(found) == len(plugins.names("report.plots"))
    names = [plot.name for section in found for plot in section.plots]
    assert len(set(names)) == len(names)
    for section in found:
        plot = section.plots[0]
        assert to_png(plot).startswith(b"\x89PNG")
        svg = to_svg(plot)
        assert svg.startswith("<svg viewBox=")
        assert "currentColor" in svg
        assert svg == to_svg(plot)


def test_the_page_needs_nothing_from_elsewhere(made, check_file):
    page = make_page(make_report([made, check_file]))
    addresses = set(re.findall(r"https?://[^\s\"']+", page))
    assert {a for a in addresses if not a.startswith("http://www.w3.org/")} == set()
    assert not re.search(r"<script|<link|@import|url\((?!#)|src=", page)
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert page.count("<svg ") == page.count("</svg>") > 5


def test_names_of_others_cannot_break_the_page(tmp_path):
    entry = row("eager", 9)
    entry["extra_info"]["model"] = "<script>alert(1)</script>|&"
    page = make_page(make_report([write_made(tmp_path / "x.json", wrap([entry]))]))
    assert "<script" not in page


def test_files_are_written_whole_or_not_at_all(run, tmp_path, made, monkeypatch):
    code, out, err = run("report", made, "--html", "page.html", "--png", "plots")
    assert code == 0
    assert out.startswith("for lstm")
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
    monkeypatch.setattr("rnnbench.bench.machine.describe_machine", lambda: this)
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
        ('{"rows": [], "drift": [{"runtime": "x", "steps": [1], "error": []}]}', "is damaged"),
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


def test_without_matplotlib_the_remedy_is_named(run, made, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    code, _, err = run("report", made, "--html", "page.html")
    assert code == 2
    assert "pip install 'rnnbench[plot]'" in err
    assert run("report", made)[0] == 0


# -- the small things -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [(1.9e-5, "19.0 us"), (9.996e-4, "1.00 ms"), (0, "0 ns"), (12.0, "12.0 s"), (1e-9, "1.00 ns")],
)
def test_times_have_the_unit_that_fits(value, said):
    assert units.seconds(value) == said


def test_the_worst_output_of_an_artifact_is_shown():
    rows, curves = checks.read_checks(CHECK)
    assert [(r.verdict, r.worst_error) for r in rows] == [("DIFFERS", math.inf)]
    assert curves[0].model == "lstm"


def test_a_thousand_rows_have_few_first_lines(tmp_path):
    data = make_results(cells=("gru", "lstm"), time=(1, 8, 64), hidden=(8, 32, 128), samples=10)
    said = make_report([write_made(tmp_path / "x.json", data)]).sentences
    assert len(said) == 3
    assert "hidden 32, batch 1, 8 steps" in said[0]
    assert said[-1] == "16 other conditions are in the table of what is fastest"

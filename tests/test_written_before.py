"""What commit 5131268 wrote (tests/data/5131268/) is opened by every verb of today.

A change that cannot read it any more says in one line how to renew it, and that line is tested here
in place of what it replaces.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rnnbench
from rnnbench import __main__ as cli
from rnnbench import runtimes
from rnnbench.cases.golden import read_arrays
from rnnbench.cases.stored import read_cases
from rnnbench.checking.report import WEIGHTS
from rnnbench.core.bundle import Bundle

DATA = Path(__file__).parent / "data" / "5131268"
FORMATS = {
    "hello-gru": ("onnx", "torchscript", "pt2"),  # a fused layer
    "hello-lstm-loop": ("onnx", "torchscript", "pt2"),  # kept a loop: a Scan in ONNX
    "ragged": ("onnx", "torchscript"),  # with lengths and a state
}
RENAMED = {"floor": "noise_floor"}  # when documents got a schema: rnnbench-check-1 has the new one
RUNTIMES = {"onnx": "onnxruntime", "torchscript": "torchscript", "pt2": "pt2"}
FILES = [(name, format) for name, formats in FORMATS.items() for format in formats]


@pytest.fixture(params=FORMATS)
def bundle(request):
    return Bundle.open(DATA / "bundles" / request.param)


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a command in the folder of the data: the exit code and stdout."""
    monkeypatch.chdir(DATA)

    def call(*words):
        with pytest.raises(SystemExit) as caught:
            cli.main([str(word) for word in words])
        return caught.value.code, capsys.readouterr().out

    return call


def test_a_bundle_is_opened(bundle):
    assert bundle.manifest["schema"] == 1
    assert set(bundle.artifacts) == set(FORMATS[bundle.name])
    assert not any(artifact.replaced for artifact in bundle.artifacts.values())
    assert len(read_cases(bundle)) == len(
        [c for c in bundle.manifest["cases"] if "skipped" not in c]
    )


@pytest.mark.parametrize(("name", "format"), FILES)
def test_load(name, format):
    bundle = Bundle.open(DATA / "bundles" / name)
    case = next(c for c in read_cases(bundle) if c.name == "traced")
    outputs = rnnbench.load(bundle, format, runtime=RUNTIMES[format])(case.inputs)
    for output, exact in case.reference.items():
        np.testing.assert_allclose(outputs[output], exact, atol=1e-5)


def test_check(bundle, monkeypatch):
    """The module too: its code is that of today, or of the file beside the bundles."""
    monkeypatch.chdir(DATA)
    monkeypatch.syspath_prepend(DATA)
    if bundle.source["kind"] == "file":  # which says nothing of the content that was exported
        (row,) = rnnbench.check(bundle, ["eager"], isolate=False).rows
        assert row.verdict == "not run"
        assert row.reason.endswith("export it again, or give --trust-code")
    report = rnnbench.check(replace(bundle, trust_code=True), isolate=False)
    assert {row.verdict for row in report.rows} == {"same"}, report.rows
    assert {row.format for row in report.rows} >= {"eager", *FORMATS[bundle.name]}


@pytest.mark.parametrize(("name", "format"), FILES)
def test_inspect(name, format):
    report = rnnbench.inspect(Bundle.open(DATA / "bundles" / name).artifacts[format].path)
    assert report.format == format
    (found,) = report.recurrences
    kept = {"onnx": "scan", "pt2": "scan", "torchscript": "while"}[format]
    assert found.representation == (kept if name == "hello-lstm-loop" else "fused")


def test_run(run):
    code, out = run("run", "bundles/hello-gru", "--text", "hello")
    assert code == 0
    assert "ohlol" in out


def test_report_and_compare(run):
    (results,) = (DATA / "results").rglob("*.json")
    code, out = run("report", results)
    assert code == 0
    assert "ONNX Runtime" in out
    stored = len(json.loads(results.read_text())["benchmarks"])
    code, out = run("report", results, "--csv")
    assert code == 0
    assert len(out.splitlines()) == stored + 1
    assert run("compare", results, results)[0] == 0


def test_the_rows_of_a_check_are_what_they_were(run):
    """Keys, rows of weights and cases may be added; those renamed are named above; the verdicts are
    the same.
    """
    before = json.loads((DATA / "check.json").read_text())
    code, out = run("check", "bundles/hello-gru", "--json")
    assert code == 0
    now = json.loads(out)
    assert set(now) >= set(before)
    rows = [row for row in now["rows"] if row["output"] != WEIGHTS]
    for old, new in zip(before["rows"], rows, strict=True):
        assert set(new) >= {RENAMED.get(key, key) for key in old}
        said = ("model", "format", "runtime", "output", "verdict")
        assert [new[key] for key in said] == [old[key] for key in said]
        assert new["cases"] >= old["cases"]


@pytest.mark.parametrize(
    ("engine", "name"), [("openvino", "hello-gru"), ("tract", "hello-lstm-loop")]
)
def test_conform_of_an_engine(run, engine, name):
    missing = runtimes.get(engine).missing()
    if missing:
        pytest.skip(missing)
    assert run("conform", f"bundles/{name}", "--engine", engine)[0] == 0


def test_golden_cases_of_a_project(run, tmp_path):
    """Read as they were written; and a project that is embedded today has the same."""
    before = read_arrays(DATA / "golden" / "cases.json")
    words = ("--target", "python-onnxruntime", "--out", tmp_path / "project")
    assert run("embed", "bundles/hello-gru", *words)[0] == 0
    now = read_arrays(tmp_path / "project" / "golden" / "cases.json")
    assert [(r.case, r.part, r.name) for r in now] == [(r.case, r.part, r.name) for r in before]
    for old, new in zip(before, now, strict=True):
        np.testing.assert_array_equal(old.array, new.array)


def test_a_checkpoint_is_resumed(run, tmp_path):
    """It has nothing left to do, and the model is the one that was trained."""
    shutil.copy(DATA / "checkpoints" / "hello-gru.pt", tmp_path)
    words = ("--task", "hello", "--hidden", 8, "--runs", tmp_path)
    code, out = run("train", "gru", *words, "--json")
    assert code == 0
    (model,) = json.loads(out)["models"]
    assert model["metrics"]["predicted"] == "ohlol"

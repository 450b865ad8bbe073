"""The verbs from Python: typed results that show themselves in three ways."""

import json
import re

import numpy as np
import pytest

import rnnbench
from rnnbench.benchmarking import driver
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.core.shown import Shown, Table, format_parts
from tests.helpers.made_results import make_results, write_made

FAST = Effort(samples_s=0.02, min_samples=5, max_samples=20, warmup_s=0.1, rounds_s=0.05)


def assert_shows(result, *words):
    """It is a table in text, Markdown and HTML, and JSON says the same."""
    assert isinstance(result, Shown)
    text, markdown, html = str(result), result.to_markdown(), result._repr_html_()
    for word in words:
        assert word in text
        assert word in markdown
        assert word in html
    assert re.search(r"^-+(  -+)+$", text, re.MULTILINE)
    assert re.search(r"^\|[:-]+\|", markdown, re.MULTILINE)
    assert "<table>" in html
    json.dumps(result.to_json())


@pytest.fixture
def bundle(task_bundles):
    return task_bundles["hello-elman"]


def test_check_and_inspect(bundle):
    report = rnnbench.check(bundle, ["onnxruntime"])
    assert_shows(report, "hello-elman", "onnxruntime", "same")
    assert report.to_markdown().startswith("### rnnbench check: 1 of 1 the same as the module")
    inspection = rnnbench.inspect(bundle.artifacts["onnx"].path)
    assert_shows(inspection, "recurrence", "fused")


def test_train(tmp_path):
    said = []
    trained = rnnbench.train(
        "rnn", "weather", epochs=1, hidden=3, checkpoint=tmp_path / "a.pt", on_progress=said.append
    )
    assert_shows(trained, "weather-elman", "baseline", "mae")
    assert trained.to_json()["models"][0]["metrics"] == trained.metrics
    assert len(said) == 1
    assert (tmp_path / "a.pt").is_file()


def test_run(tmp_path):
    trained = rnnbench.train("rnn")
    bundle = rnnbench.export(trained.model, ("onnx",), tmp_path, metadata=trained.metadata)
    said = rnnbench.run(bundle, text="hello")
    assert str(said) == said.text == said.values["answer"]
    assert said.to_json()["answer"] == said.text
    assert said.text == "ohlol"
    assert said._repr_html_() == f"<pre>{said.text}</pre>"
    assert said.to_markdown() == f"```text\n{said.text}\n```"
    x = np.eye(4, dtype=np.float32)[[[0], [1]]]
    np.savez(tmp_path / "in.npz", x=x)
    said = rnnbench.run(bundle.path, npz=tmp_path / "in.npz", save=tmp_path / "out.npz")
    assert (tmp_path / "out.npz").is_file()
    assert said.values["outputs"]["y"]["shape"] == [2, 1, 4]
    with pytest.raises(rnnbench.RnnbenchError, match="nothing given"):
        rnnbench.run(bundle)


def test_bench_and_report(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "QUICK", FAST)
    said = []
    found = rnnbench.bench(
        ["rnn"],
        runtimes=["ort"],
        time=[3],
        hidden=[4],
        quick=True,
        out=tmp_path,
        on_progress=said.append,
    )
    assert found.ok
    assert found.path.is_file()
    assert_shows(found, "elman", "onnxruntime (bound)", "relative")
    assert found.to_markdown().startswith(f"### rnnbench bench: {found.path.name}\n\n")
    assert found.to_json()["benchmarks"]
    assert any(line.startswith("latency elman-") for line in said)
    report = rnnbench.report(found.path)
    assert_shows(report, "elman")
    assert report.to_json()["schema"]


def test_compare(tmp_path):
    for factor in (1.0, 1.3):
        write_made(tmp_path / f"{factor}.json", make_results(scale=factor))
    found = rnnbench.compare(tmp_path / "1.0.json", tmp_path / "1.3.json")
    assert not found.ok
    assert_shows(found, "slower", "REGRESSION", "geometric mean of new/old: 1.3")
    assert found.to_json()["ok"] is False
    same = rnnbench.compare(tmp_path / "1.0.json", tmp_path / "1.0.json", fail_on="1%")
    assert same.ok
    with pytest.raises(rnnbench.RnnbenchError, match="fail-on"):
        rnnbench.compare(tmp_path / "1.0.json", tmp_path / "1.0.json", fail_on="much")


def test_embed_and_conform(bundle, tmp_path):
    project = rnnbench.embed(bundle, "python-onnxruntime", tmp_path / "made")
    assert project.path == tmp_path / "made"
    assert (project.path / "model.json").is_file()
    assert "--verify" in str(project)
    assert project.to_json()["commands"] == [list(c) for c in project.commands]
    with pytest.raises(rnnbench.RnnbenchError, match="did you mean cpp-aoti"):
        rnnbench.embed(bundle, "cpp")
    said = []
    found = rnnbench.conform(bundle, targets=["python-onnxruntime"], on_progress=said.append)
    assert found.ok
    assert_shows(found, "python-onnxruntime", "same")
    assert found.to_json()["rows"][0]["verdict"] == "same"
    assert said[-1] == "python-onnxruntime: same"


def test_what_is_data_is_no_markup():
    hostile = "<img src=x onerror=alert(1)> |a| `b` \x1b[2J"
    parts = [hostile, Table(["name", "n"], [[hostile, "1"]])]
    text, markdown, html = (format_parts(parts, s) for s in ("text", "markdown", "html"))
    assert "\x1b" not in text + markdown + html
    assert "<img" not in html
    assert "<img" not in markdown.replace("\\<img", "")

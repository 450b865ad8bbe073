"""Engines over the portable form: right with it, and named where they are wrong without it."""

import sys

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec, runtimes
from rnnbench.checking.case_selection import CaseSelection
from rnnbench.checking.check import CheckOptions
from rnnbench.checking.report import WEIGHTS
from rnnbench.commands.export import command as export_command
from rnnbench.formats.onnx import profiles as portable
from rnnbench.models import variants
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.worker import Worker
from tests.helpers.altered import take_away
from tests.helpers.onnx_graphs import (
    GATES,
    HIDDEN,
    ROWS,
    feeds,
    layer,
    run,
    scanned,
)

ENGINES = ("openvino", "tract", "iree", "emx", "mnn", "opencv")
PINNED = ("tract", "mnn", "opencv")  # in a mode: they also take any shape


def need(engine):
    missing = runtimes.get(engine).missing()
    if missing:
        pytest.skip(missing)


@pytest.fixture(scope="module")
def bundles(shared):
    """A name -> its bundle with both forms of ONNX."""

    def get(name, **more):
        ids = variants.reads(name) == "ids"
        loop = more.get("keep_loops", False)
        sizes = {k: v for k, v in more.items() if k != "keep_loops"}
        options = variants.Options(5, 4, output_size=4, vocabulary=9 if ids else None, **sizes)
        model = variants.model(name, options, bundle_name="made")
        key = f"portable {name} {more}"
        return shared.export(key, lambda: model, ("onnx",), profile="portable", keep_loops=loop)

    return get


# benchmarks/portability.py has all; here is one of each kind
MODELS = {
    "lstm, both ways": ("lstm", {"bidirectional": True}),
    "gru, both ways": ("gru", {"bidirectional": True}),
    "embedding": ("embedding", {"num_layers": 2}),
    "linear loop": ("linear-loop", {"keep_loops": True}),
}


NO_RNN = [("opencv", "embedding")]  # its own form has a GRU there, and `portable` has not


@pytest.mark.parametrize(
    ("engine", "model"), [(e, m) for e in ENGINES for m in MODELS if (e, m) not in NO_RNN]
)
def test_every_engine_runs_the_portable_form_right(bundles, engine, model):
    need(engine)
    name, options = MODELS[model]
    bundle = bundles(name, **options)
    mode = ":pinned" if engine in PINNED else ""
    cases = ("traced",) if engine == "iree" else ("traced", "time-1")
    report = rnnbench.check(
        bundle, [engine + mode], options=CheckOptions(CaseSelection(only=cases))
    )
    rows = [row for row in report.rows if row.format == "portable"]
    assert {row.verdict for row in rows} == {"same"}, rows
    assert {row.pinned for row in rows} == {engine != "openvino"}


def test_a_silent_error_of_the_plain_form_is_seen(bundles):
    need("emx")
    bundle = bundles("lstm", bidirectional=True)
    report = rnnbench.check(bundle, ["emx"], options=CheckOptions(CaseSelection(only=("traced",))))
    verdicts = {row.format: row.verdict for row in report.rows}
    assert verdicts == {"onnx": "DIFFERS", "portable": "same"}
    assert not report.ok


def test_a_panic_is_a_row(bundles):
    need("tract")
    bundle = bundles("gru", bidirectional=True)
    report = rnnbench.check(
        bundle, ["tract"], options=CheckOptions(CaseSelection(only=("traced", "batch-1")))
    )
    plain, ours = report.rows
    assert (plain.format, plain.verdict) == ("onnx", "failed")
    assert "SIGABRT" in plain.reason
    assert (ours.format, ours.verdict, ours.pinned) == ("portable", "same", False)


def test_a_backward_layer_alone_is_wrong_in_tract_unless_rewritten(tmp_path):
    need("tract")
    proto = with_c0(layer("LSTM", "reverse", states=True))
    arrays = feeds_with_c0(proto)
    onnx.save(proto, tmp_path / "plain.onnx")
    portable.rewrite(tmp_path / "plain.onnx", tmp_path / "tract.onnx", "tract")
    expected = run(proto, arrays)["y"]
    errors = {}
    for name in ("plain", "tract"):
        with Worker(Job("tract", "onnx", tmp_path / f"{name}.onnx", None, "pinned")) as worker:
            errors[name] = np.abs(worker(arrays)["y"] - expected).max()
    assert errors["tract"] < 1e-5
    assert errors["plain"] > 1e-2  # once this fails, tract is mended: simplify its profile


def with_c0(proto):
    proto.graph.node[0].input.append("c0")
    proto.graph.input.append(
        helper.make_tensor_value_info("c0", TensorProto.FLOAT, [1, "batch", HIDDEN])
    )
    return proto


def test_mnn_is_silently_wrong_unless_rewritten(tmp_path):
    need("mnn")
    turned = layer("GRU", "reverse", states=True)
    last = layer("GRU", "forward", states=True)
    last.graph.node[0].output[0] = ""
    del last.graph.output[0]
    for proto, output in ((turned, "y"), (last, "hn")):
        arrays = feeds(proto)
        onnx.save(proto, tmp_path / "plain.onnx")
        portable.rewrite(tmp_path / "plain.onnx", tmp_path / "mnn.onnx", "mnn")
        expected = run(proto, arrays)[output]
        found = {}
        for name in ("plain", "mnn"):
            with Worker(Job("mnn", "onnx", tmp_path / f"{name}.onnx", None)) as worker:
                found[name] = worker(arrays)[output]
        np.testing.assert_allclose(found["mnn"], expected, atol=1e-5)
        plain = found["plain"]  # once this fails, MNN is mended: simplify its profile
        assert plain.shape != expected.shape or np.abs(plain - expected).max() > 1e-2


@pytest.mark.parametrize("engine", ["mnn", "opencv"])
@pytest.mark.parametrize("kind", GATES)
def test_one_file_takes_any_shape(tmp_path, engine, kind):
    need(engine)
    proto = layer(kind, "bidirectional", relu=False)
    onnx.save(proto, tmp_path / "plain.onnx")
    portable.rewrite(tmp_path / "plain.onnx", tmp_path / "open.onnx", engine)
    rng = np.random.default_rng(2)
    with Worker(Job(engine, "onnx", tmp_path / "open.onnx", None)) as worker:
        for shape in ((5, 2), (1, 2), (5, 1), (1, 1), (9, 3), (5, 2)):
            arrays = {"x": rng.standard_normal((*shape, 4)).astype(np.float32)}
            outputs = worker(arrays)
            for name, array in run(proto, arrays).items():
                np.testing.assert_allclose(outputs[name], array, atol=1e-6)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("mnn", r"is not ONNX that MNN [\d.]+ runs \(.*Scan\): export with --for mnn"),
        ("opencv", r"is not ONNX that OpenCV [\d.]+ reads \(Scan: .*\): export with --for opencv"),
    ],
)
def test_what_an_engine_lacks_is_one_line(tmp_path, capfd, engine, message):
    need(engine)
    onnx.save(scanned(), tmp_path / "plain.onnx")
    load = runtimes.get(engine).load
    with pytest.raises(RnnbenchError, match=message) as caught:
        load(None, tmp_path / "plain.onnx")
    assert "\n" not in str(caught.value)
    (tmp_path / "bad.onnx").write_bytes(b"no file")
    with pytest.raises(RnnbenchError, match="is not ONNX"):
        load(None, tmp_path / "bad.onnx")
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_mnn_says_nothing_and_leaves_its_tools_alone(tmp_path, capfd):
    need("mnn")
    proto = with_c0(layer("LSTM", "forward", states=True))
    onnx.save(proto, tmp_path / "plain.onnx")
    loaded = runtimes.get("mnn").load(None, tmp_path / "plain.onnx", threads=1)
    arrays = feeds_with_c0(proto)
    np.testing.assert_allclose(loaded(arrays)["cn"], run(proto, arrays)["cn"], atol=1e-6)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    assert "MNN.tools" not in sys.modules  # it installs packages, and sends what was converted


def test_what_mnn_prints_at_a_call_is_the_error(tmp_path, capfd):
    need("mnn")
    made = helper.make_tensor_value_info
    values = [made(name, TensorProto.FLOAT, [f"rows of {name}", 2]) for name in "aby"]
    add = helper.make_node("Add", ["a", "b"], ["y"])
    graph = helper.make_graph([add], "made", values[:2], values[2:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(proto, tmp_path / "plain.onnx")
    loaded = runtimes.get("mnn").load(None, tmp_path / "plain.onnx")
    ones = np.ones((3, 2), np.float32)
    assert loaded({"a": ones, "b": ones})["y"].tolist() == [[2, 2]] * 3
    with pytest.raises(RnnbenchError, match=r"Broad cast error, dim1 = \d, dim2 = \d"):
        loaded({"a": ones, "b": ones[:2]})
    assert capfd.readouterr() == ("", "")


def feeds_with_c0(proto):
    given = proto.__class__()
    given.CopyFrom(proto)
    del given.graph.input[-1]
    return feeds(given) | {"c0": np.zeros((1, ROWS, HIDDEN), np.float32)}


def test_what_is_not_installed_is_a_row_with_its_remedy(bundles, monkeypatch):
    bundle = bundles("embedding", num_layers=2)
    for engine in ENGINES:
        take_away(monkeypatch, engine, "pip install it")
    report = rnnbench.check(
        bundle, options=CheckOptions(CaseSelection("full", only=("traced",)), isolation=None)
    )
    for engine in ENGINES:
        rows = [row for row in report.rows if row.runtime == engine]
        assert {(row.verdict, row.reason) for row in rows} == {("not run", "pip install it")}


def test_a_file_with_fixed_sizes_gets_the_cases_of_these_sizes(tmp_path):
    model = variants.model("gru", variants.Options(5, 4), bundle_name="made")
    pin = {"batch": 2, "time": 1}
    bundle = rnnbench.export(model, ("onnx",), tmp_path, profile="portable", pin=pin)
    assert bundle.artifacts["portable"].details["pinned"] == pin
    report = rnnbench.check(bundle)
    assert report.ok
    ran = {r.case for r in report.results if r.format == "portable"}
    assert ran == {"pinned", "stream-1", WEIGHTS}
    bundle = rnnbench.export(model, ("onnx",), tmp_path, profile="portable", pin={"time": 11})
    report = rnnbench.check(bundle)
    assert {r.case for r in report.results if r.format == "portable"} >= {"pinned"}
    assert report.ok


def test_a_file_for_one_engine_is_not_for_another(tmp_path):
    model = variants.model("gru", variants.Options(5, 4), bundle_name="made")
    bundle = rnnbench.export(model, ("onnx",), tmp_path, profile="emx")
    report = rnnbench.check(
        bundle, options=CheckOptions(CaseSelection("full", only=("traced",)), isolation=None)
    )
    by = {row.runtime.partition(":")[0] for row in report.rows if row.format == "portable"}
    assert by == {"emx", "onnxruntime"}


def test_the_command_line(tmp_path):
    file = tmp_path / "model.py"
    file.write_text(
        "import torch\nfrom rnnbench import Model, TensorSpec\n"
        "def build():\n"
        "    return Model(torch.nn.GRU(3, 2), (TensorSpec('x', ('time', 'batch', 3)),),"
        " ('y', 'hn'), name='mine')\n"
    )
    run = CliRunner().invoke
    out = str(tmp_path / "out")
    options = [str(file), "--format", "onnx", "--out", out]
    done = run(export_command, [*options, "--for", "tract", "--pin", "batch=2, time=4"])
    assert done.exception is None, done.output
    details = rnnbench.Bundle.open(f"{out}/mine").artifacts["portable"].details
    assert (details["profile"], details["pinned"]) == ("tract", {"batch": 2, "time": 4})
    for wrong, message in (
        (["--for", "xla"], "unknown runtime for --for 'xla': choose from portable, emx"),
        (["--profile", "x"], "unknown profile 'x'"),
        (["--profile", "portable", "--for", "emx"], "give one of them"),
        (["--pin", "batch=0"], "--pin 'batch=0': give a dimension and its size"),
        (["--for", "emx", "--pin", "rows=2"], "unknown dimension 'rows': choose from time, batch"),
    ):
        done = run(export_command, [*options, *wrong])
        assert isinstance(done.exception, RnnbenchError)
        assert message in str(done.exception)


def test_every_engine_says_what_it_pins():
    assert runtimes.get("iree").pins()
    assert runtimes.get("emx").pins()
    assert runtimes.get("tract").pins("pinned")
    assert not runtimes.get("tract").pins()
    assert not runtimes.get("onnxruntime").pins()


def test_a_module_of_ones_own(tmp_path):
    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.GRU(3, 2, bidirectional=True)

        def forward(self, x):
            return self.rnn(x)[0]

    spec = TensorSpec("x", ("time", "batch", 3))
    bundle = rnnbench.export(
        Model(Both(), (spec,), ("y",), name="both"), ("onnx",), tmp_path, profile="portable"
    )
    assert rnnbench.check(bundle, ["onnxruntime"]).ok

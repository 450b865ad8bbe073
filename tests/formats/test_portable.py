"""The portable form of ONNX: each rewrite keeps what a graph computes, and engines run it right."""

import sys

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec, runtimes
from rnnbench.checking.case_selection import CaseSelection
from rnnbench.checking.check import CheckOptions
from rnnbench.commands.export import command as export_command
from rnnbench.formats.onnx import profiles as portable
from rnnbench.formats.onnx.rewrites import layers as onnx_rewrites
from rnnbench.formats.onnx.rewrites import unroll_scan as onnx_unroll
from rnnbench.formats.onnx.rewrites.values import make_explicit_values
from rnnbench.models import variants
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.worker import Worker
from tests.helpers.altered import take_away

ENGINES = ("openvino", "tract", "iree", "emx", "mnn", "opencv")
PINNED = ("tract", "mnn", "opencv")  # in a mode: they also take any shape
HIDDEN, ROWS, STEPS = 3, 2, 5
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
GRU_TANH = 1e-5  # onnxruntime has another tanh in a GRU than in an RNN


def layer(
    kind, direction, *, lengths=False, states=False, dims=("time", "batch"), relu=True, layout=0
):
    """A graph of one recurrent node with all its outputs."""
    rng = np.random.default_rng(0)
    n = 2 if direction == "bidirectional" else 1
    size = GATES[kind] * HIDDEN
    shapes = {"W": (n, size, 4), "R": (n, size, HIDDEN), "B": (n, 2 * size)}
    weights = {
        name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()
    }
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [*dims, 4])]
    names = ["x", "W", "R", "B", "lengths" if lengths else "", ""]
    if lengths:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [dims[1]]))
    if states:
        names[5] = "h0"
        inputs.append(helper.make_tensor_value_info("h0", TensorProto.FLOAT, [n, dims[1], HIDDEN]))
    outputs = ["y", "hn", "cn"][: 3 if kind == "LSTM" else 2]
    extra = {"linear_before_reset": 1} if kind == "GRU" else {}
    if kind == "RNN" and relu:
        extra = {"activations": ["Relu", "Tanh"][:n]}
    if layout:  # batch first; the shapes here are not
        extra["layout"] = layout
    node = helper.make_node(
        kind, names, outputs, hidden_size=HIDDEN, direction=direction, name="layer", **extra
    )
    shapes = {"y": [dims[0], n, dims[1], HIDDEN]}
    values = [
        helper.make_tensor_value_info(o, TensorProto.FLOAT, shapes.get(o, [n, dims[1], HIDDEN]))
        for o in outputs
    ]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph([node], "made", inputs, values, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def feeds(proto):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((STEPS, ROWS, 4)).astype(np.float32)
    n = next(i.dims[0] for i in proto.graph.initializer if i.name == "W")
    given = {
        "x": x,
        "lengths": np.array([STEPS, 2], np.int32),
        "h0": rng.standard_normal((n, ROWS, HIDDEN)).astype(np.float32),
    }
    return {value.name: given[value.name] for value in proto.graph.input}


def run(proto, arrays):
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString())
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, arrays), strict=True))


def same(proto, changed, arrays, atol=1e-6):
    expected, got = run(proto, arrays), run(changed, arrays)
    assert list(got) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, atol=atol)


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    "given", [{}, {"lengths": True}, {"states": True}, {"lengths": True, "states": True}]
)
@pytest.mark.parametrize("profile", ["portable", "tract", "emx"])
def test_a_rewritten_layer_computes_the_same(tmp_path, kind, direction, given, profile):
    proto = layer(kind, direction, **given)
    arrays = feeds(proto)
    onnx.save(proto, tmp_path / "plain.onnx")
    portable.rewrite(tmp_path / "plain.onnx", tmp_path / "open.onnx", profile)
    same(proto, onnx.load(tmp_path / "open.onnx"), arrays)
    fixed = portable.pinned(tmp_path / "open.onnx", {n: a.shape for n, a in arrays.items()})
    same(proto, fixed, arrays)
    sizes = {"batch": ROWS, "time": STEPS}
    said = portable.rewrite(tmp_path / "plain.onnx", tmp_path / "fixed.onnx", profile, sizes)
    assert said["pinned"] == sizes
    same(proto, onnx.load(tmp_path / "fixed.onnx"), arrays)
    if profile in ("portable", "emx"):
        assert {
            a.s for n in fixed.graph.node for a in n.attribute if a.name == "direction"
        } == set()


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("profile", ["mnn", "opencv"])
def test_a_layer_for_mnn_and_opencv_computes_the_same(tmp_path, kind, direction, states, profile):
    proto = layer(kind, direction, states=states, relu=False)
    arrays = feeds(proto)
    atol = GRU_TANH if (kind, profile) == ("RNN", "opencv") else 1e-6
    onnx.save(proto, tmp_path / "plain.onnx")
    portable.rewrite(tmp_path / "plain.onnx", tmp_path / "open.onnx", profile)
    changed = onnx.load(tmp_path / "open.onnx")
    same(proto, changed, arrays, atol)
    assert ("RNN" in kinds(changed)) == (kind == "RNN" and profile == "mnn")
    fixed = portable.pinned(
        tmp_path / "plain.onnx", {n: a.shape for n, a in arrays.items()}, profile
    )
    same(proto, fixed, arrays, atol)
    layers = [node for node in fixed.graph.node if node.op_type in GATES]
    assert len(layers) == (2 if direction == "bidirectional" else 1)
    for node in layers:
        assert len(node.output) == (3 if node.op_type == "LSTM" else 2)
        assert all(node.output)


@pytest.mark.parametrize("lengths", [False, True])
def test_a_tanh_layer_is_exactly_a_gru_with_shut_and_open_gates(lengths):
    proto = layer("RNN", "bidirectional", lengths=lengths, states=True, relu=False)
    model = ir.from_proto(proto)
    onnx_rewrites.turn_into_gru(model)
    assert kinds(ir.to_proto(model)) == ["GRU"]
    same(proto, ir.to_proto(model), feeds(proto), GRU_TANH)


@pytest.mark.parametrize("profile", ["mnn", "opencv"])
@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (
            "GRU",
            {"lengths": True, "layout": 1},
            r"the GRU 'layer' has lengths \(lengths\), which this engine",
        ),
        ("RNN", {}, r"the RNN 'layer' has activations of its own \(relu\), which this engine"),
    ],
)
def test_what_an_engine_would_ignore_is_refused(tmp_path, profile, kind, given, message):
    onnx.save(layer(kind, "forward", **given), tmp_path / "plain.onnx")
    with pytest.raises(RnnbenchError, match=message):
        portable.rewrite(tmp_path / "plain.onnx", tmp_path / "x.onnx", profile)


@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [False, True])
def test_split_and_turned_with_dynamic_sizes(direction, lengths):
    proto = layer("LSTM", direction, lengths=lengths)
    model = ir.from_proto(proto)
    onnx_rewrites.split_directions(model)
    onnx_rewrites.turn_forward(model)
    layers = [node for node in model.graph if node.op_type == "LSTM"]
    assert {node.attributes["direction"].as_string() for node in layers} == {"forward"}
    same(proto, ir.to_proto(model), feeds(proto))


def scanned(steps="time", directions=(0, 1), out=(0, 1), axis=0):
    """Two sequences, one from its end, summed into a state; a result of the outer graph inside."""
    shape = [steps, ROWS] if axis == 0 else [ROWS, steps]
    made = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Add", ["s", "a"], ["t"], name="n1"),
            helper.make_node("Mul", ["t", "scale"], ["u"], name="n2"),
            helper.make_node("Sub", ["u", "b"], ["next"], name="n3"),
            helper.make_node("Identity", ["t"], ["o1"], name="n4"),
            helper.make_node("Tanh", ["next"], ["o2"], name="n5"),
        ],
        "body",
        [made(n, TensorProto.FLOAT, [ROWS]) for n in ("s", "a", "b")],
        [made(n, TensorProto.FLOAT, [ROWS]) for n in ("next", "o1", "o2")],
    )
    node = helper.make_node(
        "Scan",
        ["s0", "x", "z"],
        ["sn", "p", "q"],
        name="loop",
        body=body,
        num_scan_inputs=2,
        scan_input_axes=[axis, axis],
        scan_input_directions=directions,
        scan_output_axes=[axis, axis],
        scan_output_directions=out,
    )
    graph = helper.make_graph(
        [helper.make_node("Exp", ["half"], ["scale"], name="e"), node],
        "made",
        [made("s0", TensorProto.FLOAT, [ROWS]), *(made(n, TensorProto.FLOAT, shape) for n in "xz")],
        [made("sn", TensorProto.FLOAT, [ROWS]), *(made(n, TensorProto.FLOAT, shape) for n in "pq")],
        [onnx.numpy_helper.from_array(np.float32([-0.5, 0.2]), "half")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("directions", "out"), [((0, 0), (0, 0)), ((0, 1), (1, 0))])
def test_an_unrolled_scan_computes_the_same(tmp_path, axis, directions, out):
    proto = scanned(directions=directions, out=out, axis=axis)
    rng = np.random.default_rng(0)
    shape = (STEPS, ROWS) if axis == 0 else (ROWS, STEPS)
    arrays = {n: rng.standard_normal(shape).astype(np.float32) for n in "xz"}
    arrays["s0"] = np.float32([1, -1])
    onnx.save(proto, tmp_path / "plain.onnx")
    portable.rewrite(tmp_path / "plain.onnx", tmp_path / "open.onnx")
    assert "Scan" in kinds(onnx.load(tmp_path / "open.onnx"))  # its length is not known yet
    portable.rewrite(tmp_path / "plain.onnx", tmp_path / "fixed.onnx", sizes={"time": STEPS})
    fixed = onnx.load(tmp_path / "fixed.onnx")
    assert "Scan" not in kinds(fixed)
    same(proto, fixed, arrays)


def test_a_scan_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_unroll, "_MOST_NODES", 10)
    onnx.save(scanned(), tmp_path / "plain.onnx")
    with pytest.raises(
        RnnbenchError, match="nodes each are too many to unroll: pin a shorter time"
    ):
        portable.rewrite(tmp_path / "plain.onnx", tmp_path / "x.onnx", sizes={"time": 5})


def kinds(proto):
    return [node.op_type for node in proto.graph.node]


def test_values_are_explicit():
    shape = onnx.numpy_helper.from_array(np.array([2, 3]), "shape")
    node = helper.make_node("ConstantOfShape", ["shape"], ["y"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    model = ir.from_proto(helper.make_model(helper.make_graph([node], "made", [], [out], [shape])))
    make_explicit_values(model)
    assert model.graph[0].attributes["value"].as_tensor().numpy() == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"profile": "xla"}, "unknown profile 'xla': choose from portable, emx"),
        ({"sizes": {"rows": 2}}, "unknown dimension 'rows': choose from time, batch"),
        ({"sizes": {"time": 0}}, "dimension time=0: give 1 or more"),
    ],
)
def test_a_wrong_wish_is_one_line(tmp_path, given, message):
    onnx.save(layer("GRU", "forward"), tmp_path / "plain.onnx")
    with pytest.raises(RnnbenchError, match=message):
        portable.rewrite(tmp_path / "plain.onnx", tmp_path / "x.onnx", **given)
    assert not (tmp_path / "x.onnx").exists()


def test_a_shape_that_the_file_has_not(tmp_path):
    onnx.save(layer("GRU", "forward", dims=("time", 2)), tmp_path / "plain.onnx")
    for shape in ((5, 2), (5, 3, 4)):
        with pytest.raises(RnnbenchError, match="input 'x' has shape"):
            portable.pinned(tmp_path / "plain.onnx", {"x": shape})
    (tmp_path / "plain.onnx").write_bytes(b"no file")
    with pytest.raises(RnnbenchError, match="is not ONNX"):
        portable.pinned(tmp_path / "plain.onnx", {})


# -- the engines ----------------------------------------------------------------------------------


def need(engine):
    missing = runtimes.get(engine).missing()
    if missing:
        pytest.skip(missing)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A name -> its bundle with both forms of ONNX."""
    known = {}

    def get(name, **more):
        key = (name, *more.items())
        if key not in known:
            ids = variants.reads(name) == "ids"
            loop = more.get("keep_loops", False)
            sizes = {k: v for k, v in more.items() if k != "keep_loops"}
            options = variants.Options(5, 4, output_size=4, vocabulary=9 if ids else None, **sizes)
            model = variants.model(name, options, bundle_name="made")
            known[key] = rnnbench.export(
                model,
                formats=("onnx",),
                profile="portable",
                keep_loops=loop,
                out=tmp_path_factory.mktemp("made"),
            )
        return known[key]

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
    assert ran == {"pinned", "stream-1"}
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

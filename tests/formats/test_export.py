"""Model -> Bundle: the graphs, their names, and what stays as it was when something fails."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.core.known_warnings import torchscript_deprecation
from rnnbench.formats.onnx import saving
from rnnbench.models import variants
from rnnbench.models.variants import Options

X = TensorSpec("x", ("time", "batch", 3))


class Net(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.rnn = layer

    def forward(self, x):
        return self.rnn(x)[0]


def exported(module, tmp_path, **options):
    model = Model(module, (X,), ("y",), name="net")
    return rnnbench.export(model, out=tmp_path, **options)


def graph_of(bundle):
    return onnx.load(bundle.artifacts["onnx"].path)


@pytest.mark.parametrize(
    ("layer", "operator"), [(nn.RNN, "RNN"), (nn.GRU, "GRU"), (nn.LSTM, "LSTM")]
)
def test_a_fused_layer_is_one_node_with_plain_weights(layer, operator, tmp_path):
    graph = graph_of(exported(Net(layer(3, 4)), tmp_path, formats=("onnx",))).graph
    assert [n.op_type for n in graph.node] == [operator, "Squeeze"]
    node = graph.node[0]
    initializers = {i.name for i in graph.initializer}
    assert set(node.input[1:4]) <= initializers
    assert len(node.input) == 4  # no lengths, no zero state
    if operator == "GRU":
        assert {a.name: a.i for a in node.attribute}["linear_before_reset"] == 1


@pytest.mark.parametrize("form", ["elman", "gru", "lstm"])
def test_a_cell_loop_becomes_the_same_operators_as_the_fused_layer(form, tmp_path):
    counts = []
    for name in (form, f"{form}-loop"):
        model = variants.model(name, Options(input_size=3, hidden_size=4), bundle_name=name)
        nodes = graph_of(rnnbench.export(model, ("onnx",), tmp_path)).graph.node
        counts.append([n.op_type for n in nodes if n.op_type in ("RNN", "GRU", "LSTM", "Scan")])
    assert counts[0] == counts[1]
    assert len(counts[0]) == 1


def test_keep_loops_leaves_a_scan(tmp_path):
    model = variants.model("gru-loop", Options(input_size=3), bundle_name="kept")
    bundle = rnnbench.export(model, out=tmp_path, keep_loops=True)
    assert [n.op_type for n in graph_of(bundle).graph.node].count("Scan") == 1
    assert bundle.manifest["recurrences"][0]["representation"] == "scan"
    assert rnnbench.check(bundle, isolate=False).ok


def test_names_are_the_models_own(tmp_path):
    mels = TensorSpec("mels", ("clips", "frames", 3))
    net = Net(nn.GRU(3, 4, batch_first=True))
    model = Model(net, (mels,), ("scores",), batch_dim="clips", time_dim="frames")
    proto = graph_of(rnnbench.export(model, ("onnx",), tmp_path))

    def dims(value):
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    assert [(i.name, dims(i)) for i in proto.graph.input] == [("mels", ["clips", "frames", 3])]
    assert [(o.name, dims(o)) for o in proto.graph.output] == [("scores", ["clips", "frames", 4])]


def test_every_file_says_what_it_is(tmp_path):
    model = variants.model("gru", Options(input_size=3), bundle_name="said")
    said = {"task": "hello", "variant": "gru"}
    bundle = rnnbench.export(model, ("onnx", "torchscript", "pt2"), tmp_path, metadata=said)
    proto = graph_of(bundle)
    in_onnx = {p.key: p.value for p in proto.metadata_props}
    extra = {"rnnbench": ""}
    with torchscript_deprecation():
        torch.jit.load(str(bundle.artifacts["torchscript"].path), _extra_files=extra)
    assert proto.producer_name == "rnnbench"
    assert in_onnx == json.loads(extra["rnnbench"])
    assert in_onnx["task"] == "hello"
    assert in_onnx["variant"] == "gru"
    assert in_onnx["version"] == rnnbench.__version__
    assert in_onnx["weights_sha256"] == bundle.manifest["sha256"]


@pytest.mark.parametrize("opset", [17, 18, 19, 20, 21])
def test_opsets(opset, tmp_path):
    bundle = exported(Net(nn.LSTM(3, 4, 2, bidirectional=True)), tmp_path, opset=opset)
    assert {o.domain: o.version for o in graph_of(bundle).opset_import} == {"": opset}
    assert rnnbench.check(bundle, isolate=False).ok


@pytest.mark.parametrize("opset", [16, 22])
def test_other_opsets_are_refused(opset, tmp_path):
    with pytest.raises(RnnbenchError, match="choose from 17 to 21"):
        exported(Net(nn.GRU(3, 4)), tmp_path, formats=("onnx",), opset=opset)
    assert not list(tmp_path.iterdir())


def test_large_weights_go_beside_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "_ONE_FILE_BYTES", 100)
    bundle = exported(Net(nn.GRU(3, 64)), tmp_path)
    assert (bundle.path / bundle.artifacts["onnx"].details["external_data"]).stat().st_size > 10_000
    assert rnnbench.check(bundle, isolate=False).ok


def test_the_file_runs_without_rnnbench(tmp_path):
    net = Net(nn.GRU(3, 4))
    path = exported(net, tmp_path).artifacts["onnx"].path
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((11, 2, 3)).astype("float32")
    (y,) = session.run(["y"], {"x": x})
    with torch.no_grad():
        np.testing.assert_allclose(y, net(torch.from_numpy(x)).numpy(), atol=1e-6)


def test_plain_pytorch_loads_what_is_for_it(tmp_path):
    """Without rnnbench, at sizes that were not traced."""
    net = Net(nn.GRU(3, 4))
    bundle = rnnbench.export(Model(net, (X,), ("y",)), ("pt2", "torchscript"), tmp_path)
    x = torch.randn(11, 2, 3)
    torch.save(x, tmp_path / "x.pt")
    script = (
        "import sys, torch; sys.modules['rnnbench'] = None; x = torch.load(sys.argv[1]);"
        "a = torch.export.load(sys.argv[2]).module()(x); b = torch.jit.load(sys.argv[3])(x);"
        "torch.save([torch.utils._pytree.tree_leaves(y)[0] for y in (a, b)], sys.argv[4])"
    )
    files = [bundle.artifacts[name].path for name in ("pt2", "torchscript")]
    words = [tmp_path / "x.pt", *files, tmp_path / "y.pt"]
    subprocess.run([sys.executable, "-c", script, *map(str, words)], check=True)
    with torch.no_grad():
        for y in torch.load(tmp_path / "y.pt"):
            torch.testing.assert_close(y, net(x), atol=1e-6, rtol=0)


def test_dropout_is_said_to_be_left_out(tmp_path):
    net = Net(nn.LSTM(3, 4, 2, dropout=0.5)).train()
    assert exported(net, tmp_path).manifest["notes"] == [
        "exported in evaluation mode, without the dropout in rnn"
    ]
    assert exported(Net(nn.LSTM(3, 4)), tmp_path).manifest["notes"] == []


class WithoutItsMask(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x, mask=None):
        return mask, self.rnn(x)[0], x.size(0)


def test_what_is_no_tensor_is_left_out_and_said(tmp_path):
    bundle = exported(WithoutItsMask(), tmp_path)
    assert bundle.manifest["notes"] == [
        "exported without what the module returns beside tensors: None, int"
    ]
    assert [output.name for output in graph_of(bundle).graph.output] == ["y"]


@pytest.mark.parametrize("variant", ["gru-loop", "lstm"])
def test_outputs_have_their_names_in_openvino(variant, tmp_path):
    """A port there has every name of what is one tensor: a state's, and its node's."""
    pytest.importorskip("openvino", reason='pip install "rnnbench[openvino]"')
    vocabulary = 9 if variants.reads(variant) == "ids" else None
    options = Options(5, 4, 1, vocabulary=vocabulary)
    bundle = rnnbench.export(
        variants.model(variant, options, bundle_name=variant), ("onnx",), tmp_path
    )
    report = rnnbench.check(bundle, ["openvino"], isolate=False)
    assert report.ok, report.rows


class ScoresByRank(nn.Module):
    """Has no ONNX form."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 3)

    def forward(self, x):
        return torch.linalg.qr(self.rnn(x)[0].mean(0))[1].abs()


def test_one_format_without_a_form_does_not_stop_the_others(tmp_path):
    model = Model(ScoresByRank(), (X,), ("y",))
    bundle = rnnbench.export(model, ("torchscript", "onnx"), tmp_path)
    assert set(bundle.artifacts) == {"torchscript"}
    assert "has no ONNX form" in bundle.manifest["failed"]["onnx"]
    assert "\n" not in bundle.manifest["failed"]["onnx"]
    assert not (bundle.path / "model.onnx").exists()
    report = rnnbench.check(bundle, isolate=False)
    assert not report.ok
    assert {r.verdict for r in report.rows if r.format == "torchscript"} == {"same"}


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


class Raises(Net):
    def __init__(self, error):
        super().__init__(nn.GRU(3, 4))
        self.error = error

    def forward(self, x):
        if torch.compiler.is_exporting():
            raise self.error
        return super().forward(x)


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_a_failed_export_leaves_the_bundle_and_the_module(error, tmp_path):
    bundle = exported(Net(nn.GRU(3, 4)), tmp_path)
    before = digests(bundle.path)
    module = Raises(error).train()
    module.rnn.eval()
    weights = {k: v.clone() for k, v in module.state_dict().items()}
    forwards = [layer.forward for layer in (nn.RNN, nn.GRU, nn.LSTM)]
    with pytest.raises((RnnbenchError, KeyboardInterrupt)) as caught:
        exported(module, tmp_path)
    if isinstance(error, ValueError):
        assert "broken" in str(caught.value)
        assert "test_export.py:" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert digests(bundle.path) == before
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["net"]
    assert (module.training, module.rnn.training) == (True, False)
    assert [layer.forward for layer in (nn.RNN, nn.GRU, nn.LSTM)] == forwards
    assert all(torch.equal(weights[k], v) for k, v in module.state_dict().items())


class LengthInPython(nn.Module):
    """Computes with the length in a way that no graph can follow."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 3)

    def forward(self, x):
        y = self.rnn(x)[0]
        return y * float(f"{x.size(0) ** 0.5:.3f}")


def test_a_frozen_model_only_where_it_is_allowed(tmp_path):
    with pytest.raises(RnnbenchError, match=r"test_export\.py|length"):
        exported(LengthInPython(), tmp_path)
    bundle = exported(LengthInPython(), tmp_path, allow_frozen=True)
    assert bundle.manifest["frozen"] == ["time"]
    assert {c["dims"]["time"] for c in bundle.manifest["cases"]} == {bundle.traced["time"]}
    assert rnnbench.check(bundle, isolate=False).ok


def test_formats_are_named(tmp_path):
    with pytest.raises(RnnbenchError, match="choose from"):
        exported(Net(nn.GRU(3, 4)), tmp_path, formats=("onnyx",))
    with pytest.raises(RnnbenchError, match="no format given"):
        exported(Net(nn.GRU(3, 4)), tmp_path, formats=())


def test_bad_options_leave_the_bundle_and_take_no_time(tmp_path):
    net = Net(nn.GRU(3, 4))
    exported(net, tmp_path)
    before = sorted(p.name for p in (tmp_path / "net").iterdir())
    with pytest.raises(RnnbenchError, match="opset 22: choose from 17 to 21"):
        exported(net, tmp_path, formats=("torchscript", "onnx"), opset=22)
    assert sorted(p.name for p in (tmp_path / "net").iterdir()) == before
    with pytest.raises(RnnbenchError, match=r"takes a rnnbench\.Model, not a Net"):
        rnnbench.export(net)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TensorSpec("x", "batch"), "must be a tuple"),
        (lambda: Model(nn.Linear(1, 1), (X,), "y"), "outputs='y' must be a tuple"),
        (lambda: Model(nn.Linear(1, 1), X, ("y",)), "must be a tuple"),
        (
            lambda: Model(
                nn.GRU(3, 4),
                (TensorSpec("x", ("frames", "batch", 3)), TensorSpec("h", (1, "batch", 4))),
                ("y", "hn"),
                states={"h": "hn"},
            ),
            "give time_dim='frames'",
        ),
    ],
)
def test_a_declaration_that_cannot_be_meant(make, words):
    with pytest.raises(RnnbenchError) as caught:
        make()
    assert words in str(caught.value)

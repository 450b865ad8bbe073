"""Weights in fewer bits in ONNX: right by the rule, small, and folded where they are loaded."""

import json

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec, runtimes
from rnnbench.checking.check import check
from rnnbench.checking.report import WEIGHTS
from rnnbench.formats import onnx as onnx_format
from rnnbench.formats.onnx.profiles import pinned, rewrite
from rnnbench.inspection.weights import kept_small, read_weights
from rnnbench.models.precision import WHOLE, in_fewer_bits, round_weights
from tests.helpers.tagger import tagger

PRECISIONS = [p for p in onnx_format.FORMAT.precisions if p not in WHOLE]
STORED = {
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "int8-weights": TensorProto.INT8,
}
LSTM_RATIO = {"float16": 0.51, "bfloat16": 0.51, "int8-weights": 0.27}


def layer(*sizes, kind="LSTM", **more):
    torch.manual_seed(0)
    module = getattr(nn, kind)(*sizes, batch_first=True, **more).eval()

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = module

        def forward(self, x):
            return self.rnn(x)[0]

    return Model(Layer().eval(), (TensorSpec("x", ("batch", "time", sizes[0])),), ("y",))


def streamed():
    torch.manual_seed(0)
    specs = TensorSpec("x", ("batch", "time", 5)), TensorSpec("h", (1, "batch", 9), role="state")
    module = nn.GRU(5, 9, batch_first=True).eval()
    return Model(module, specs, ("y", "hn"), states={"h": "hn"})


def weights_row(report, name="onnx"):
    (row,) = [r for r in report.rows if r.output == WEIGHTS and r.format == name]
    return row


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_model_is_right_with_its_rounded_weights(precision, kind, tmp_path):
    model = tagger(kind, cell=False)
    before = {name: p.clone() for name, p in model.module.named_parameters()}
    bundle = rnnbench.export(model, ("onnx",), tmp_path, precision=precision)
    assert all(torch.equal(p, before[name]) for name, p in model.module.named_parameters())
    report = check(bundle, ["onnxruntime", "eager"], model=model, isolate=False)
    wrong = [(r.output, r.verdict, r.reason) for r in report.rows if r.verdict != "same"]
    assert not wrong, wrong
    assert weights_row(report).reason == ""
    said = bundle.artifacts["onnx"].details
    assert said["precision"] == precision
    assert said["weights"] == bundle.manifest["precision"]["weights"]
    graph = onnx.load(str(bundle.artifacts["onnx"].path)).graph
    small = [t for t in graph.initializer if t.data_type == STORED[precision]]
    assert sum(int(np.prod(t.dims)) for t in small) == said["weights"]
    floats = [t for t in graph.initializer if t.data_type == TensorProto.FLOAT]
    assert sum(int(np.prod(t.dims)) for t in floats) < 0.25 * said["weights"]
    hazards = rnnbench.inspect(bundle.artifacts["onnx"].path).hazards
    assert "foldable_weights" not in {hazard.name for hazard in hazards}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_size_of_a_large_layer(precision, tmp_path):
    model = layer(256, 512)
    sizes = [
        rnnbench.export(model, ("onnx",), tmp_path, profile="tract", precision=p).artifacts
        for p in (None, precision)
    ]
    for name in ("onnx", "portable"):
        if precision == "bfloat16" and name == "portable":
            continue
        before, after = (artifacts[name].details["bytes"] for artifacts in sizes)
        assert after <= LSTM_RATIO[precision] * before, name


@pytest.mark.parametrize("precision", PRECISIONS)
def test_onnxruntime_computes_weights_back_once(precision, tmp_path):
    import onnxruntime

    path = (
        rnnbench.export(tagger(cell=False), ("onnx",), tmp_path, precision=precision)
        .artifacts["onnx"]
        .path
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "folded.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(str(tmp_path / "folded.onnx")).graph
    left = [t for t in graph.initializer if t.data_type == STORED[precision]]
    assert not left
    names = {t.name for t in graph.initializer}
    casts = [n for n in graph.node if n.op_type in ("Cast", "Mul") and {*n.input} <= names]
    assert not casts


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.sampled_from(PRECISIONS),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_what_is_kept_is_the_rounded_weight_itself(shape, precision, seed, turned):
    torch.manual_seed(seed)
    module = nn.Module()
    factors = 10.0 ** torch.randint(-4, 4, (shape[0], *[1] * (len(shape) - 1)))
    module.w = nn.Parameter(torch.randn(shape) * factors)
    if len(shape) == 2:
        module = nn.Linear(shape[1], shape[0])
        module.weight.data *= factors
        module.weight.data[0] *= 0
    round_weights(module, precision)
    (weight,) = [p.detach() for p in module.parameters() if p.dim() > 1]
    weight = weight.transpose(0, -1) if turned else weight
    kept = in_fewer_bits(weight, precision)
    if kept is None:  # as many factors as numbers
        assert precision == "int8-weights"
        assert weight.numel() < 4 or 1 in shape
        return
    stored, steps = kept
    assert stored.shape == weight.shape
    found = stored.float() if steps is None else stored.float() * steps
    assert found.numpy().tobytes() == weight.contiguous().numpy().tobytes()


def test_what_was_not_rounded_is_not_taken_for_it():
    torch.manual_seed(0)
    for shape in ((64, 32), (1, 48, 12), (5, 4, 3, 3)):
        for precision in PRECISIONS:
            assert in_fewer_bits(torch.randn(shape), precision) is None


def replaced(bundle, change):
    path = bundle.artifacts["onnx"].path
    proto = onnx.load(str(path))
    change(proto)
    onnx.save(proto, str(path))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_file_whose_weights_are_float32_after_all_fails(precision, tmp_path):
    model = layer(5, 9)
    bundle = rnnbench.export(model, ("onnx",), tmp_path, precision=precision)
    path = bundle.artifacts["onnx"].path
    onnx.save(pinned(path, {}), str(path))  # computes the same, from weights in float32
    report = check(bundle, ["onnxruntime"], model=model, isolate=False)
    row = weights_row(report)
    assert row.verdict == "DIFFERS"
    assert row.reason.startswith("2 of 4 weights are float32 in the file, which is to keep them as")
    assert "rnn.weight_ih_l0, rnn.weight_hh_l0" in row.reason
    assert not report.ok
    assert all(r.verdict == "same" for r in report.rows if r.output != WEIGHTS)


@pytest.mark.parametrize("what", ["int8", "scale"])
def test_an_altered_number_is_found(what, tmp_path):
    model = layer(5, 9)
    bundle = rnnbench.export(model, ("onnx",), tmp_path, precision="int8-weights")

    def change(proto):
        (tensor,) = [t for t in proto.graph.initializer if t.name == f"rnn.W_l0_{what}"]
        array = numpy_helper.to_array(tensor).copy()
        array[0, 3] += 1
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    replaced(bundle, change)
    row = weights_row(check(bundle, ["onnxruntime"], model=model, isolate=False))
    assert row.verdict == "DIFFERS"
    assert "rnn.weight_ih_l0: 1 of 36 rows are others, the first 3" in row.reason


def test_weights_that_the_file_holds_computed_are_named(tmp_path):
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(5, 6, batch_first=True)
            self.head = nn.utils.parametrizations.weight_norm(nn.Linear(6, 9))

        def forward(self, x):
            return self.head(self.rnn(x)[0])

    torch.manual_seed(0)
    model = Model(Normed().eval(), (TensorSpec("x", ("batch", "time", 5)),), ("y",))
    bundle = rnnbench.export(model, ("onnx",), tmp_path, precision="float16")
    row = weights_row(check(bundle, ["onnxruntime"], model=model, isolate=False))
    assert row.verdict == "same"
    assert "not kept in fewer bits, since the file holds what is computed of them" in row.reason
    assert "head.parametrizations.weight.original1" in row.reason


def test_a_format_without_the_precision_says_so(tmp_path):
    bundle = rnnbench.export(layer(5, 9), ("onnx", "torchscript"), tmp_path, precision="float16")
    assert any(
        note.startswith("torchscript keeps the rounded weights as float32")
        for note in bundle.manifest["notes"]
    )
    assert "precision" not in bundle.artifacts["torchscript"].details


def test_the_form_for_engines_keeps_them_too(tmp_path):
    model = layer(5, 9, bidirectional=True)
    bundle = rnnbench.export(
        model, ("onnx",), tmp_path, profile="portable", precision="int8-weights"
    )
    for name in ("onnx", "portable"):
        path = bundle.artifacts[name].path
        graph = onnx.load(str(path)).graph
        sizes = [int(np.prod(t.dims)) for t in graph.initializer if t.data_type == TensorProto.INT8]
        assert sum(sizes) == bundle.manifest["precision"]["weights"], name
        assert len(kept_small(path)) == len(sizes)
        assert all(array.dtype != np.int8 for array in read_weights(path).values())
    other = tmp_path / "other.onnx"
    rewrite(bundle.artifacts["onnx"].path, other, "openvino")
    assert kept_small(other)
    report = check(bundle, ["onnxruntime"], model=model, isolate=False)
    assert all(row.verdict == "same" for row in report.rows)
    assert weights_row(report, "portable").reason == ""


@pytest.mark.parametrize("engine", ["openvino", "tract", "mnn", "emx", "opencv"])
@pytest.mark.parametrize("precision", ["float16", "int8-weights"])
def test_engines_run_them(engine, precision, tmp_path):
    missing = runtimes.get(engine).missing()
    if missing:
        pytest.skip(missing)
    model = streamed()
    bundle = rnnbench.export(model, ("onnx",), tmp_path, profile=engine, precision=precision)
    rows = [row for row in check(bundle, [engine]).rows if row.format == "portable"]
    verdicts = {str(row.verdict) for row in rows if row.output != WEIGHTS}
    assert "same" in verdicts
    assert verdicts <= {"same", "limit"}  # OpenCV takes no empty batch


def test_an_engine_without_bfloat16_is_refused(tmp_path):
    model = layer(5, 9)
    for profile in ("tract", "portable"):
        bundle = rnnbench.export(model, ("onnx",), tmp_path, profile=profile, precision="bfloat16")
        assert "onnx" in bundle.artifacts
        assert "tract loads no weights in bfloat16" in bundle.manifest["failed"]["portable"]
    bundle = rnnbench.export(model, ("onnx",), tmp_path, profile="openvino", precision="bfloat16")
    assert bundle.artifacts["portable"].details["precision"] == "bfloat16"


def test_weights_behind_dequantize_linear_are_what_they_stand_for(tmp_path):
    text = """
        <ir_version: 9, opset_import: ["" : 18]>
        g (float[n, 3] x) => (float[n, 2] y)
        <int8[2, 3] q = {1, -2, 3, 4, 5, -6}, float[2] s = {0.5, 0.25}, int8[2] z = {1, 0}> {
            w = DequantizeLinear <axis = 0> (q, s, z)
            y = Gemm <transB = 1> (x, w)
        }
    """
    path = tmp_path / "other.onnx"
    onnx.save(onnx.parser.parse_model(text), str(path))
    assert kept_small(path) == {"w"}
    found = read_weights(path)
    assert found.keys() == {"w"}
    assert np.array_equal(found["w"], np.float32([[0, -1.5, 1], [1, 1.25, -1.5]]))


def test_the_manifest_says_it(tmp_path):
    bundle = rnnbench.export(layer(5, 9), ("onnx",), tmp_path, precision="int8-weights")
    said = json.loads((bundle.path / "manifest.json").read_text())["artifacts"]["onnx"]
    assert (said["precision"], said["weights"]) == ("int8-weights", 4 * 9 * (5 + 9))

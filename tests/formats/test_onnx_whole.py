"""Products of whole numbers in ONNX: right by the rule, causal, row by row, and never saturated."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from torch import nn

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.checking.case_selection import CaseSelection
from rnnbench.checking.check import CheckOptions, check
from rnnbench.checking.report import VALUES, WEIGHTS
from rnnbench.core.verdicts import Verdict
from rnnbench.formats.onnx.integers import LEVELS
from rnnbench.inspection.evaluation import Evaluator
from rnnbench.inspection.unrounded import every_graph, save_unrounded
from rnnbench.models.precision import WHOLE, round_weights
from tests.helpers.tagger import tagger
from tests.helpers.tiers import examples
from tests.zoo import MODELS

INTEGER = "MatMulInteger"
FEW = [*MODELS][::38]
STORED = CheckOptions(CaseSelection(further=False, empty=False), isolation=None)


class Layer(nn.Module):
    def __init__(self, kind, *sizes, **options):
        super().__init__()
        self.rnn = getattr(nn, kind)(*sizes, batch_first=True, **options)

    def forward(self, x):
        return self.rnn(x)[0]


class Streamed(nn.Module):
    def __init__(self, kind="LSTM"):
        super().__init__()
        self.rnn = getattr(nn, kind)(16, 24, batch_first=True)

    def forward(self, x, *states):
        y, last = self.rnn(x, states if len(states) > 1 else states[0])
        return (y, *last) if len(states) > 1 else (y, last)


def layer(kind, *sizes, **options):
    torch.manual_seed(0)
    module = Layer(kind, *sizes, **options).eval()
    return Model(module, (TensorSpec("x", ("batch", "time", sizes[0])),), ("y",))


def streamed(kind="LSTM"):
    torch.manual_seed(0)
    names = ("h", "c") if kind == "LSTM" else ("h",)
    states = [TensorSpec(name, (1, "batch", 24), role="state") for name in names]
    inputs = (TensorSpec("x", ("batch", "time", 16)), *states)
    outputs = ("y", *(f"{name}n" for name in names))
    return Model(Streamed(kind).eval(), inputs, outputs, states={n: f"{n}n" for n in names})


def exported(model, folder, precision="int8-dynamic", **options):
    return rnnbench.export(model, ("onnx",), folder, precision=precision, **options)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def row_of(report, output, format="onnx"):
    (row,) = [r for r in report.rows if r.output == output and r.format == format]
    return row


def wrong(report):
    return [(r.output, r.verdict, r.reason) for r in report.rows if r.verdict != "same"]


def replaced(bundle, change):
    path = bundle.artifacts["onnx"].path
    proto = onnx.load(str(path))
    change(proto)
    onnx.save(proto, str(path))


@pytest.mark.parametrize(("kind", "cell"), [("LSTM", False), ("RNN", False), ("GRU", True)])
def test_a_model_is_right_by_its_own_rule(kind, cell, tmp_path):
    model = tagger(kind, cell=cell)
    bundle = exported(model, tmp_path)
    report = check(bundle, ["onnxruntime", "eager"], model=model, options=STORED)
    assert not wrong(report)
    assert row_of(report, VALUES).reason.startswith(
        "the module but for its rounding of values, above"
    )
    said = bundle.artifacts["onnx"].details
    graph = onnx.load(str(bundle.artifacts["onnx"].path)).graph
    small = [t for t in graph.initializer if t.data_type == TensorProto.INT8]
    assert sum(int(np.prod(t.dims)) for t in small) == said["weights"]
    assert said["weights"] == bundle.manifest["precision"]["weights"]
    products = {n.input[1] for g in every_graph(graph) for n in g.node if n.op_type == INTEGER}
    multiplied = [numpy_helper.to_array(t) for t in small if t.name in products]
    assert sum(array.size for array in multiplied) == said["whole"]
    assert {t.name for t in small} - products == {"front.weight_int8"}  # a convolution
    assert all(np.abs(array).max() <= LEVELS for array in multiplied)
    assert bundle.manifest["precision"]["signal_db"]["tags"] > 25


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_the_same_bits_in_a_batch_in_chunks_and_beside_what_is_loud(kind, tmp_path):
    run = session(exported(streamed(kind), tmp_path).artifacts["onnx"].path)
    names = [i.name for i in run.get_inputs()][1:]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 9, 16)).astype(np.float32)
    states = {n: rng.standard_normal((1, 5, 24)).astype(np.float32) for n in names}
    whole, *_ = run.run(None, {"x": x} | states)
    for row in range(5):
        own = {n: s[:, row : row + 1] for n, s in states.items()}
        parts = []
        for chunk in np.split(x[row : row + 1], [1, 4], axis=1):
            y, *last = run.run(None, {"x": chunk} | own)
            own = dict(zip(names, last, strict=True))
            parts.append(y)
        assert np.array_equal(np.concatenate(parts, 1)[0], whole[row])
    loud = x.copy()
    loud[4], loud[:, 8] = 1e4 * x[4], 1e4 * x[:, 8]
    other, *_ = run.run(None, {"x": loud} | states)
    assert np.array_equal(other[:4, :8], whole[:4, :8])


def test_zeros_and_what_is_no_number(tmp_path):
    path = exported(layer("GRU", 5, 9), tmp_path).artifacts["onnx"].path
    x = np.random.default_rng(0).standard_normal((4, 6, 5)).astype(np.float32)
    x[1] = 0
    x[2, 3, 4], x[3, 2, 1] = np.nan, np.inf
    (y,) = session(path).run(None, {"x": x})
    assert np.isfinite(y[:2]).all()
    assert np.isfinite(y[2, :3]).all()
    assert np.isnan(y[2, 3:]).all()
    assert np.isfinite(y[3, :2]).all()
    assert np.isnan(y[3, 2:]).all()
    assert np.allclose(Evaluator(path)({"x": x})["y"], y, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("size", [1, 2, 17, 512])
def test_the_largest_sums_do_not_saturate(size, tmp_path):
    """Two products of 255 and 63 are what an int16 just holds."""
    linear = nn.Linear(size, 4)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]).expand(4, size))
    model = Model(linear.eval(), (TensorSpec("x", ("batch", size)),), ("y",))
    path = exported(model, tmp_path).artifacts["onnx"].path
    x = np.stack([np.ones(size), -np.ones(size)]).astype(np.float32) * 3
    (y,) = session(path).run(None, {"x": x})
    bias = linear.bias.detach().numpy()
    assert np.allclose(y, x @ linear.weight.detach().numpy().T + bias, rtol=1e-5)


@examples(12)
@given(
    st.sampled_from(["LSTM", "GRU", "RNN"]),
    st.integers(1, 7),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_without_its_rounding_a_file_is_the_module(
    tmp_path_factory, kind, given, hidden, bidirectional, bias, seed
):
    """In float64, to the last digits that float32 weights leave."""
    folder = tmp_path_factory.mktemp("file")
    options = {"nonlinearity": "relu"} if kind == "RNN" and seed % 2 else {}
    model = layer(kind, given, hidden, bidirectional=bidirectional, bias=bias, **options)
    torch.manual_seed(seed)
    for parameter in model.module.parameters():
        nn.init.normal_(parameter, std=0.4)
    path = exported(model, folder).artifacts["onnx"].path
    held = save_unrounded(path, folder / "floats.onnx")
    count = sum(p.numel() for p in model.module.parameters() if p.dim() > 1)
    assert sum(held.values()) == count
    round_weights(model.module, "int8-dynamic", levels=LEVELS)
    x = np.random.default_rng(seed).standard_normal((3, 5, given))
    with torch.no_grad():
        exact = model.module.double()(torch.from_numpy(x)).numpy()
    assert np.abs(Evaluator(folder / "floats.onnx")({"x": x})["y"] - exact).max() < 1e-12


def test_own_operator_differs_when_streamed_and_in_a_batch(tmp_path):
    model = streamed()
    bundle = exported(model, tmp_path, "int8-dynamic-ort")
    graph = onnx.load(str(bundle.artifacts["onnx"].path)).graph
    assert [n.op_type for n in graph.node if n.domain] == ["DynamicQuantizeLSTM"]
    report = check(bundle, ["onnxruntime", "eager"], model=model, options=STORED)
    for name in model.outputs:
        row = row_of(report, name)
        assert row.verdict == Verdict.DIFFERS
        assert row.reason.startswith("when streamed")
        assert "beside itself with everything at once" in row.reason
    assert row_of(report, VALUES).verdict == "same"
    assert row_of(report, WEIGHTS).verdict == "same"
    assert "DIFFERS when streamed" in str(report)
    hazards = rnnbench.inspect(bundle.artifacts["onnx"].path).hazards
    assert "quantised_per_call" in {hazard.name for hazard in hazards}
    ours = exported(model, tmp_path / "ours")
    assert not wrong(check(ours, ["onnxruntime", "eager"], model=model, options=STORED))


def test_own_operator_differs_in_a_batch_alone(tmp_path):
    """A network without states is fed in no chunks."""
    model = layer("LSTM", 5, 9)
    bundle = exported(model, tmp_path, "int8-dynamic-ort")
    row = row_of(check(bundle, ["onnxruntime"], model=model, options=STORED), "y")
    assert row.verdict == Verdict.DIFFERS
    assert row.reason.startswith("in a batch: 1 of")


def test_a_file_whose_weights_are_float32_after_all_fails(tmp_path):
    model = layer("GRU", 5, 9)
    bundle = exported(model, tmp_path)
    path = bundle.artifacts["onnx"].path
    save_unrounded(path, path)
    report = check(bundle, ["onnxruntime"], model=model, options=STORED)
    assert row_of(report, WEIGHTS).verdict == Verdict.DIFFERS
    assert "rnn.weight_ih_l0, rnn.weight_hh_l0" in row_of(report, WEIGHTS).reason
    reason = row_of(report, VALUES).reason
    assert reason == "0 weights multiply whole numbers in the file, which says 378"


@pytest.mark.parametrize("what", ["rnn.R_l0_t_int8", "rnn.R_l0_t_scale", "rnn.B_l0_state"])
def test_an_altered_number_is_found(what, tmp_path):
    model = layer("GRU", 5, 9)
    bundle = exported(model, tmp_path)

    def change(proto):
        (tensor,) = [t for t in proto.graph.initializer if t.name == what]
        array = numpy_helper.to_array(tensor).copy()
        array.reshape(-1)[3] += 1
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    replaced(bundle, change)
    report = check(bundle, ["onnxruntime"], model=model, options=STORED)
    assert row_of(report, "y").verdict == Verdict.DIFFERS
    assert row_of(report, VALUES).verdict == Verdict.DIFFERS
    assert "without its rounding it is not the module" in row_of(report, VALUES).reason


def test_values_of_fewer_levels_are_found(tmp_path):
    """7 bits in the place of 8: the graph is the module's, and its outputs are others."""
    model = layer("GRU", 5, 9)
    bundle = exported(model, tmp_path)

    def change(proto):
        for tensor in proto.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.shape == () and array == np.float32(1 / 127):
                tensor.CopyFrom(numpy_helper.from_array(np.float32(1 / 63), tensor.name))

    replaced(bundle, change)
    report = check(bundle, ["onnxruntime"], model=model, options=STORED)
    assert row_of(report, "y").verdict == Verdict.DIFFERS
    assert row_of(report, VALUES).verdict == "same"


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(5, 6, batch_first=True)
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(6, 9))

    def forward(self, x):
        return self.head(self.rnn(x)[0])


class OnTheLeft(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.mix = nn.GRU(5, 6, batch_first=True), nn.Parameter(torch.randn(3, 6))

    def forward(self, x):
        return self.mix @ self.rnn(x)[0].transpose(1, 2)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (
            Normed,
            "head.parametrizations.weight.original0 would stay float32, since it is no weight",
        ),
        (OnTheLeft, "mix would stay float32, since it is not on the right of a product"),
    ],
)
def test_a_weight_that_would_stay_float32_is_named(module, said, tmp_path):
    torch.manual_seed(0)
    model = Model(module().eval(), (TensorSpec("x", ("batch", "time", 5)),), ("y",))
    with pytest.raises(RnnbenchError, match=said) as caught:
        exported(model, tmp_path)
    keep = str(caught.value).partition("--keep float32:")[2].partition(",")[0]
    bundle = exported(model, tmp_path, keep=[keep])
    assert not wrong(check(bundle, ["onnxruntime", "eager"], model=model, options=STORED))


def test_refusals(tmp_path):
    with pytest.raises(RnnbenchError, match="has no LSTM, the only layer that"):
        exported(layer("GRU", 5, 9), tmp_path, "int8-dynamic-ort")
    with pytest.raises(RnnbenchError, match="of 8 bits in onnx, and of 16 in c"):
        rnnbench.export(layer("GRU", 5, 9), ("onnx", "c"), tmp_path, precision="int8-dynamic")
    with pytest.raises(RnnbenchError, match="in the format onnx only, and c is asked for"):
        rnnbench.export(layer("LSTM", 5, 9), ("c",), tmp_path, precision="int8-dynamic-ort")
    with pytest.raises(RnnbenchError, match="whole numbers in the format onnx or c only"):
        rnnbench.export(layer("GRU", 5, 9), ("onnx", "pt2"), tmp_path, precision="int8-dynamic")
    convolution = Model(nn.Conv1d(3, 4, 2).eval(), (TensorSpec("x", ("batch", 3, 8)),), ("y",))
    with pytest.raises(RnnbenchError, match="no product with a weight that was rounded"):
        exported(convolution, tmp_path)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_inspect_names_the_cell_and_its_precision(kind, tmp_path):
    path = exported(streamed(kind), tmp_path).artifacts["onnx"].path
    (found,) = rnnbench.inspect(path).recurrences
    assert found.kind == {"RNN": "rnn_tanh"}.get(kind, kind.lower())
    assert (found.representation, found.note) == ("scan", "int8 products")
    assert found.hidden_size == 24


def test_the_price_is_that_of_values_too(tmp_path):
    weights = exported(streamed(), tmp_path / "weights", "int8-weights").manifest["precision"]
    said = exported(streamed(), tmp_path / "values").manifest["precision"]
    assert said["levels"] == LEVELS
    assert all(said["signal_db"][n] < db - 3 for n, db in weights["signal_db"].items())


def test_evaluate_gets_the_module_with_rounded_values(tmp_path):
    model = layer("GRU", 5, 9)
    x = torch.randn(4, 30, 5)

    def evaluate(module):
        return {"sum": float(module(x).double().sum()), "layers": len([*module.rnn.children()]) + 1}

    told = Model(model.module, model.inputs, model.outputs, evaluate=evaluate)
    bundle = exported(told, tmp_path)
    (y,) = session(bundle.artifacts["onnx"].path).run(None, {"x": x.numpy()})
    errors = bundle.manifest["precision"]["errors"]
    assert errors["after"]["sum"] == pytest.approx(float(y.astype(np.float64).sum()), abs=1e-3)
    assert errors["after"]["sum"] != errors["before"]["sum"]


def right_or_refused(name, precision, folder):
    """What is wrong of a model of the zoo; an export that is refused says why in one line."""
    model = MODELS[name].build()
    try:
        bundle = exported(model, folder, precision, allow_frozen=True)
    except RnnbenchError as error:
        return [str(error)] if "\n" in str(error) else []
    return wrong(check(bundle, ["onnxruntime"], options=STORED))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FEW)
def test_some_of_the_zoo(name, tmp_path):
    assert not right_or_refused(name, "int8-dynamic", tmp_path)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in MODELS if name not in FEW])
def test_the_rest_of_the_zoo(name, tmp_path):
    assert not right_or_refused(name, "int8-dynamic", tmp_path)


def test_both_are_precisions_of_onnx():
    from rnnbench.formats import onnx as onnx_format

    assert {*WHOLE} <= {*onnx_format.FORMAT.precisions}
    assert onnx_format.FORMAT.levels == dict.fromkeys(WHOLE, LEVELS)

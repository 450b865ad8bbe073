"""Scales that were measured on a user's arrays: what is rounded, what is not, and what is right."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from torch import nn

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.__main__ import main
from rnnbench.capture.tracing.sizes import traced_sizes
from rnnbench.cases.golden import whole_cases
from rnnbench.cases.inputs import make_inputs
from rnnbench.cases.plans import plan_cases
from rnnbench.checking.case_selection import CaseSelection
from rnnbench.checking.check import CheckOptions, check
from rnnbench.checking.conformance.engines import find_engine_jobs, run_engines
from rnnbench.checking.report import VALUES, WEIGHTS
from rnnbench.core.verdicts import Verdict
from tests.helpers.tiers import examples
from tests.zoo import MODELS

STORED = CheckOptions(CaseSelection(further=False, empty=False), isolation=None)
FEW = [*MODELS][7::24]


class Tagger(nn.Module):
    """A convolution, a layer, and a linear."""

    def __init__(self, features=6, filters=8, hidden=12, classes=5):
        super().__init__()
        self.conv = nn.Conv1d(features, filters, 3, padding=1)
        self.rnn = nn.GRU(filters, hidden, batch_first=True)
        self.out = nn.Linear(hidden, classes)

    def forward(self, x, h):
        y, last = self.rnn(self.conv(x.mT).relu().mT, h)
        return self.out(y), last


class Pole(nn.Module):
    """One step of a slow filter: where its state was rounded it would stay where it is."""

    def __init__(self, hidden=7, kind="linear"):
        super().__init__()
        self.into, self.out = nn.Linear(3, hidden), nn.Linear(hidden, 2)
        self.kind = kind
        if kind == "linear":
            self.over = nn.Linear(hidden, hidden, bias=False)
            self.over.weight.data = 0.99 * torch.eye(hidden)
        else:
            self.over = nn.Conv1d(1, 1, 1, bias=False)
            self.over.weight.data.fill_(0.99)

    def forward(self, x, h):
        old = self.over(h) if self.kind == "linear" else self.over(h[:, None])[:, 0]
        new = old + 0.01 * self.into(x)
        return self.out(new), new


def tagger(**sizes):
    torch.manual_seed(0)
    module = Tagger(**sizes).eval()
    inputs = (
        TensorSpec("x", ("batch", "time", module.conv.in_channels)),
        TensorSpec("h", (1, "batch", module.rnn.hidden_size), role="state"),
    )
    return Model(module, inputs, ("y", "hn"), states={"h": "hn"})


def frames(batch=3, time=40, features=6, size=1.0, seed=0):
    drawn = np.random.default_rng(seed).standard_normal((batch, time, features)) * size
    return {"x": drawn.astype(np.float32)}


def exported(model, folder, calibrate=None, **options):
    calls = [frames(), frames(1, 7, seed=1)] if calibrate is None else calibrate
    return rnnbench.export(
        model, ("onnx",), folder, precision="int8-static", calibrate=calls, **options
    )


def rows(report, output):
    return [row for row in report.rows if row.format == "onnx" and row.output == output]


def graph_of(bundle):
    return onnx.load(bundle.artifacts["onnx"].path).graph


def constants(graph):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def test_products_outside_the_layer_are_of_whole_numbers_and_right(tmp_path):
    model = tagger()
    bundle = exported(model, tmp_path)
    report = check(bundle, ["onnxruntime", "eager"], model=model, options=STORED)
    assert report.ok, report
    (weights,), (values,) = rows(report, WEIGHTS), rows(report, VALUES)
    assert weights.verdict is values.verdict is Verdict.SAME
    graph = graph_of(bundle)
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("GRU") == 1
    assert kinds.count("QuantizeLinear") == 3  # of x, of what the convolution gives, of y
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("Conv", "MatMul"):
            assert len(node.input) == 2
            assert [makers[name].op_type for name in node.input] == ["DequantizeLinear"] * 2
    said = bundle.artifacts["onnx"].details
    module = model.module
    assert said["whole"] == module.conv.weight.numel() + module.out.weight.numel()
    assert said["weights"] == said["whole"] + sum(
        w.numel() for name, w in module.rnn.named_parameters() if "weight" in name
    )
    (note,) = [line for line in bundle.manifest["notes"] if "whole numbers" in line]
    assert f"{said['whole']:,} of {said['weights']:,}" in note
    assert "measured in 2 calls" in note


def test_onnxruntime_multiplies_whole_numbers_where_they_are(tmp_path):
    path = exported(tagger(), tmp_path).artifacts["onnx"].path
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = [n.op_type for n in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert {"QLinearConv", "MatMulIntegerToFloat"} <= {*kinds}
    assert not {"Conv", "MatMul"} & {*kinds}


@given(
    least=st.floats(-50, 0), most=st.floats(0, 50), features=st.integers(1, 9), n=st.integers(1, 5)
)
@examples(8)
def test_a_linear_is_what_its_formula_says(least, most, features, n, tmp_path_factory):
    torch.manual_seed(features)
    module = nn.Linear(features, n).eval()
    model = Model(module, (TensorSpec("x", ("batch", features)),), ("y",))
    x = np.linspace(least, most, 4 * features, dtype=np.float32).reshape(4, features)
    bundle = exported(model, tmp_path_factory.mktemp("linear"), [{"x": x}])
    held = constants(graph_of(bundle))
    (weight,) = [a for a in held.values() if a.dtype == np.int8]
    (scale,) = [held[k] for k in held if k.endswith("_scale")]
    assert np.abs(weight).max() <= 63
    low, high = min(x.min(), 0), max(x.max(), 0)
    s = np.float32((high - low) / 255) or np.float32(1 / 255)
    z = np.rint(-low / s)
    beyond = np.concatenate([x, 10 * x])  # which is cut off
    q = np.clip(np.rint(beyond / s) + z, 0, 255) - z
    expected = (q.astype(np.float64) * s) @ (weight.astype(np.float64) * scale)
    expected += module.bias.detach().double().numpy()
    session = onnxruntime.InferenceSession(str(bundle.artifacts["onnx"].path))
    (y,) = session.run(None, {"x": beyond})
    size = float(np.abs(weight).sum(0).max()) * float(scale.max()) * float(s)
    np.testing.assert_allclose(y, expected, atol=1e-6 + 1e-6 * size * 255)


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_a_state_gets_as_far_as_in_floats(kind, tmp_path):
    torch.manual_seed(0)
    inputs = (TensorSpec("x", ("batch", 3)), TensorSpec("h", ("batch", 7), role="state"))
    model = Model(Pole(kind=kind).eval(), inputs, ("y", "hn"), states={"h": "hn"})
    x, h = np.ones((1, 3), np.float32), np.zeros((1, 7), np.float32)
    calls = []
    with torch.no_grad():
        for _ in range(400):
            calls.append({"x": x, "h": h})
            h = model.module(torch.from_numpy(x), torch.from_numpy(h))[1].numpy()
    bundle = exported(model, tmp_path, calls[::20])
    said = bundle.artifacts["onnx"].details
    assert said["whole"] == 3 * 7 + 7 * 2  # what the state goes through is not among them
    session = onnxruntime.InferenceSession(str(bundle.artifacts["onnx"].path))
    found = np.zeros((1, 7), np.float32)
    for _ in range(400):
        found = session.run(["hn"], {"x": x, "h": found})[0]
    np.testing.assert_allclose(found, h, rtol=0.03)
    assert check(bundle, ["onnxruntime"], model=model, options=STORED).ok


def test_what_several_products_read_is_rounded_once(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 5)

        def forward(self, x):
            return self.a(x), self.b(x), self.a(-x)

    torch.manual_seed(0)
    model = Model(Two().eval(), (TensorSpec("x", ("batch", 4)),), ("p", "q", "r"))
    x = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    bundle = exported(model, tmp_path, [{"x": x}])
    kinds = [node.op_type for node in graph_of(bundle).node]
    assert kinds.count("QuantizeLinear") == 2
    assert [a.dtype for a in constants(graph_of(bundle)).values()].count(np.int8) == 2
    assert check(bundle, ["onnxruntime"], model=model, options=STORED).ok


def test_a_weight_that_something_else_reads_first(tmp_path):
    class Seen(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(4, 3)

        def forward(self, x):
            return x + self.out.weight.sum(0), self.out(x.sigmoid())

    torch.manual_seed(0)
    model = Model(Seen().eval(), (TensorSpec("x", ("batch", 4)),), ("p", "q"))
    x = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    bundle = exported(model, tmp_path, [{"x": x}])
    assert check(bundle, ["onnxruntime"], model=model, options=STORED).ok


def test_values_that_are_always_nothing(tmp_path):
    torch.manual_seed(0)
    model = Model(nn.Linear(4, 3).eval(), (TensorSpec("x", ("batch", 4)),), ("y",))
    for size in (0.0, 1e-44):
        calls = [{"x": np.full((2, 4), size, np.float32)}]
        bundle = exported(model, tmp_path / str(size), calls)
        assert check(bundle, ["onnxruntime"], model=model, options=STORED).ok


def test_a_tied_embedding_is_kept_once(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.mix = nn.Embedding(50, 8), nn.Linear(8, 8)
            self.out = nn.Linear(8, 50)
            self.out.weight = self.embed.weight

        def forward(self, words):
            return self.out(self.mix(self.embed(words[:, 0])))

    torch.manual_seed(0)
    words = TensorSpec("words", ("batch", "time"), "int64", high=50)
    model = Model(Tied().eval(), (words,), ("y",))
    given = np.arange(12).reshape(3, 4) % 50
    bundle = exported(model, tmp_path, [{"words": given}])
    sizes = [a.size for a in constants(graph_of(bundle)).values() if a.dtype == np.float32]
    assert sizes.count(400) == 1
    (note,) = [line for line in bundle.manifest["notes"] if "whole numbers" in line]
    assert "64 of 64 rounded weights" in note
    assert "others" not in note
    assert check(bundle, ["onnxruntime"], model=model, options=STORED).ok


def test_what_is_no_number_in_any_call_is_refused(tmp_path):
    class Logarithm(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(4, 3)

        def forward(self, x):
            return self.out((x + 10).log())

    model = Model(Logarithm().eval(), (TensorSpec("x", ("batch", 4)),), ("y",))
    good, bad = np.ones((2, 4), np.float32), np.full((2, 4), -20, np.float32)
    with pytest.raises(RnnbenchError, match=r"call 2 of --calibrate gives .* from nan to nan"):
        exported(model, tmp_path, [{"x": good}, {"x": bad}])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (5, "got int"),
        ([np.zeros(3)], "got ndarray"),
        (torch.zeros(2, 3), "got Tensor"),
        ([[1.0, 2.0]], "got list"),
        ({"x": [[1.0], [2.0, 3.0]]}, "input 'x' is no array"),
        ({"x": torch.zeros(2, dtype=torch.bfloat16)}, "input 'x' is no array"),
        ("none.npz", "cannot read none.npz"),
    ],
)
def test_what_are_no_calls_is_one_line(given, said, tmp_path):
    with pytest.raises(RnnbenchError, match=said) as caught:
        exported(tagger(), tmp_path, given)
    assert "\n" not in str(caught.value)


def test_tensors_of_torch_are_arrays(tmp_path):
    call = {"x": torch.from_numpy(frames()["x"]).requires_grad_()}
    assert exported(tagger(), tmp_path, call).artifacts["onnx"].details["whole"] == 204


def test_calls_are_measured_together_and_states_may_be_left_out(tmp_path):
    loud = exported(tagger(), tmp_path / "loud", [frames(), frames(size=40.0)])
    quiet = exported(tagger(), tmp_path / "quiet", [frames()])
    alone = exported(tagger(), tmp_path / "alone", frames())

    def largest(bundle):
        graph = graph_of(bundle)
        (first,) = [n for n in graph.node if n.op_type == "QuantizeLinear"][:1]
        return float(constants(graph)[first.input[1]])

    assert largest(loud) > 20 * largest(quiet)
    assert largest(quiet) == largest(alone)
    signal = [b.manifest["precision"]["signal_db"]["y"] for b in (loud, quiet)]
    assert signal[0] + 15 < signal[1]  # of the first call, at a scale 40 times as coarse


def test_an_altered_number_is_found(tmp_path):
    for what in ("conv.weight_int8", "_scale", "uint8"):
        model = tagger()
        bundle = exported(model, tmp_path / what.strip("_"))
        path = bundle.artifacts["onnx"].path
        proto = onnx.load(path)
        (tensor, *_) = [t for t in proto.graph.initializer if what in t.name]
        array = numpy_helper.to_array(tensor).copy()
        flat = array.reshape(-1)
        flat[0] = flat[0] + 3 if array.dtype.kind in "iu" else flat[0] * 1.02
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        onnx.save(proto, path)
        report = check(bundle, ["onnxruntime"], model=model, options=STORED)
        if what != "uint8":
            assert not report.ok, what
        else:  # another zero is another rounding of the same module, and both are right
            assert all(r.verdict is Verdict.SAME for r in rows(report, VALUES))


def test_a_file_that_is_all_floats_fails(tmp_path):
    from rnnbench.inspection.unrounded import save_unrounded

    model = tagger()
    bundle = exported(model, tmp_path)
    path = bundle.artifacts["onnx"].path
    save_unrounded(path, path)
    assert not check(bundle, ["onnxruntime"], model=model, options=STORED).ok


class Denoiser(nn.Module):
    """A mask, which rounding decides of, times a loud input."""

    def __init__(self):
        super().__init__()
        self.into = nn.Linear(40, 32)
        self.rnn = nn.GRU(32, 48, batch_first=True)
        self.out = nn.Linear(48, 40)

    def forward(self, x, h):
        y, last = self.rnn(self.into(x).relu(), h)
        return self.out(y).sigmoid() * x, last


def denoiser():
    torch.manual_seed(0)
    inputs = (
        TensorSpec("x", ("batch", "time", 40)),
        TensorSpec("h", (1, "batch", 48), role="state"),
    )
    return Model(Denoiser().eval(), inputs, ("y", "hn"), states={"h": "hn"})


@pytest.mark.parametrize("seed", range(2))
def test_loud_states_decide_otherwise_and_are_right(seed, tmp_path):
    """What a value is off by grows with the largest in its sum, not with the range of its scale."""
    model = denoiser()
    bundle = exported(model, tmp_path, [frames(4, 50, 40, seed=seed)])
    options = CheckOptions(isolation=None)
    report = check(bundle, ["onnxruntime"], model=model, options=options)
    assert report.ok, report
    assert {row.verdict for row in rows(report, "y")} == {Verdict.SAME}


@pytest.mark.parametrize("precision", ["int8-static", "int8-dynamic"])
def test_engines_run_it_or_say_why_not(precision, tmp_path):
    more = {"calibrate": frames(4, 50, 40)} if precision == "int8-static" else {}
    bundle = rnnbench.export(denoiser(), ("onnx",), tmp_path, precision=precision, **more)
    jobs = find_engine_jobs(["openvino", "tract", "mnn", "iree"])
    found = {(row.engine, row.profile): row for row in run_engines(bundle, jobs)}
    for (engine, profile), row in found.items():
        if row.verdict in ("not run", "same"):
            continue
        assert row.verdict == "refused", (engine, profile, row.reason)
        assert row.reason
        if engine == "mnn" and precision == "int8-static":
            assert "leaves out without a word" in row.reason
    assert found["openvino", "plain"].verdict == "same"
    assert found["tract", "plain"].verdict == "same"


def test_it_runs_where_rnnbench_never_was(tmp_path):
    bundle = exported(tagger(), tmp_path)
    case = whole_cases(bundle)[0]
    np.savez(tmp_path / "in.npz", **case.inputs)
    np.savez(tmp_path / "out.npz", **case.rounded.reference)
    program = (
        "import numpy, onnxruntime\n"
        f"s = onnxruntime.InferenceSession({str(bundle.artifacts['onnx'].path)!r})\n"
        f"given = dict(numpy.load({str(tmp_path / 'in.npz')!r}))\n"
        f"wanted = numpy.load({str(tmp_path / 'out.npz')!r})\n"
        "for o, y in zip(s.get_outputs(), s.run(None, given)):\n"
        "    off = numpy.abs(y - wanted[o.name])\n"
        "    assert numpy.quantile(off, 0.9) < 1e-5, (o.name, off.max())\n"
    )
    subprocess.run([sys.executable, "-I", "-c", program], check=True, cwd=tmp_path)


def test_refusals(tmp_path):
    model = tagger()
    with pytest.raises(RnnbenchError, match=r"add --calibrate FILE\.npz, or export with"):
        exported(model, tmp_path, [])
    with pytest.raises(RnnbenchError, match="--calibrate is for --precision int8-static"):
        rnnbench.export(model, ("onnx",), tmp_path, precision="float16", calibrate=frames())
    with pytest.raises(RnnbenchError, match=r"--calibrate: .*'z'"):
        exported(model, tmp_path, {**frames(), "z": np.zeros(1)})
    with pytest.raises(RnnbenchError, match=r"--calibrate: input 'x' has shape \[3, 40, 5\]"):
        exported(model, tmp_path, frames(features=5))
    with pytest.raises(RnnbenchError, match="not finite, of which no range can be measured"):
        exported(model, tmp_path, frames(size=np.inf))
    with pytest.raises(RnnbenchError, match="in the format onnx only, and pt2 is asked for"):
        rnnbench.export(
            model, ("onnx", "pt2"), tmp_path, precision="int8-static", calibrate=frames()
        )
    torch.manual_seed(0)
    layer = Model(nn.GRU(3, 4).eval(), (TensorSpec("x", ("time", "batch", 3)),), ("y", "h"))
    with pytest.raises(RnnbenchError, match="weight outside its layers, loops and states"):
        exported(layer, tmp_path, frames(features=3))
    assert not [*tmp_path.glob("*/manifest.json")]


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("calls.npz", **frames())
    (tmp_path / "mine.py").write_text(
        "from tests.formats.test_onnx_static import tagger as build\n", encoding="utf-8"
    )

    def code(words):
        with pytest.raises(SystemExit) as ended:
            main(words)
        return ended.value.code

    asked = ["export", "mine.py", "--format", "onnx", "--precision", "float16,int8-static"]
    assert code([*asked, "--calibrate", "calls.npz", "--out", "out"]) == 0
    printed = capsys.readouterr()
    assert "204 of 924 rounded weights multiply whole numbers" in printed.err
    assert "int8-static" in printed.out
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {
        "Tagger", "Tagger-float16", "Tagger-int8-static"
    }  # fmt: skip
    for words, said in (
        (["--calibrate", "calls.npz"], "--calibrate is for int8-static alone"),
        (["--precision", "int8-static"], "add --calibrate FILE.npz"),
        (["--precision", "int8-static", "--calibrate", "none.npz"], "cannot read none.npz"),
    ):
        assert code(["export", "mine.py", "--format", "onnx", "--out", "no", *words]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def right_or_refused(name, folder):
    """What is wrong of a model of the zoo; an export that is refused says why in one line."""
    model = MODELS[name].build()
    calls = [make_inputs(model, plan) for plan in plan_cases(model, traced_sizes(model))[:4]]
    try:
        bundle = exported(model, folder, calls, allow_frozen=True)
    except RnnbenchError as error:
        return [str(error)] if "\n" in str(error) else []
    report = check(bundle, ["onnxruntime"], options=STORED)
    return [row for row in report.rows if row.verdict.is_wrong]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FEW)
def test_some_of_the_zoo(name, tmp_path):
    assert not right_or_refused(name, tmp_path)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in MODELS if name not in FEW])
def test_the_rest_of_the_zoo(name, tmp_path):
    assert not right_or_refused(name, tmp_path)


def test_filters_and_weights_have_seven_bits(tmp_path):
    held = constants(graph_of(exported(tagger(), tmp_path))).values()
    whole = [array for array in held if array.dtype == np.int8]
    products = [a for a in whole if a.shape in ((12, 5), (8, 6, 3))]
    assert [int(np.abs(a).max()) for a in products] == [63, 63]

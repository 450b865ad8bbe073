"""A loop that is a layer of ONNX is exported as its node, and stays a loop elsewhere."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.checking.check import check
from rnnbench.core import gaps
from tests.helpers.onnx_graphs import kinds

H = 6


class Peepholes(nn.Module):
    """Gers and Schmidhuber, Recurrent nets that time and count, 2000: gates see the cell state.

    Args:
        joined: one product for all gates, or one for each.
        bias: whether the products have one.
        between: whether a fused layer stands in front.
    """

    def __init__(self, joined=True, bias=True, between=False):
        super().__init__()
        self.front = nn.GRU(5, 5, batch_first=True) if between else None
        count = 1 if joined else 4
        self.x = nn.ModuleList(nn.Linear(5, 4 * H // count, bias=bias) for _ in range(count))
        self.h = nn.Linear(H, 4 * H, bias=False)
        self.peep = nn.Parameter(torch.randn(3, H))

    def forward(self, x, h, c):
        x = x if self.front is None else self.front(x)[0]
        steps = []
        for t in range(x.shape[1]):
            gates = torch.cat([part(x[:, t]) for part in self.x], -1) + self.h(h)
            i, f, g, o = gates.chunk(4, -1)
            c_new = torch.sigmoid(f + self.peep[0] * c) * c
            c_new = c_new + torch.sigmoid(i + self.peep[1] * c) * torch.tanh(g)
            h, c = torch.sigmoid(o + self.peep[2] * c_new) * torch.tanh(c_new), c_new
            steps.append(h)
        return torch.stack(steps, 1), h, c


class ResetsBefore(nn.Module):
    """A GRU as in https://arxiv.org/abs/1406.1078: the state is reset, then multiplied.

    Args:
        joined: one product of [x, h] for both gates, or one of each.
        bias: whether the products have one.
        keeps: whether z says what is kept of the state, or what is new.
    """

    def __init__(self, joined=True, bias=True, keeps=True):
        super().__init__()
        self.gates = nn.Linear(5 + H, 2 * H, bias=bias)
        self.alone = nn.ModuleList(nn.Linear(n, H, bias=bias) for n in (5, 5, H, H))
        self.new, self.old = nn.Linear(5, H, bias=bias), nn.Linear(H, H, bias=False)
        self.joined, self.keeps = joined, keeps

    def forward(self, x, h):
        steps = []
        for t in range(x.shape[1]):
            if self.joined:
                z, r = torch.sigmoid(self.gates(torch.cat([x[:, t], h], -1))).chunk(2, -1)
            else:
                z = torch.sigmoid(self.alone[0](x[:, t]) + self.alone[2](h))
                r = torch.sigmoid(self.alone[1](x[:, t]) + self.alone[3](h))
            n = torch.tanh(self.new(x[:, t]) + self.old(r * h))
            h = z * h + (1 - z) * n if self.keeps else (1 - z) * h + z * n
            steps.append(h)
        return torch.stack(steps, 1), h


class Minimal(nn.Module):
    """A minimal gated unit, https://arxiv.org/abs/1603.09420: one gate resets and lets in."""

    def __init__(self):
        super().__init__()
        self.f, self.x, self.h = nn.Linear(5 + H, H), nn.Linear(5, H), nn.Linear(H, H)

    def forward(self, x, h):
        steps = []
        for frame in x.unbind(1):
            f = torch.sigmoid(self.f(torch.cat([frame, h], 1)))
            h = (1 - f) * h + f * torch.tanh(self.x(frame) + self.h(f * h))
            steps.append(h)
        return torch.stack(steps, 1), h


def gru_of(module, dtype="float32"):
    x = TensorSpec("x", ("batch", "time", 5), dtype)
    h = TensorSpec("h", ("batch", H), dtype, role="state")
    return Model(module.eval(), (x, h), ("y", "hn"), states={"h": "hn"})


def model_of(**options):
    torch.manual_seed(0)
    state = TensorSpec("h", ("batch", H), role="state")
    specs = (
        TensorSpec("x", ("batch", "time", 5)),
        state,
        TensorSpec("c", ("batch", H), role="state"),
    )
    states = {"h": "hn", "c": "cn"}
    return Model(Peepholes(**options).eval(), specs, ("y", "hn", "cn"), states=states)


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("between", [True, False])
def test_it_is_one_node_that_takes_its_input(joined, bias, between, tmp_path):
    model = model_of(joined=joined, bias=bias, between=between)
    bundle = rnnbench.export(model, ("onnx",), tmp_path)
    proto = onnx.load(bundle.artifacts["onnx"].path)
    assert "Scan" not in kinds(proto)
    assert "MatMul" not in kinds(proto), "the products are the layer's own"
    (node,) = [n for n in proto.graph.node if n.op_type == "LSTM"]
    held = {t.name: list(t.dims) for t in proto.graph.initializer}
    assert held[node.input[1]] == [1, 4 * H, 5]
    assert held[node.input[7]] == [1, 3 * H]
    assert any("test_fused_loops.py" in entry.value for entry in node.metadata_props)
    report = check(bundle, ["onnxruntime"], model=model, isolate=False)
    assert {row.verdict for row in report.rows} == {"same"}, report.rows


GRUS = {
    "joined, with biases, z keeps": lambda: ResetsBefore(),
    "joined, without, z lets in": lambda: ResetsBefore(bias=False, keeps=False),
    "apart, with biases, z lets in": lambda: ResetsBefore(joined=False, keeps=False),
    "apart, without, z keeps": lambda: ResetsBefore(joined=False, bias=False),
    "minimal": Minimal,
}


@pytest.mark.parametrize("name", GRUS)
def test_a_gru_that_resets_before_its_product_is_one_node(name, tmp_path):
    torch.manual_seed(1)
    model = gru_of(GRUS[name]())
    bundle = rnnbench.export(model, ("onnx",), tmp_path)
    proto = onnx.load(bundle.artifacts["onnx"].path)
    assert not {"Scan", "MatMul"} & {*kinds(proto)}
    (node,) = [n for n in proto.graph.node if n.op_type == "GRU"]
    held = {t.name: list(t.dims) for t in proto.graph.initializer}
    assert held[node.input[1]] == [1, 3 * H, 5]
    assert [a.i for a in node.attribute if a.name == "linear_before_reset"] == [0]
    assert any("test_fused_loops.py" in entry.value for entry in node.metadata_props)
    report = check(bundle, ["onnxruntime"], model=model, isolate=False)
    assert {row.verdict for row in report.rows} == {"same"}, report.rows
    (note,) = [n for n in bundle.manifest["notes"] if "linear_before_reset=0" in n]
    assert "ncnn" in note
    said = {h.name for h in rnnbench.inspect(bundle.artifacts["onnx"].path).hazards}
    assert said <= {"engine_gaps", "no_initial_state"}


class FromZeros(nn.Module):
    """Two of them, one behind the other, time first, without states; one offset for all."""

    def __init__(self):
        super().__init__()
        self.first, self.second = ResetsBefore(bias=False), ResetsBefore(joined=False, bias=False)
        self.between, self.offset = nn.Linear(H, 5, bias=False), nn.Parameter(torch.tensor([0.7]))

    def forward(self, x):
        h = x.new_zeros(x.shape[1], H)
        y = self.between(self.first(x.transpose(0, 1), h)[0]) + self.offset
        return self.second(y, h)[0].transpose(0, 1)


@pytest.mark.parametrize("opset", [17, 18])
def test_layers_without_biases_that_start_from_zeros_are_nodes(opset, tmp_path):
    torch.manual_seed(0)
    model = Model(FromZeros().eval(), (TensorSpec("x", ("time", "batch", 5)),), ("y",))
    bundle = rnnbench.export(model, ("onnx",), tmp_path, opset=opset)
    assert kinds(onnx.load(bundle.artifacts["onnx"].path)).count("GRU") == 2
    report = check(bundle, ["onnxruntime"], model=model, isolate=False)
    assert {row.verdict for row in report.rows} == {"same"}, report.rows


MODELS = {"peepholes": lambda: model_of(), "resets": lambda: gru_of(Minimal())}


@pytest.mark.parametrize("options", [{"keep_loops": True}, {"precision": "int8-dynamic"}])
@pytest.mark.parametrize("kind", MODELS)
def test_it_stays_a_loop_where_that_is_asked_for(options, kind, tmp_path):
    bundle = rnnbench.export(MODELS[kind](), ("onnx",), tmp_path, **options)
    proto = onnx.load(bundle.artifacts["onnx"].path)
    assert "Scan" in kinds(proto)
    assert not {"LSTM", "GRU"} & {*kinds(proto)}


@pytest.mark.parametrize("precision", ["float16", "int8-weights"])
def test_its_weights_are_kept_in_fewer_bits(precision, tmp_path):
    bundle = rnnbench.export(model_of(), ("onnx",), tmp_path, precision=precision)
    assert "LSTM" in kinds(onnx.load(bundle.artifacts["onnx"].path))
    report = check(bundle, ["onnxruntime"], model=model_of(), isolate=False)
    assert {row.verdict for row in report.rows} == {"same"}, report.rows


def test_who_computes_it_wrong_is_said_and_its_form_is_right(tmp_path):
    bundle = rnnbench.export(model_of(), ("onnx", "portable"), tmp_path)  # as --profile does
    known = [gap for found in gaps.all_gaps().values() for gap in found if gap.attribute == "P"]
    wrong = [gap.version for gap in known if gap.behaviour == "wrong"]
    assert len(wrong) >= 3
    (note,) = [n for n in bundle.manifest["notes"] if "peepholes" in n]
    assert all(version in note for version in wrong), note
    assert "--for" in note
    form = bundle.artifacts["portable"].path
    assert "LSTM" not in kinds(onnx.load(form))
    rng = np.random.default_rng(0)
    given = {
        "x": rng.standard_normal((2, 7, 5)).astype(np.float32),
        "h": rng.standard_normal((2, H)).astype(np.float32),
        "c": rng.standard_normal((2, H)).astype(np.float32),
    }
    paths = (bundle.artifacts["onnx"].path, form)
    found = [onnxruntime.InferenceSession(str(p)).run(None, given) for p in paths]
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


class InsideAStep(nn.Module):
    """A layer in each step of another loop, which stays one, beside the peepholes."""

    def __init__(self):
        super().__init__()
        self.own, self.layer = Peepholes(), nn.GRU(1, 3, batch_first=True)

    def forward(self, x, h, c):
        y, h, c = self.own(x, h, c)
        seen, s = [], x.new_zeros(x.shape[0], 3)
        for t in range(x.shape[1]):
            s = torch.sin(s + self.layer(x[:, t, :, None])[1][0])
            seen.append(s)
        return y, h, c, torch.stack(seen, 1)


class BothWays(nn.Module):
    """Two loops, of which one goes backwards."""

    def __init__(self):
        super().__init__()
        self.one, self.other = Peepholes(), Peepholes(bias=False)

    def forward(self, x, h, c):
        y, h, c = self.one(x, h, c)
        back, *_ = self.other(x.flip(1), torch.zeros_like(h), torch.zeros_like(c))
        return y, h, c, back.flip(1)


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize(("kind", "layers"), [(InsideAStep, 1), (BothWays, 2)])
def test_other_loops_stay_what_they_are(kind, layers, opset, tmp_path):
    torch.manual_seed(0)
    one = model_of()
    model = Model(kind().eval(), one.inputs, (*one.outputs, "more"), states=one.states)
    bundle = rnnbench.export(model, ("onnx",), tmp_path, opset=opset)
    proto = onnx.load(bundle.artifacts["onnx"].path)
    assert kinds(proto).count("LSTM") == layers
    assert kinds(proto).count("Scan") == (kind is InsideAStep)
    for node in proto.graph.node if opset > 17 else ():  # onnx's converter drops metadata
        if node.op_type == "LSTM":
            assert any("test_fused_loops.py" in entry.value for entry in node.metadata_props)
    report = check(bundle, ["onnxruntime"], model=model, isolate=False)
    assert {row.verdict for row in report.rows} == {"same"}, report.rows


def test_no_runtime_has_the_node_in_float64(tmp_path):
    one = model_of()
    specs = tuple(TensorSpec(s.name, s.shape, "float64", role=s.role) for s in one.inputs)
    model = Model(one.module.double(), specs, one.outputs, states=one.states)
    bundle = rnnbench.export(model, ("onnx",), tmp_path)
    assert "Scan" in kinds(onnx.load(bundle.artifacts["onnx"].path))
    report = check(bundle, ["onnxruntime"], model=model, isolate=False)
    assert {row.verdict for row in report.rows} == {"same"}, report.rows

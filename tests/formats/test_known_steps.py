"""Loops whose step ONNX has a node for and PyTorch no layer: `optimize` makes them the node."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from tests.helpers.tiers import examples
from tests.zoo import MODELS

GATES = "ifo"


class Peepholes(nn.Module):
    """An LSTM some of whose gates look at the cell state; or one of them is 1 less another.

    https://www.jmlr.org/papers/v3/gers02a.html; the coupled gates of https://arxiv.org/abs/1503.04069.
    """

    def __init__(self, looking, coupled="", inputs=3, hidden=4):
        super().__init__()
        self.looking, self.coupled = looking, coupled
        self.gates = nn.Linear(inputs + hidden, 4 * hidden)
        self.peep = nn.ParameterDict({g: nn.Parameter(torch.randn(hidden)) for g in looking})

    def look(self, gate, c):
        return self.peep[gate] * c if gate in self.looking else 0.0

    def forward(self, x, h, c):
        steps = []
        for x_t in x.unbind(0):
            i, f, g, o = self.gates(torch.cat([x_t, h], 1)).chunk(4, 1)
            i, f = ((v + self.look(n, c)).sigmoid() for n, v in (("i", i), ("f", f)))
            if self.coupled == "i":
                i = 1 - f
            elif self.coupled == "f":
                f = 1 - i
            c = f * c + i * g.tanh()
            h = (o + self.look("o", c)).sigmoid() * c.tanh()
            steps.append(h)
        return torch.stack(steps), h, c


def model_of(module):
    inputs = [TensorSpec("x", ("time", "batch", 3))]
    inputs += [TensorSpec(name, ("batch", 4), role="state") for name in "hc"]
    return Model(module.eval(), inputs, ("y", "hn", "cn"), states={"h": "hn", "c": "cn"})


def optimized(model, folder):
    loop = rnnbench.export(model, ("onnx",), folder, keep_loops=True).artifacts["onnx"].path
    rnnbench.optimize(loop, folder / "better.onnx")
    return folder / "better.onnx"


def recurrences(path):
    kinds = ("Scan", "Loop", "RNN", "GRU", "LSTM")
    return [node for node in onnx.load(path).graph.node if node.op_type in kinds]


def assert_right(path, model, sizes=((5, 2), (1, 3), (9, 1))):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    module = model.module.double()
    for number, (time, batch) in enumerate(sizes):
        generator = np.random.default_rng(number)
        dims = {"time": time, "batch": batch}
        arrays = {
            s.name: generator.standard_normal(s.resolve(dims)).astype(np.float32)
            for s in model.inputs
        }
        with torch.no_grad():
            exact = module(*(torch.from_numpy(arrays[s.name]).double() for s in model.inputs))
        for found, wanted in zip(session.run(None, arrays), exact, strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), atol=3e-6)


@given(
    looking=st.sets(st.sampled_from(GATES)).map(sorted),
    coupled=st.sampled_from(["", "i", "f"]),
    seed=st.integers(0, 99),
)
@examples(5)
def test_gates_that_look_at_the_cell_state(looking, coupled, seed, tmp_path_factory):
    torch.manual_seed(seed)
    model = model_of(Peepholes(looking, coupled))
    path = optimized(model, tmp_path_factory.mktemp("peepholes"))
    (node,) = recurrences(path)
    seen = {*looking} - {*coupled} | ({"if"[coupled == "i"]} & {*looking} if coupled else set())
    assert node.op_type == "LSTM"
    assert (len(node.input) > 7 and bool(node.input[7])) == bool(seen)
    assert_right(path, model)


@pytest.mark.parametrize(
    ("name", "operator"),
    [("MinimalGatedUnit", "GRU"), ("LstmPeephole", "LSTM"), ("LstmCoupled", "LSTM")],
)
def test_models_of_the_zoo(name, operator, tmp_path):
    model = MODELS[name].build()
    path = optimized(model, tmp_path)
    (node,) = recurrences(path)
    assert node.op_type == operator
    report = rnnbench.check(path, ["onnxruntime"], isolate=False)
    assert report.ok, report


def test_a_gru_whose_reset_comes_before_the_product(tmp_path):
    model = MODELS["MinimalGatedUnit"].build()
    (node,) = recurrences(optimized(model, tmp_path))
    assert all(a.name != "linear_before_reset" or a.i == 0 for a in node.attribute)
    (found,) = rnnbench.inspect(tmp_path / "better.onnx").recurrences
    assert (found.kind, found.representation) == ("gru", "fused")


@pytest.mark.parametrize("how", ["flipped", "a part"])
def test_an_output_gate_that_sees_another_view_is_no_peephole(how, tmp_path):
    class Other(Peepholes):
        def look(self, gate, c):
            seen = c.flip(0) if how == "flipped" else c[:1].expand_as(c)
            return self.peep["o"] * seen if gate == "o" else 0.0

    torch.manual_seed(0)
    model = model_of(Other("o"))
    path = optimized(model, tmp_path)
    assert [node.op_type for node in recurrences(path)] == ["Scan"]
    assert_right(path, model)


def test_a_gate_that_adds_the_cell_state_itself(tmp_path):
    class Whole(Peepholes):
        def look(self, gate, c):
            return c if gate == "i" else 0.0

    torch.manual_seed(0)
    model = model_of(Whole(""))
    path = optimized(model, tmp_path)
    (node,) = recurrences(path)
    held = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    assert held[node.input[7]].tolist() == [[1.0] * 4 + [0.0] * 8]
    assert_right(path, model)


def test_a_cell_state_that_goes_through_a_matrix_is_no_peephole(tmp_path):
    class Matrix(Peepholes):
        def __init__(self):
            super().__init__("")
            self.over = nn.Linear(4, 4, bias=False)

        def look(self, gate, c):
            return self.over(c) if gate == "f" else 0.0

    torch.manual_seed(0)
    model = model_of(Matrix())
    path = optimized(model, tmp_path)
    assert [node.op_type for node in recurrences(path)] == ["Scan"]
    assert_right(path, model)

"""`optimize`: what converters of other frameworks write, judged by their formulas in float64."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import rnnbench
from tests.formats.test_optimize import assert_right as assert_torch
from tests.formats.test_optimize import operators, session
from tests.helpers import converted
from tests.helpers.stock_files import old

SIZES = ((6, 2), (1, 1), (9, 3), (17, 2))


def assert_right(path, kind, sizes=SIZES, *, last=False, **how):
    engine = session(path)
    for time, batch in sizes:
        x = np.random.default_rng(time).standard_normal((batch, time, 3)).astype(np.float32)
        expected = converted.keras(kind, x, **how)
        (found,) = engine.run(None, {"x": x})
        np.testing.assert_allclose(found, expected[:, -1] if last else expected, atol=2e-6)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_keras_on_pytorch(kind, chosen, last, tmp_path):
    stock = tmp_path / "stock.onnx"
    converted.unrolled(stock, kind, chosen=chosen, last=last)
    assert_right(stock, kind, SIZES[:1], last=last)  # the helper writes what Keras computes
    rnnbench.optimize(stock, tmp_path / "better.onnx")
    layer = "RNN" if kind == "rnn" else kind.upper()
    assert {*operators(tmp_path / "better.onnx")} <= {layer, "Transpose", "Squeeze", "Identity"}
    assert_right(tmp_path / "better.onnx", kind, last=last)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_keras_on_pytorch_going_backwards(kind, tmp_path):
    stock = tmp_path / "stock.onnx"
    converted.unrolled(stock, kind, backwards=True)
    assert_right(stock, kind, SIZES[:1], backwards=True)
    report = rnnbench.optimize(stock, tmp_path / "better.onnx")
    assert "reverse" in report.findings[0].result
    assert_right(tmp_path / "better.onnx", kind, SIZES[:1], backwards=True)


@pytest.mark.parametrize("steps", [None, 6])
@pytest.mark.parametrize("kind", ["rnn", "gru"])
def test_keras_on_tensorflow(kind, steps, tmp_path):
    stock = tmp_path / "stock.onnx"
    converted.looped(stock, kind, steps=steps)
    assert_right(stock, kind, SIZES[:1] if steps else SIZES)
    rnnbench.optimize(stock, tmp_path / "better.onnx")
    assert {*operators(tmp_path / "better.onnx")} == {"Transpose", kind.upper(), "Squeeze"}
    assert_right(tmp_path / "better.onnx", kind)


@pytest.mark.parametrize("kind", ["rnn", "gru"])
def test_keras_on_tensorflow_going_backwards(kind, tmp_path):
    stock = tmp_path / "stock.onnx"
    converted.looped(stock, kind, backwards=True)
    assert_right(stock, kind, backwards=True)
    rnnbench.optimize(stock, tmp_path / "better.onnx")
    assert "Loop" not in operators(tmp_path / "better.onnx")
    assert_right(tmp_path / "better.onnx", kind, backwards=True)


class Stack(nn.Module):
    """Each layer's product with its whole input is made before its steps, as Keras does."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.given = nn.ModuleList([nn.Linear(3, 4), nn.Linear(4, 4)])
        self.states = nn.ModuleList([nn.Linear(4, 4, bias=False) for _ in range(2)])

    def forward(self, x):
        for given, state in zip(self.given, self.states, strict=True):
            h, steps = x.new_zeros(x.shape[1], 4), []
            for frame in given(x).unbind(0):
                h = torch.tanh(frame + state(h))
                steps.append(h)
            x = torch.stack(steps)
        return x


def test_a_stack_whose_layers_read_whole_sequences(tmp_path):
    """The steps of the first are put together for the second: each is one node, and no more."""
    module = Stack()
    stock = old(module, tmp_path / "stock.onnx")
    report = rnnbench.optimize(stock, tmp_path / "better.onnx")
    assert [f.done for f in report.findings] == [True, True]
    assert operators(tmp_path / "better.onnx").count("RNN") == 2
    assert_torch(tmp_path / "better.onnx", module)


@pytest.mark.parametrize("inside", [False, True])
def test_a_loop_that_may_end_early_stays(inside, tmp_path):
    """Its condition says fewer steps than its count, before it or in it."""
    stock = tmp_path / "stock.onnx"
    converted.looped(stock, "gru", steps=6)
    model = onnx.load(str(stock))
    (loop,) = [n for n in model.graph.node if n.op_type == "Loop"]
    tensors = loop.attribute[0].g.initializer if inside else model.graph.initializer
    (bound,) = [
        t
        for t in tensors
        if (t.data_type, *t.dims) == (onnx.TensorProto.FLOAT,) and numpy_helper.to_array(t) == 6
    ]
    fewer = np.array(4 if inside else 0, np.float32)
    bound.CopyFrom(numpy_helper.from_array(fewer, bound.name))
    onnx.save(model, str(stock))
    report = rnnbench.optimize(stock, tmp_path / "better.onnx")
    assert [f.result for f in report.findings] == ["it may end before its last step"]
    assert (tmp_path / "better.onnx").read_bytes() == stock.read_bytes()

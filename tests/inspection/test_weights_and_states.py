"""NaN in weights, random masks, and states that are lost, in every kind of file."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import rnnbench
from tests.helpers.hazard_files import GRU, LSTM, OUT, Dropping, initializer, written
from tests.helpers.stock_files import Layer, edited, exported, looped, old, scripted, traced


def found_in(path, name):
    return [(h.where, h.what) for h in rnnbench.inspect(path).hazards if h.name == name]


def layer_with_nan(dtype=torch.float32):
    module = Layer().to(dtype)
    with torch.no_grad():
        module.rnn.weight_hh_l0[3, 1] = float("nan")
        module.rnn.bias_ih_l0[2] = float("inf")  # which is a number
    return module.eval()


@pytest.mark.parametrize("write", [old, traced, scripted, exported])
def test_nan_is_found_in_every_kind_of_file(tmp_path, write):
    (found,) = found_in(write(layer_with_nan(), tmp_path / "file"), "nan_weights")
    assert found[1].startswith("1 of its ")
    assert found_in(write(Layer(), tmp_path / "sound"), "nan_weights") == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_nan_of_every_type(tmp_path, dtype):
    module = layer_with_nan(dtype)
    assert len(found_in(scripted(module, tmp_path / "file"), "nan_weights")) == 1
    assert found_in(scripted(Layer().to(dtype), tmp_path / "sound"), "nan_weights") == []


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"])
@pytest.mark.parametrize("raw", [True, False])
def test_nan_in_each_way_that_onnx_writes_numbers(tmp_path, kind, raw):
    def edit(proto, numbers=(1.0, float("nan"), float("inf"))):
        tensor = helper.make_tensor("more", getattr(TensorProto, kind), [3], numbers)
        if raw:
            array = numpy_helper.to_array(tensor)
            tensor = numpy_helper.from_array(array, "more")
        proto.graph.initializer.append(tensor)

    path = edited(tmp_path / "a.onnx", edit)
    assert found_in(path, "nan_weights") == [("more", "1 of its 3 numbers are NaN")]
    sound = edited(tmp_path / "b.onnx", lambda proto: edit(proto, (1.0, 2.0, float("-inf"))))
    assert found_in(sound, "nan_weights") == []


def test_nan_in_a_file_beside_it(tmp_path):
    path = old(layer_with_nan(), tmp_path / "a.onnx")
    proto = onnx.load(path)
    onnx.save(proto, path, save_as_external_data=True, location="a.data", size_threshold=0)
    assert (tmp_path / "a.data").exists()
    assert len(found_in(path, "nan_weights")) == 1


# Random masks -----------------------------------------------------------------------------------


def random_mask(*nodes):
    """Nodes from `y`, the result of the layer, to `out`."""

    def edit(proto):
        for name, array in {"rate": 0.9, "no": 0.0}.items():
            initializer(proto, name, np.float32(array))
        proto.graph.node.extend(
            helper.make_node(op, ins.split(), [out], **dict(*a)) for op, ins, out, *a in nodes
        )
        proto.graph.output[0].name = "out"

    return edit


FLOAT, BOOL = {"to": TensorProto.FLOAT}, {"to": TensorProto.BOOL}
UNIFORM = ("RandomUniformLike", "y", "u")


@pytest.mark.parametrize(
    "nodes",
    [
        [UNIFORM, ("Less", "u rate", "k"), ("Cast", "k", "m", FLOAT), ("Mul", "y m", "out")],
        [
            *(UNIFORM, ("Less", "u rate", "k"), ("Cast", "k", "m", FLOAT)),
            *(("Div", "m rate", "s"), ("Mul", "s y", "out")),
        ],
        [UNIFORM, ("Greater", "u rate", "k"), ("Where", "k no y", "out")],
        [UNIFORM, ("Add", "u rate", "k"), ("Floor", "k", "m"), ("Mul", "y m", "out")],
        [("Bernoulli", "y", "m"), ("Mul", "y m", "out")],
        [("Bernoulli", "y", "m"), ("Cast", "m", "k", BOOL), ("Where", "k y no", "out")],
    ],
)
def test_dropout_that_is_made_of_random_numbers(tmp_path, nodes):
    path = edited(tmp_path / "a.onnx", random_mask(*nodes))
    ((_, what),) = found_in(path, "training_dropout")
    assert what == f"a mask made of {nodes[0][0]} is multiplied in"


@pytest.mark.parametrize(
    "nodes",
    [
        [UNIFORM, ("Add", "y u", "out")],  # noise, as vocoders make it
        [UNIFORM, ("Mul", "u rate", "k"), ("Add", "y k", "out")],
        [UNIFORM, ("Mul", "y u", "out")],
        [("RandomNormalLike", "y", "u"), ("Mul", "y u", "out")],
        [("Bernoulli", "y", "out")],  # a sample
    ],
)
def test_random_numbers_that_are_no_dropout(tmp_path, nodes):
    path = edited(tmp_path / "a.onnx", random_mask(*nodes))
    assert found_in(path, "training_dropout") == []


@pytest.mark.parametrize("write", [old, traced, scripted, exported])
def test_dropout_of_ones_own_in_every_kind_of_file(tmp_path, write):
    assert found_in(write(Dropping(), tmp_path / "file"), "training_dropout")
    assert found_in(write(Dropping(noise=True), tmp_path / "noise"), "training_dropout") == []


# States -----------------------------------------------------------------------------------------

SQUARED = ("one = Constant <value_ints = [1]> ()", "s = Squeeze (Y, one)", "y = Mul (s, s)")


@pytest.mark.parametrize(
    ("layer", "nodes", "out", "lost"),
    [
        (LSTM, OUT, "y hn cn", {}),
        (LSTM, OUT, "y hn", {"c0": "warning"}),
        (LSTM, OUT, "y", {"c0": "warning"}),  # the hidden state is the last of the sequence
        (LSTM, SQUARED, "y cn", {"h0": "warning"}),
        (LSTM, SQUARED, "y", {"h0": "note", "c0": "note"}),
        (GRU, OUT, "y hn", {}),
        (GRU, OUT, "y", {}),
        (GRU, SQUARED, "y", {"h0": "note"}),
    ],
)
def test_a_state_that_never_comes_out(tmp_path, layer, nodes, out, lost):
    gates = 4 if layer is LSTM else 3
    report = rnnbench.inspect(written(tmp_path / "a", layer, *nodes, gates=gates, out=out))
    found = {h.what.split()[0]: h.severity for h in report.hazards if h.name == "lost_state"}
    assert found == lost


def test_a_state_of_a_loop_that_never_comes_out(tmp_path):
    def without_last(proto):
        looped("Scan")(proto)
        kept = [v for v in proto.graph.output if v.name == "all"]
        del proto.graph.output[:]
        proto.graph.output.extend(kept)

    path = edited(tmp_path / "a.onnx", without_last)
    assert [what.split()[0] for _, what in found_in(path, "lost_state")] == ["h0"]
    assert found_in(edited(tmp_path / "b.onnx", looped("Scan")), "lost_state") == []


class Lstm(nn.Module):
    """Takes both states; what it returns is a matter of `give`."""

    def __init__(self, both):
        super().__init__()
        self.cell, self.both = nn.LSTMCell(3, 4), both

    def forward(self, x, h, c):
        h, c = self.cell(x, (h, c))
        return (h, c) if self.both else h * 2


@pytest.mark.parametrize("both", [True, False])
def test_the_states_of_a_cell_of_pytorch(tmp_path, both):
    inputs = (torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 4))
    path = exported(Lstm(both), tmp_path / "a.pt2", inputs)
    found = [what.split()[0] for _, what in found_in(path, "lost_state")]
    assert found == ([] if both else ["c"])


def test_a_state_that_is_worked_out_may_stay_inside(tmp_path):
    """A decoder that starts from what an encoder ended with."""
    begin = ("two = Constant <value = float {2}> ()", "h1 = Mul (h0, two)")
    path = written(tmp_path / "a.onnx", *begin, GRU.replace("h0", "h1"), *SQUARED)
    assert found_in(path, "lost_state") == []

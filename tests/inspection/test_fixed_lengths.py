"""Lengths that are constants, and the Scan of opset 8, which has lengths and a batch of its own."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

import rnnbench
from tests.helpers.hazard_files import initializer, lengths_behind
from tests.helpers.stock_files import Loop, edited, old, scripted, traced


def lengths_of(path):
    return [h.what for h in rnnbench.inspect(path).hazards if h.name == "constant_lengths"]


@pytest.mark.parametrize(
    "nodes",
    [
        [("Cast", ["first"], "lens", {"to": TensorProto.INT32})],
        [("Identity", ["first"], "same"), ("Cast", ["same"], "lens", {"to": TensorProto.INT32})],
        [
            ("Shape", ["x"], "sizes", {"start": 1, "end": 2}),
            ("Expand", ["one", "sizes"], "long"),
            ("Cast", ["long"], "lens", {"to": TensorProto.INT32}),
        ],
    ],
)
def test_constant_lengths_behind_other_nodes(tmp_path, nodes):
    def edit(proto):
        initializer(proto, "one", np.array([5]))
        made = [helper.make_node(op, ins, [out], **dict(*a)) for op, ins, out, *a in nodes]
        lengths_behind(*made)(proto)

    (found,) = lengths_of(edited(tmp_path / "a.onnx", edit))
    assert found in ("sequence_lens is 5, 5", "sequence_lens is 5")


@pytest.mark.parametrize(
    ("lengths", "severities"), [((5, 5), []), ((5, 3), ["warning"]), ((2, 2), ["warning"])]
)
def test_constant_lengths_where_every_size_is_fixed(tmp_path, lengths, severities):
    def edit(proto):
        for value in (*proto.graph.input, *proto.graph.output):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param:
                    dim.dim_value = {"time": 5, "batch": 2}[dim.dim_param]
        initializer(proto, "lens", np.array(lengths, np.int32))
        proto.graph.node[0].input[4] = "lens"

    report = rnnbench.inspect(edited(tmp_path / "a.onnx", edit))
    assert [h.severity for h in report.hazards if h.name == "constant_lengths"] == severities


class Packed(nn.Module):
    def __init__(self, fixed):
        super().__init__()
        self.rnn = nn.GRU(3, 4)
        self.fixed = fixed

    def forward(self, x):
        rows = torch.tensor([5, 3]) if self.fixed else torch.full((x.size(1),), x.size(0))
        packed = nn.utils.rnn.pack_padded_sequence(x, rows)
        return nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0])[0]


def test_constant_lengths_in_torchscript(tmp_path):
    (found,) = lengths_of(traced(Packed(True), tmp_path / "a.ts"))
    assert found == "the lengths are 5, 3"
    assert lengths_of(scripted(Packed(False), tmp_path / "b.ts")) == []


# A Scan of opset 8 -------------------------------------------------------------------------------


def scan8(path, *, lengths="", first="batch, 4", x="batch, time, 2"):
    """An Elman cell along (batch, time, 2); its body sees one row and one step."""
    body = """step (float[4] h, float[2] f) => (float[4] g, float[4] o) {
    a = MatMul (f, w) b = MatMul (h, r) c = Add (a, b) g = Tanh (c) o = Identity (g) }"""
    scan = f"last, y = Scan <num_scan_inputs = 1, body = {body}> ({lengths}, h0, x)"
    weights = "w = Constant <value = float[2, 4] {1, 1, 1, 1, 1, 1, 1, 1}> ()"
    square = ", ".join("1" * 16)
    weights = (weights, f"r = Constant <value = float[4, 4] {{{square}}}> ()")
    text = f"""<ir_version: 4, opset_import: ["": 8]>
    layer (float[{x}] x, float[{first}] h0, int64[batch] n)
    => (float[batch, 4] last, float[batch, time, 4] y) {{ {" ".join(weights)}
    m = Constant <value = int64[2] {{5, 3}}> () {scan} }}"""
    onnx.save(onnx.parser.parse_model(text), path)
    return path


@pytest.mark.parametrize(("lengths", "given"), [("", False), ("n", True)])
def test_a_scan_of_opset_8_has_its_own_batch(tmp_path, lengths, given):
    report = rnnbench.inspect(scan8(tmp_path / "a.onnx", lengths=lengths))
    (found,) = report.recurrences
    assert (found.kind, found.input_size, found.hidden_size) == ("rnn_tanh", 2, 4)
    assert (found.time, found.batch, found.lengths) == ("time", "batch", given)
    assert (found.state_in, found.state_out) == ("input h0", "output last")
    assert {h.name for h in report.hazards} == (set() if given else {"unread_input"})  # n


def test_hazards_of_a_scan_of_opset_8(tmp_path):
    def names(**options):
        report = rnnbench.inspect(scan8(tmp_path / "a.onnx", **options))
        return {(h.name, h.severity) for h in report.hazards}

    unread = ("unread_input", "warning")  # n, which is declared and not given
    assert names(lengths="m") == {("constant_lengths", "error"), unread}
    assert names(first="2, 4") == {("frozen_batch", "error"), unread}
    assert names(x="2, 5, 2", first="2, 4") == {("frozen_length", "warning"), unread}


# The batch of a state ---------------------------------------------------------------------------


def scan(path, first, step):
    """A Scan along (time, batch, 4) whose state has sizes of its own."""
    count = np.prod([int(n) for n in first.split(",")])
    zeros = f"z = Constant <value = float[{first}] {{{', '.join('0' * count)}}}> ()"
    body = f"step (float[a, 4] h, float[b, 4] f) => (float[c, 4] g, float[d, 4] o) {{ {step} }}"
    square = f"r = Constant <value = float[4, 4] {{{', '.join('1' * 16)}}}> ()"
    text = f"""<ir_version: 9, opset_import: ["": 18]>
    layer (float[time, batch, 4] x) => (float[e, 4] last, float[time, batch, 4] y) {{ {zeros}
    {square} last, y = Scan <num_scan_inputs = 1, body = {body}> (z, x) }}"""
    onnx.save(onnx.parser.parse_model(text), path)
    return [h.what for h in rnnbench.inspect(path).hazards if h.name == "frozen_batch"]


@pytest.mark.parametrize(("first", "found"), [("2, 4", ["2"]), ("1, 4", ["1"])])
def test_the_state_of_a_scan_keeps_its_shape(tmp_path, first, found):
    """ONNX Runtime refuses a state of one row that becomes one of several, too."""
    step = "a = MatMul (h, r) c = Add (a, f) g = Tanh (c) o = Identity (g)"
    said = scan(tmp_path / "a.onnx", first, step)
    assert said == [f"its initial state has batch {n}, its input any" for n in found]


def test_a_state_without_rows_may_have_any_size(tmp_path):
    """As the covariance of a filter, which no row changes."""
    step = "a = MatMul (h, r) g = Tanh (a) o = MatMul (f, g)"
    assert scan(tmp_path / "a.onnx", "4, 4", step) == []


class FixedRows(nn.Module):
    """A loop that starts from zeros for the rows of the example."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x):
        h = torch.zeros(2, 4)
        for frame in x.unbind(0):
            h = self.cell(frame, h)
        return h


def test_the_state_of_an_unrolled_loop(tmp_path):
    def found(path):
        return [h for h in rnnbench.inspect(path).hazards if h.name == "frozen_batch"]

    assert found(old(FixedRows(), tmp_path / "a.onnx"))
    assert found(traced(FixedRows(), tmp_path / "a.ts"))
    assert found(old(Loop(), tmp_path / "b.onnx")) == []
    assert found(traced(Loop(), tmp_path / "b.ts")) == []

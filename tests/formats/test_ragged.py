"""Rows of unequal length for engines that read over `sequence_lens`: the layers do without it."""

import numpy as np
import onnx
import onnx_ir
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.checking.conformance.engines import find_engine_jobs, run_engines
from rnnbench.formats.onnx import profiles as portable
from rnnbench.formats.onnx.editing import recurrent_nodes
from rnnbench.formats.onnx.rewrites.lengths import drop_lengths
from rnnbench.runtimes.adapters import onnxruntime

pytestmark = pytest.mark.xdist_group("ragged")  # no process waits for another's export
H = 4
COARSENESS = onnxruntime.RUNTIME.coarseness


class Packed(torch.nn.Module):
    """Every output of a layer over packed rows, from states that are given."""

    def __init__(self, kind, bidirectional):
        super().__init__()
        self.rnn = getattr(torch.nn, kind)(5, H, bidirectional=bidirectional)

    def forward(self, x, lengths, *states):
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, last = self.rnn(packed, states if len(states) > 1 else states[0])
        y, _ = pad_packed_sequence(y, total_length=x.size(0))
        return (y, *last) if len(states) > 1 else (y, last)


@pytest.fixture(scope="session", params=["RNN", "GRU", "LSTM"])
def kind(request):
    return request.param


@pytest.fixture(scope="session", params=[False, True], ids=["forward", "bidirectional"])
def bundle(request, kind, shared):
    torch.manual_seed(0)
    names = ("h", "c") if kind == "LSTM" else ("h",)
    shape = (2 if request.param else 1, "batch", H)
    inputs = [
        TensorSpec("x", ("time", "batch", 5)),
        TensorSpec("lengths", ("batch",), dtype="int64", role="lengths"),
    ]
    model = Model(
        Packed(kind, request.param),
        (*inputs, *(TensorSpec(f"{name}0", shape) for name in names)),
        ("y", *names),
        name="packed",
    )
    return shared.export(f"packed {kind} {request.param}", lambda: model, ("onnx",))


def test_a_form_for_engines_has_no_lengths_and_computes_the_same(bundle, tmp_path):
    """Also where the steps behind a row's end are anything: infinite here."""
    from rnnbench.cases.cases import layout_of
    from rnnbench.cases.standard import standard_of
    from rnnbench.cases.stored import read_cases

    path = tmp_path / "model.onnx"
    portable.rewrite(bundle.artifacts["onnx"].path, path)
    import onnx_ir

    assert not [n for n in recurrent_nodes(onnx_ir.load(path)) if len(n.inputs) > 4 and n.inputs[4]]
    run = onnxruntime.load(None, path, threads=1)
    compared = 0
    cases = read_cases(bundle)
    standard = standard_of(layout_of(bundle, cases), cases)
    for case in cases:
        if case.empty or case.feed_mode.chunks:
            continue
        inputs = dict(case.inputs)
        if np.isfinite(inputs["x"]).all():
            behind = np.arange(len(inputs["x"]))[:, None] >= inputs["lengths"]
            inputs["x"] = np.where(behind[..., None], np.float32(np.inf), inputs["x"])
        outputs = run(inputs)
        for name in bundle.outputs:
            found = standard.compare(case, name, outputs[name], COARSENESS)
            assert not found.reason, (case.name, name, found.reason)
            compared += 1
    assert compared > 10


def test_pinned_forms_have_no_lengths_either(bundle, tmp_path):
    path = tmp_path / "model.onnx"
    sizes = {"time": 6, "batch": 3}
    portable.rewrite(bundle.artifacts["onnx"].path, path, "portable", sizes)
    onnx.checker.check_model(str(path), full_check=True)
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert not kinds & {"ReverseSequence", "Range", "Scan", "Loop"}


def test_openvino_is_right_in_its_own_form_and_named_where_it_is_not(bundle):
    pytest.importorskip("openvino")
    rows = {row.profile: row for row in run_engines(bundle, find_engine_jobs(["openvino"]))}
    assert rows["openvino"].verdict == rows["portable"].verdict == "same", rows
    assert rows["plain"].verdict == "DIFFERS"


def lstm(path, *, bias=0.0, **attributes):
    """A file of one LSTM over ragged rows, of which only the cell is read."""
    rng = np.random.default_rng(0)
    weights = {
        "W": rng.standard_normal((1, 4 * H, 5)).astype(np.float32),
        "R": rng.standard_normal((1, 4 * H, H)).astype(np.float32),
        "B": np.concatenate((np.full((1, H), bias), np.zeros((1, 7 * H))), 1).astype(np.float32),
    }
    inputs = [
        onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["time", "batch", 5]),
        onnx.helper.make_tensor_value_info("lengths", onnx.TensorProto.INT32, ["batch"]),
    ]
    node = onnx.helper.make_node(
        "LSTM", ["x", "W", "R", "B", "lengths"], ["", "", "c"], "layer", hidden_size=H, **attributes
    )
    output = onnx.helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [1, "batch", H])
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = onnx.helper.make_graph([node], "made", inputs, [output], tensors)
    opsets = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    x = rng.standard_normal((30, 3, 5)).astype(np.float32)
    return {"x": x, "lengths": np.array([30, 7, 1], np.int32)}


def test_a_cell_is_kept_whatever_the_weights(tmp_path):
    plain, form = tmp_path / "plain.onnx", tmp_path / "form.onnx"
    inputs = lstm(plain, bias=95.0)
    portable.rewrite(plain, form, "openvino")
    (layer,) = recurrent_nodes(onnx_ir.load(form))
    assert len(layer.inputs) < 5 or layer.inputs[4] is None
    given, kept = (onnxruntime.load(None, path, threads=1)(inputs)["c"] for path in (plain, form))
    np.testing.assert_allclose(kept, given, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "attributes", [{"clip": 0.5}, {"activations": ["Softsign", "Tanh", "Tanh"]}], ids=list
)
def test_a_cell_that_no_gate_keeps_is_not_touched_and_refused(attributes, tmp_path):
    plain = tmp_path / "plain.onnx"
    inputs = lstm(plain, bias=0.0, **attributes)
    model = onnx_ir.load(plain)
    assert not drop_lengths(model)
    onnx_ir.save(model, tmp_path / "same.onnx")
    given, kept = (
        onnxruntime.load(None, path, threads=1)(inputs)["c"]
        for path in (plain, tmp_path / "same.onnx")
    )
    np.testing.assert_allclose(kept, given, rtol=0, atol=1e-5)
    with pytest.raises(
        rnnbench.RnnbenchError, match=r"has lengths \(sequence_lens\), which openvino"
    ):
        portable.rewrite(plain, tmp_path / "form.onnx", "openvino")


def test_a_damaged_file_is_one_line(tmp_path):
    (tmp_path / "damaged.onnx").write_bytes(b"no protobuf at all")
    with pytest.raises(
        rnnbench.RnnbenchError, match=r"damaged.onnx is not ONNX \(.*export it again"
    ):
        portable.rewrite(tmp_path / "damaged.onnx", tmp_path / "form.onnx")

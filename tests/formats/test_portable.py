"""The portable form of ONNX: each rewrite keeps what a graph computes, or is refused."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from rnnbench import RnnbenchError
from rnnbench.formats.onnx import profiles as portable
from rnnbench.formats.onnx.rewrites import layers as onnx_rewrites
from rnnbench.formats.onnx.rewrites import unroll_scan as onnx_unroll
from rnnbench.formats.onnx.rewrites.last_steps import read_last_step
from rnnbench.formats.onnx.rewrites.layers import make_explicit_biases
from rnnbench.formats.onnx.rewrites.lengths import drop_lengths
from rnnbench.formats.onnx.rewrites.own_functions import (
    turn_into_scan,
    write_out_peepholes,
    write_out_resets,
)
from rnnbench.formats.onnx.rewrites.values import make_explicit_values
from tests.helpers.onnx_graphs import GATES, ROWS, STEPS, feeds, kinds, layer, run, same, scanned

GRU_TANH = 1e-5  # onnxruntime has another tanh in a GRU than in an RNN


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    "given", [{}, {"lengths": True}, {"states": True}, {"lengths": True, "states": True}]
)
@pytest.mark.parametrize("profile", ["portable", "tract", "emx"])
def test_a_rewritten_layer_computes_the_same(tmp_path, kind, direction, given, profile):
    proto = layer(kind, direction, **given)
    arrays = feeds(proto)
    onnx.save(proto, tmp_path / "plain.onnx")
    portable.rewrite(tmp_path / "plain.onnx", tmp_path / "open.onnx", profile)
    same(proto, onnx.load(tmp_path / "open.onnx"), arrays)
    fixed = portable.pinned(tmp_path / "open.onnx", {n: a.shape for n, a in arrays.items()})
    same(proto, fixed, arrays)
    sizes = {"batch": ROWS, "time": STEPS}
    said = portable.rewrite(tmp_path / "plain.onnx", tmp_path / "fixed.onnx", profile, sizes)
    assert said["pinned"] == sizes
    same(proto, onnx.load(tmp_path / "fixed.onnx"), arrays)
    if profile in ("portable", "emx"):
        assert {
            a.s for n in fixed.graph.node for a in n.attribute if a.name == "direction"
        } == set()


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("profile", ["mnn", "opencv"])
def test_a_layer_for_mnn_and_opencv_computes_the_same(tmp_path, kind, direction, states, profile):
    proto = layer(kind, direction, states=states, relu=False)
    arrays = feeds(proto)
    atol = GRU_TANH if (kind, profile) == ("RNN", "opencv") else 1e-6
    onnx.save(proto, tmp_path / "plain.onnx")
    portable.rewrite(tmp_path / "plain.onnx", tmp_path / "open.onnx", profile)
    changed = onnx.load(tmp_path / "open.onnx")
    same(proto, changed, arrays, atol)
    assert ("RNN" in kinds(changed)) == (kind == "RNN" and profile == "mnn")
    fixed = portable.pinned(
        tmp_path / "plain.onnx", {n: a.shape for n, a in arrays.items()}, profile
    )
    same(proto, fixed, arrays, atol)
    layers = [node for node in fixed.graph.node if node.op_type in GATES]
    assert len(layers) == (2 if direction == "bidirectional" else 1)
    for node in layers:
        assert len(node.output) == (3 if node.op_type == "LSTM" else 2)
        assert all(node.output)


@pytest.mark.parametrize("lengths", [False, True])
def test_a_tanh_layer_is_exactly_a_gru_with_shut_and_open_gates(lengths):
    proto = layer("RNN", "bidirectional", lengths=lengths, states=True, relu=False)
    model = ir.from_proto(proto)
    onnx_rewrites.turn_into_gru(model)
    assert kinds(ir.to_proto(model)) == ["GRU"]
    same(proto, ir.to_proto(model), feeds(proto), GRU_TANH)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("given", [{}, {"states": True}, {"lengths": True}])
def test_a_layer_of_another_function_is_a_scan(direction, given, tmp_path):
    proto = layer("RNN", direction, **given)
    model = ir.from_proto(proto)
    drop_lengths(model)
    turn_into_scan(model)
    assert "Scan" in kinds(ir.to_proto(model))
    same(proto, ir.to_proto(model), feeds(proto))
    onnx.save(proto, tmp_path / "plain.onnx")
    fixed = portable.pinned(
        tmp_path / "plain.onnx", {n: a.shape for n, a in feeds(proto).items()}, "mnn"
    )
    assert "Scan" not in kinds(fixed), "which MNN has not"
    same(proto, fixed, feeds(proto))


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("profile", ["openvino", "portable", "mnn"])
def test_peepholes_are_written_out(tmp_path, direction, states, profile):
    proto = layer("LSTM", direction, states=states, peepholes=True)
    arrays = feeds(proto)
    model = ir.from_proto(proto)
    write_out_peepholes(model)
    assert "LSTM" not in kinds(ir.to_proto(model))
    same(proto, ir.to_proto(model), arrays)
    onnx.save(proto, tmp_path / "plain.onnx")
    portable.rewrite(tmp_path / "plain.onnx", tmp_path / "own.onnx", profile)
    same(proto, onnx.load(tmp_path / "own.onnx"), arrays)
    fixed = portable.pinned(tmp_path / "own.onnx", {n: a.shape for n, a in arrays.items()})
    same(proto, fixed, arrays)
    assert ("Scan" in kinds(fixed)) == (profile == "openvino")


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("states", [False, True])
def test_a_state_that_is_reset_before_its_product_is_written_out(tmp_path, direction, states):
    proto = layer("GRU", direction, states=states, resets_after=False)
    arrays = feeds(proto)
    model = ir.from_proto(proto)
    write_out_resets(model)
    assert "GRU" not in kinds(ir.to_proto(model))
    same(proto, ir.to_proto(model), arrays)
    onnx.save(proto, tmp_path / "plain.onnx")
    for profile in ("portable", "ncnn"):
        portable.rewrite(tmp_path / "plain.onnx", tmp_path / "own.onnx", profile)
        fixed = portable.pinned(tmp_path / "own.onnx", {n: a.shape for n, a in arrays.items()})
        assert not {"GRU", "Scan"} & {*kinds(fixed)}
        same(proto, fixed, arrays)


def test_what_resets_behind_the_product_stays_a_layer():
    model = ir.from_proto(layer("GRU", "forward"))
    assert not write_out_resets(model)
    assert "GRU" in kinds(ir.to_proto(model))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("outputs", ["hn", "cn", "hn cn", "y hn"])
def test_a_last_state_is_read_from_the_sequence(kind, direction, outputs):
    wanted = [name for name in outputs.split() if name != "cn" or kind == "LSTM"]
    if not wanted:
        return
    proto = layer(kind, direction, relu=False)
    kept = [o for o in proto.graph.output if o.name in wanted]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)
    model = ir.from_proto(proto)
    read_last_step(model)
    changed = ir.to_proto(model)
    onnx.checker.check_model(changed, full_check=True)
    more = [o.name for o in changed.graph.output if o.name not in wanted]
    assert bool(more) == ("cn" in wanted)
    arrays = feeds(proto)
    expected, found = run(proto, arrays), run(changed, arrays)
    for name in wanted:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("sizes", [{}, {"time": STEPS, "batch": ROWS}])
def test_equal_zeros_of_an_lstm_are_told_apart(tmp_path, direction, sizes):
    proto = layer("LSTM", direction)
    onnx.save(proto, tmp_path / "plain.onnx")
    portable.rewrite(tmp_path / "plain.onnx", tmp_path / "tract.onnx", "tract", sizes)
    changed = onnx.load(tmp_path / "tract.onnx")
    states = [tuple(n.input[5:7]) for n in changed.graph.node if n.op_type == "LSTM"]
    assert states
    assert all(h != c for h, c in states)
    same(proto, changed, feeds(proto))


def test_a_reversal_of_any_length_is_a_gather():
    proto = layer("GRU", "reverse")
    model = ir.from_proto(proto)
    onnx_rewrites.turn_forward(model)
    assert "Slice" not in kinds(ir.to_proto(model))
    same(proto, ir.to_proto(model), feeds(proto))


def test_an_lstm_without_biases_gets_zeros():
    proto = layer("LSTM", "bidirectional")
    proto.graph.node[0].input[3] = ""
    model = ir.from_proto(proto)
    assert make_explicit_biases(model)
    assert not make_explicit_biases(model)
    same(proto, ir.to_proto(model), feeds(proto))


@pytest.mark.parametrize("profile", ["mnn", "opencv", "ncnn", "openvino"])
def test_what_no_rewrite_does_without_is_refused(tmp_path, profile):
    onnx.save(layer("GRU", "forward", layout=1), tmp_path / "plain.onnx")
    with pytest.raises(RnnbenchError, match=r"the GRU 'layer' has layout=1, which .*: run it in"):
        portable.rewrite(tmp_path / "plain.onnx", tmp_path / "x.onnx", profile)


@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [False, True])
def test_split_and_turned_with_dynamic_sizes(direction, lengths):
    proto = layer("LSTM", direction, lengths=lengths)
    model = ir.from_proto(proto)
    onnx_rewrites.split_directions(model)
    onnx_rewrites.turn_forward(model)
    layers = [node for node in model.graph if node.op_type == "LSTM"]
    assert {node.attributes["direction"].as_string() for node in layers} == {"forward"}
    same(proto, ir.to_proto(model), feeds(proto))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("directions", "out"), [((0, 0), (0, 0)), ((0, 1), (1, 0))])
def test_an_unrolled_scan_computes_the_same(tmp_path, axis, directions, out):
    proto = scanned(directions=directions, out=out, axis=axis)
    rng = np.random.default_rng(0)
    shape = (STEPS, ROWS) if axis == 0 else (ROWS, STEPS)
    arrays = {n: rng.standard_normal(shape).astype(np.float32) for n in "xz"}
    arrays["s0"] = np.float32([1, -1])
    onnx.save(proto, tmp_path / "plain.onnx")
    portable.rewrite(tmp_path / "plain.onnx", tmp_path / "open.onnx")
    assert "Scan" in kinds(onnx.load(tmp_path / "open.onnx"))  # its length is not known yet
    portable.rewrite(tmp_path / "plain.onnx", tmp_path / "fixed.onnx", sizes={"time": STEPS})
    fixed = onnx.load(tmp_path / "fixed.onnx")
    assert "Scan" not in kinds(fixed)
    same(proto, fixed, arrays)


def test_a_scan_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_unroll, "_MOST_NODES", 10)
    onnx.save(scanned(), tmp_path / "plain.onnx")
    with pytest.raises(
        RnnbenchError, match="nodes each are too many to unroll: pin a shorter time"
    ):
        portable.rewrite(tmp_path / "plain.onnx", tmp_path / "x.onnx", sizes={"time": 5})


def test_values_are_explicit():
    shape = onnx.numpy_helper.from_array(np.array([2, 3]), "shape")
    node = helper.make_node("ConstantOfShape", ["shape"], ["y"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    model = ir.from_proto(helper.make_model(helper.make_graph([node], "made", [], [out], [shape])))
    make_explicit_values(model)
    assert model.graph[0].attributes["value"].as_tensor().numpy() == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"profile": "xla"}, "unknown profile 'xla': choose from portable, emx"),
        ({"sizes": {"rows": 2}}, "unknown dimension 'rows': choose from time, batch"),
        ({"sizes": {"time": 0}}, "dimension time=0: give 1 or more"),
    ],
)
def test_a_wrong_wish_is_one_line(tmp_path, given, message):
    onnx.save(layer("GRU", "forward"), tmp_path / "plain.onnx")
    with pytest.raises(RnnbenchError, match=message):
        portable.rewrite(tmp_path / "plain.onnx", tmp_path / "x.onnx", **given)
    assert not (tmp_path / "x.onnx").exists()


def test_a_shape_that_the_file_has_not(tmp_path):
    onnx.save(layer("GRU", "forward", dims=("time", 2)), tmp_path / "plain.onnx")
    for shape in ((5, 2), (5, 3, 4)):
        with pytest.raises(RnnbenchError, match="input 'x' has shape"):
            portable.pinned(tmp_path / "plain.onnx", {"x": shape})
    (tmp_path / "plain.onnx").write_bytes(b"no file")
    with pytest.raises(RnnbenchError, match="is not ONNX"):
        portable.pinned(tmp_path / "plain.onnx", {})

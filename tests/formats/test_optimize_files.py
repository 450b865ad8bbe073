"""`optimize`: what is around the graph, and files that are none."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import rnnbench
from rnnbench import RnnbenchError
from tests.formats.test_optimize import CellLoop, assert_right, operators, session
from tests.helpers.stock_files import old, own_operator


def with_data_apart(stock, path):
    """The same with its weights in a file beside it."""
    onnx.save_model(
        onnx.load(str(stock)),
        str(path),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return path


def test_external_data_stays_external(tmp_path):
    module = CellLoop("LSTMCell")
    (tmp_path / "given").mkdir()
    (tmp_path / "other").mkdir()
    stock = old(module, tmp_path / "stock.onnx")
    given = with_data_apart(stock, tmp_path / "given" / "model.onnx")
    before = {p.name: p.read_bytes() for p in given.parent.iterdir()}
    for out in (given.with_name("better.onnx"), tmp_path / "other" / "better.onnx"):
        assert rnnbench.optimize(given, out).changed
        assert_right(out, module)
    assert {n: (given.parent / n).read_bytes() for n in before} == before
    assert not [p for p in (tmp_path / "other").iterdir() if p.name.endswith(".partial")]


def test_data_that_is_missing(tmp_path):
    stock = old(CellLoop("GRUCell"), tmp_path / "stock.onnx")
    given = with_data_apart(stock, tmp_path / "model.onnx")
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(RnnbenchError, match=r"weights\.bin, which is missing"):
        rnnbench.optimize(given, tmp_path / "better.onnx")


def test_an_operator_that_nobody_knows(tmp_path):
    stock = old(CellLoop("GRUCell"), tmp_path / "stock.onnx")
    proto = onnx.load(str(stock))
    own_operator("com.acme", "Cell")(proto)
    onnx.save(proto, str(stock))
    with pytest.raises(RnnbenchError, match=r"com\.acme\.Cell"):
        rnnbench.optimize(stock, tmp_path / "better.onnx")
    assert not (tmp_path / "better.onnx").exists()


def test_a_value_that_is_made_twice(tmp_path):
    stock = old(CellLoop("GRUCell"), tmp_path / "stock.onnx")
    proto = onnx.load(str(stock))
    proto.graph.node[-1].output[0] = proto.graph.node[0].output[0]
    onnx.save(proto, str(stock))
    with pytest.raises(RnnbenchError, match="made twice"):
        rnnbench.optimize(stock, tmp_path / "better.onnx")


def elman_chain(outer, steps=4):
    """h = tanh(W x + R h), unrolled by hand in a graph of another kind of step behind it."""
    generator = np.random.default_rng(0)
    weights = {"w": generator.normal(size=(3, 4)), "r": generator.normal(size=(4, 4))}
    nodes, h = [], "h0"
    for t in range(steps):
        index = numpy_helper.from_array(np.array(t), f"i{t}")
        nodes += [
            helper.make_node("Constant", [], [f"i{t}"], value=index),
            helper.make_node("Gather", ["x", f"i{t}"], [f"x{t}"]),
            helper.make_node("MatMul", [f"x{t}", "w"], [f"a{t}"]),
            helper.make_node("MatMul", [h, "r"], [f"b{t}"]),
            helper.make_node("Add", [f"a{t}", f"b{t}"], [f"c{t}"]),
            helper.make_node("Tanh", [f"c{t}"], [f"h{t + 1}"]),
        ]
        h = f"h{t + 1}"
    nodes += [helper.make_node(*each[:1], *each[1:]) for each in outer]
    info = helper.make_tensor_value_info
    inputs = [info("x", TensorProto.FLOAT, ["time", "batch", 3])]
    inputs.append(info("h0", TensorProto.FLOAT, ["batch", 4]))
    tensors = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, [info("y", TensorProto.FLOAT, None)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_other_nodes_stay_and_in_order(tmp_path):
    outer = [
        ("Relu", ["x"], ["before"]),
        ("ReduceMean", ["before"], ["mean"]),
        ("Neg", ["h4"], ["negative"]),
        ("Add", ["negative", "mean"], ["y"]),
    ]
    onnx.save(elman_chain(outer), tmp_path / "stock.onnx")
    rnnbench.optimize(tmp_path / "stock.onnx", tmp_path / "better.onnx")
    nodes = onnx.load(str(tmp_path / "better.onnx")).graph.node
    assert [n.op_type for n in nodes if n.op_type not in ("RNN", "Squeeze", "Unsqueeze")] == [
        kind for kind, *_ in outer
    ]
    old_file, new_file = (session(tmp_path / n) for n in ("stock.onnx", "better.onnx"))
    generator = np.random.default_rng(0)
    given = {"x": generator.normal(size=(4, 2, 3)), "h0": generator.normal(size=(2, 4))}
    given = {n: a.astype(np.float32) for n, a in given.items()}
    for a, b in zip(new_file.run(None, given), old_file.run(None, given), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_value_inside_of_a_step_that_somebody_reads(tmp_path):
    """A layer does not give it: the chain stays, and the table says who reads it."""
    onnx.save(elman_chain([("Neg", ["c2"], ["y"])]), tmp_path / "stock.onnx")
    report = rnnbench.optimize(tmp_path / "stock.onnx", tmp_path / "better.onnx")
    (finding,) = report.findings
    assert not finding.done
    assert "c2" in finding.result
    assert (tmp_path / "better.onnx").read_bytes() == (tmp_path / "stock.onnx").read_bytes()


@pytest.mark.parametrize("profile", ["tract", "portable", "onnxruntime==1.17"])
def test_for_another_engine(profile, tmp_path):
    """What `export --for` makes of the optimised file, in one go."""
    stock = old(CellLoop("LSTMCell"), tmp_path / "stock.onnx")
    before = stock.read_bytes()
    module = CellLoop("LSTMCell").eval()
    report = rnnbench.optimize(stock, tmp_path / "better.onnx", profile=profile)
    assert stock.read_bytes() == before
    assert [f.done for f in report.findings] == [True, True]
    assert report.findings[-1].found == f"for {profile}"
    assert "runs" in report.findings[-1].proof
    assert operators(tmp_path / "better.onnx").count("LSTM") == 1
    assert report.nodes[1] == len(operators(tmp_path / "better.onnx"))
    from rnnbench.formats.onnx.profiles import written_for

    assert written_for(tmp_path / "better.onnx") == profile
    assert_right(tmp_path / "better.onnx", module)
    if profile == "tract":
        said = rnnbench.check(tmp_path / "better.onnx", ["tract"])
        assert said.ok, said


def test_for_an_engine_that_there_is_not(tmp_path):
    stock = old(CellLoop("GRUCell"), tmp_path / "stock.onnx")
    (tmp_path / "better.onnx").write_bytes(b"before")
    with pytest.raises(RnnbenchError, match="unknown runtime for --for 'tracs'"):
        rnnbench.optimize(stock, tmp_path / "better.onnx", profile="tracs")
    assert (tmp_path / "better.onnx").read_bytes() == b"before"

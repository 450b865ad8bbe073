"""`optimize` in the branches of an If: rewritten there, or taken where they are always taken."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import rnnbench
from rnnbench import RnnbenchError
from rnnbench.formats.onnx.optimizing.branches import graph_at, ways
from rnnbench.inspection.evaluation import Evaluator
from tests.formats.test_optimize import CellLoop, session

SIZES = [(1, 1), (2, 3), (7, 2), (40, 1)]
FLOATS = TensorProto.FLOAT


def unrolled(folder, seed, cell="GRUCell"):
    """A loop over a cell of other weights, unrolled; its names are those of any other one."""
    module = CellLoop(cell).eval()
    with torch.no_grad():
        for i, weight in enumerate(module.parameters()):
            weight.copy_(
                torch.randn(weight.shape, generator=torch.Generator().manual_seed(10 * seed + i))
            )
    path = folder / f"{seed}.onnx"
    with pytest.warns():
        torch.onnx.export(
            module,
            (torch.zeros(5, 2, 3),),
            path,
            dynamo=False,
            input_names=["x"],
            output_names=["steps", "h", "c"][: module.count + 1],
            dynamic_axes={"x": {0: "time", 1: "batch"}},
        )
    return module, onnx.load(str(path))


def branch_of(proto, name):
    """A graph as a branch: what it reads comes from around it, its weights are in it."""
    branch = onnx.GraphProto()
    branch.CopyFrom(proto.graph)
    branch.name = name
    del branch.input[:]
    return branch


def switched(folder, cell="GRUCell", deep=False, condition=None):
    """x, rate -> an If with a loop in each branch; deep: it stands in a branch of another.

    Args:
        folder: for files.
        cell: of the loops.
        deep: as said.
        condition: the If's, where it is an initializer.
    """
    modules, branches = [], {}
    for seed, which in enumerate(("then_branch", "else_branch")):
        module, proto = unrolled(folder, seed, cell)
        modules.append(module)
        branches[which] = branch_of(proto, which)
    outputs = ["steps", "h", "c"][: len(proto.graph.output)]
    made = helper.make_node("If", ["fast"], [f"its {n}" for n in outputs], "choice", **branches)
    weights = [numpy_helper.from_array(np.array(16), "sixteen")]
    nodes = [made]
    if deep:
        ports = [helper.make_tensor_value_info(n, FLOATS, None) for n in made.output]
        zero = [
            helper.make_node("Mul", ["x", "none"], ["nothing"]),
            helper.make_node("Identity", ["nothing"], ["no steps"]),
            *(helper.make_node("Gather", ["nothing", "0"], [f"no {n}"]) for n in outputs[1:]),
        ]
        none = [numpy_helper.from_array(np.float32(0), "none")]
        none.append(numpy_helper.from_array(np.array(0), "0"))
        empty = [helper.make_tensor_value_info(f"no {n}", FLOATS, None) for n in outputs]
        other = helper.make_graph(zero, "nothing", [], empty, none)
        around = helper.make_graph(nodes, "around", [], ports)
        names = [f"outer {n}" for n in outputs]
        nodes = [
            helper.make_node("Less", ["rate", "sixteen"], ["slow"]),
            helper.make_node("If", ["slow"], names, then_branch=other, else_branch=around),
        ]
    if condition is None:
        nodes.insert(0, helper.make_node("Equal", ["rate", "sixteen"], ["fast"]))
    else:
        weights.append(numpy_helper.from_array(np.array(condition), "fast"))
    graph = helper.make_graph(
        nodes,
        "switched",
        [
            helper.make_tensor_value_info("x", FLOATS, ["time", "batch", 3]),
            helper.make_tensor_value_info("rate", TensorProto.INT64, []),
        ],
        [
            helper.make_tensor_value_info(n, FLOATS, [None] * (2 if i else 3))
            for i, n in enumerate(nodes[-1].output)
        ],
        weights,
    )
    if condition is not None:
        del graph.input[1]
    opset = proto.opset_import[0].version
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.save(model, str(folder / "given.onnx"))
    return folder / "given.onnx", modules


def assert_right(path, modules, rates=(16, 17)):
    """Against PyTorch in float64, at lengths that the given file does not take."""
    run = session(path)
    names = [i.name for i in run.get_inputs()]
    for module, rate in zip(modules, rates, strict=True):
        for seed, (time, batch) in enumerate(SIZES):
            x = torch.randn(time, batch, 3, generator=torch.Generator().manual_seed(seed))
            given = {"x": x.numpy(), "rate": np.array(rate)}  # the latter may be gone
            found = run.run(None, {n: given[n] for n in names})
            expected = module.double()(x.double())
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b.detach().numpy(), rtol=5e-5, atol=5e-6)


def kinds(graph):
    return [n.op_type for n in graph.node if n.op_type in ("RNN", "GRU", "LSTM", "If", "MatMul")]


@pytest.mark.parametrize("deep", [False, True], ids=["branch", "branch of a branch"])
@pytest.mark.parametrize("cell", ["GRUCell", "LSTMCell"])
def test_a_loop_in_each_branch_is_one_node(cell, deep, tmp_path):
    """No input that is drawn makes `rate` 16: each branch is proved where it is taken."""
    given, modules = switched(tmp_path, cell, deep)
    before = given.read_bytes()
    report = rnnbench.optimize(given, tmp_path / "better.onnx")
    assert given.read_bytes() == before
    assert [f.done for f in report.findings] == [True, True], report
    assert all("runs" in f.proof and "_branch of" in f.found for f in report.findings)
    model = onnx.load(str(tmp_path / "better.onnx"))
    onnx.checker.check_model(model, full_check=True)
    found = [kinds(graph_at(model.graph, way)) for way in ways(model.graph)]
    assert found.count([cell.removesuffix("Cell")]) == 2
    assert_right(tmp_path / "better.onnx", modules)


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_that_is_always_taken_takes_the_place_of_its_if(condition, tmp_path):
    """Both branches have the same names, and so would the graph."""
    given, modules = switched(tmp_path, condition=condition)
    report = rnnbench.optimize(given, tmp_path / "better.onnx")
    what = f"an If that always takes its {'then' if condition else 'else'}_branch"
    assert [(f.found, f.done) for f in report.findings] == [
        (what, True),
        ("gru unrolled, 5 steps", True),
    ]
    model = onnx.load(str(tmp_path / "better.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert kinds(model.graph) == ["GRU"]
    assert [v.name for v in model.graph.output] == ["its steps", "its h"]
    assert_right(tmp_path / "better.onnx", [modules[0 if condition else 1]], rates=[3])


def test_an_input_that_is_set_decides(tmp_path):
    given, modules = switched(tmp_path, deep=True)
    report = rnnbench.optimize(given, tmp_path / "better.onnx", values={"rate": 16})
    assert all(f.done and f.proof for f in report.findings)
    model = onnx.load(str(tmp_path / "better.onnx"))
    assert [v.name for v in model.graph.input] == ["x"]
    assert kinds(model.graph) == ["GRU"]
    assert_right(tmp_path / "better.onnx", modules[:1], rates=[16])
    with pytest.raises(RnnbenchError, match=r"unknown input of .* 'sr': choose from x, rate"):
        rnnbench.optimize(given, tmp_path / "other.onnx", values={"sr": 1})
    with pytest.raises(RnnbenchError, match=r"'x' is \['time', 'batch', 3\], and --set gives one"):
        rnnbench.optimize(given, tmp_path / "other.onnx", values={"x": 1})
    with pytest.raises(RnnbenchError, match=r"'rate' is int64, and 0\.5 is none"):
        rnnbench.optimize(given, tmp_path / "other.onnx", values={"rate": 0.5})
    assert not (tmp_path / "other.onnx").exists()


def test_what_a_branch_takes_from_around_it(tmp_path):
    """Its states and a weight come from outside, where zeros and their arithmetic go as well."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((24, 3)).astype("f"),
        "r": rng.standard_normal((1, 24, 6)).astype("f"),
        "one": np.array([1]),
        "size": np.array([1, -1, 6]),
        "zero": np.array([0]),
    }
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"], start=1, end=2),
        helper.make_node("Concat", ["one", "shape", "six"], ["sizes"], axis=0),
        helper.make_node("ConstantOfShape", ["sizes"], ["zeros"]),
    ]
    weights["six"] = np.array([6])
    inside = [
        helper.make_node("Unsqueeze", ["w", "zero"], ["W"]),
        helper.make_node(
            "LSTM", ["x", "W", "r", "", "", "zeros", "zeros"], ["", "h"], "layer", hidden_size=6
        ),
    ]
    ports = [helper.make_tensor_value_info("h", FLOATS, None)]
    then = helper.make_graph(inside, "then", [], ports)
    other = helper.make_graph([helper.make_node("Neg", ["start"], ["h"])], "else", [], ports)
    nodes.append(helper.make_node("If", ["use"], ["y"], "If", then_branch=then, else_branch=other))
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", FLOATS, ["time", "batch", 3]),
            helper.make_tensor_value_info("start", FLOATS, [1, "batch", 6]),
            helper.make_tensor_value_info("use", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", FLOATS, [1, "batch", 6])],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(tmp_path / "given.onnx"))
    report = rnnbench.optimize(tmp_path / "given.onnx", tmp_path / "better.onnx")
    (found,) = report.findings
    assert found.done
    assert found.found == (
        "LSTM with zeros as its first state, computed weights, in the then_branch of y"
    )
    better = onnx.load(str(tmp_path / "better.onnx"))
    onnx.checker.check_model(better, full_check=True)
    assert [n.op_type for n in better.graph.node] == ["If"]
    assert {t.name for t in better.graph.initializer} == {"r", "size"}  # which nobody read
    assert report.nodes == (7, 3)
    for use in (True, False):
        given = {"x": rng.standard_normal((4, 2, 3)).astype("f"), "use": np.array(use)}
        given["start"] = rng.standard_normal((1, 2, 6)).astype("f")
        expected = Evaluator(model)(given)["y"]
        np.testing.assert_allclose(Evaluator(better)(given)["y"], expected, rtol=0, atol=1e-12)
        options = {"providers": ["CPUExecutionProvider"]}
        run = onnxruntime.InferenceSession(str(tmp_path / "better.onnx"), **options)
        np.testing.assert_allclose(run.run(None, given)[0], expected, rtol=0, atol=1e-5)


def test_a_branch_that_cannot_run_stays(tmp_path):
    """Nothing is proved of what no run has seen."""
    given, _ = switched(tmp_path)
    model = onnx.load(str(given))
    for found in model.graph.node[1].attribute:
        if found.name == "then_branch":  # x has another size
            found.g.node.add().CopyFrom(
                helper.make_node("Reshape", ["x", "sixteen"], ["unread"], name="odd")
            )
    (shape,) = [t for t in model.graph.initializer if t.name == "sixteen"]
    model.graph.initializer.add().CopyFrom(numpy_helper.from_array(np.array([7, 7, 7]), "seven"))
    for found in model.graph.node[1].attribute:
        for node in found.g.node:
            if node.name == "odd":
                node.input[1] = "seven"
    assert shape.name
    onnx.save(model, str(given))
    report = rnnbench.optimize(given, tmp_path / "better.onnx")
    said = {f.found.rpartition("the ")[2].split("_")[0]: f for f in report.findings}
    assert not said["then"].done
    assert "cannot be run" in said["then"].result
    assert said["else"].done

"""What is taken, what is replaced, and what is refused in one line."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.evaluation import Evaluator
from tests.helpers.onnx_graphs import feeds, layer


def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def graph(nodes, inputs, outputs, tensors=(), functions=(), opsets=(("", 18),)):
    made = helper.make_graph(nodes, "g", inputs, outputs, list(tensors))
    imports = [helper.make_opsetid(*opset) for opset in opsets]
    return helper.make_model(made, opset_imports=imports, functions=list(functions), ir_version=9)


def scaled(dtype=np.float32):
    """y = x * w + 1/3, and how many rows there are."""
    tensors = [
        numpy_helper.from_array(np.asarray([0.1, 0.7], dtype), "w"),
        numpy_helper.from_array(np.asarray([0], np.int64), "axis"),
    ]
    nodes = [
        helper.make_node("Constant", [], ["third"], value_float=1 / 3),
        helper.make_node("Mul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "third"], ["y"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "axis"], ["rows"]),
    ]
    outputs = [info("y", None), info("rows", None, TensorProto.INT64)]
    return graph(nodes, [info("x", ["batch", 2])], outputs, tensors)


X = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


def test_names_and_weights_are_those_of_the_file():
    evaluate = Evaluator(scaled())
    assert evaluate.inputs == ("x",)
    assert evaluate.outputs == ("y", "rows")
    assert list(evaluate.weights) == ["w", "third"]
    assert evaluate.weights["w"].dtype == np.float32
    assert Evaluator(layer("LSTM", "forward", lengths=True, states=True)).inputs == (
        *("x", "lengths", "h0"),
    )


def test_all_of_it_is_float64_and_integers_stay():
    got = Evaluator(scaled())({"x": X})
    exact = X.astype(np.float64) * np.float32([0.1, 0.7]).astype(np.float64)
    np.testing.assert_array_equal(got["y"], exact + np.float64(np.float32(1 / 3)))
    assert got["y"].dtype == np.float64
    assert got["rows"].dtype == np.int64
    assert got["rows"].tolist() == [2]


def test_the_file_s_own_precision():
    got = Evaluator(scaled(), "float32")({"x": X})["y"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, X * np.float32([0.1, 0.7]) + np.float32(1 / 3))


def test_a_file_of_its_own_float64_keeps_it():
    nodes = [helper.make_node("Mul", ["x", "x"], ["y"])]
    kind = TensorProto.DOUBLE
    proto = graph(nodes, [info("x", [2], kind)], [info("y", None, kind)])
    for dtype in ("float64", "float32"):
        got = Evaluator(proto, dtype)({"x": np.array([1 / 3, 2])})["y"]
        assert got.tolist() == [(1 / 3) ** 2, 4]


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_a_file_of_half_precision_is_float64_too(kind):
    """And so are casts between them: what is judged is the graph, not its roundings."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    tensors = [numpy_helper.from_array(np.asarray([0.1], dtype), "w")]
    nodes = [
        helper.make_node("Cast", ["x"], ["c"], to=kind),
        helper.make_node("Mul", ["c", "w"], ["m"]),
        helper.make_node("Cast", ["m"], ["y"], to=TensorProto.FLOAT),
    ]
    proto = graph(nodes, [info("x", [1])], [info("y", None)], tensors)
    evaluate = Evaluator(proto)
    assert evaluate.weights["w"].dtype == dtype
    got = evaluate({"x": np.array([1 / 3])})["y"]
    assert got[0] == 1 / 3 * np.float64(np.asarray(0.1, dtype).astype(np.float64))


def test_weights_are_others_for_one_call():
    evaluate = Evaluator(scaled())
    before = evaluate({"x": X})["y"]
    replaced = evaluate({"x": X}, {"w": np.array([1e-9 + 1, 0])})["y"]
    third = np.float64(np.float32(1 / 3))
    np.testing.assert_array_equal(replaced, X * np.array([1e-9 + 1, 0]) + third)
    np.testing.assert_array_equal(evaluate({"x": X})["y"], before)


def constant(name, **value):
    return helper.make_node("Constant", [], [name], **value)


def branching():
    """y = x * w, an initializer or Constants of one name, by the branch; then a Loop's own."""
    tensor = numpy_helper.from_array(np.float32([2.5]), "w")
    mul = helper.make_node("Mul", ["x", "w"], ["m"])
    then = helper.make_graph([mul], "then", [], [info("m", None)], [tensor])
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.float32([0.5]), ""), numpy_helper.from_array(np.int64([1])), [2]
    )
    nodes = [
        constant("w", value_floats=[0.25, 0.75]),
        constant("s", sparse_value=sparse),
        helper.make_node("Add", ["w", "s"], ["sum"]),
        helper.make_node("Mul", ["x", "sum"], ["m"]),
    ]
    other = helper.make_graph(nodes, "else", [], [info("m", None)])
    nodes = [
        helper.make_node("Identity", ["c"], ["go"]),
        constant("w", value_float=1.5),
        helper.make_node("Mul", ["h", "w"], ["n"]),
    ]
    kinds = [info("i", [], TensorProto.INT64), info("c", [], TensorProto.BOOL), info("h", None)]
    body = helper.make_graph(
        nodes, "body", kinds, [info("go", [], TensorProto.BOOL), info("n", None)]
    )
    outer = [
        helper.make_node("If", ["which"], ["picked"], then_branch=then, else_branch=other),
        helper.make_node("Loop", ["two", "", "picked"], ["y"], body=body),
    ]
    two = numpy_helper.from_array(np.int64(2), "two")
    ports = [info("x", [2]), info("which", [], TensorProto.BOOL)]
    return graph(outer, ports, [info("y", None)], [two])


def test_weights_of_branches_and_bodies():
    """Three are called `w`: each is another one."""
    evaluate = Evaluator(branching())
    assert {n: a.tolist() for n, a in evaluate.weights.items()} == {
        **{"w": [0.25, 0.75], "s": [0, 0.5], "w_2": [2.5], "w_3": 1.5},
    }
    x = np.float32([1, 2])
    for which, own in ((True, [2.5, 5]), (False, [0.25, 2.5])):
        given = {"x": x, "which": np.array(which)}
        assert (evaluate(given)["y"] == 2.25 * np.array(own)).all()
        changed = evaluate(given, {"w_2": np.zeros(1), "w_3": np.array(2)})["y"]
        assert (changed == 4 * np.array(own) * (not which)).all()
        changed = evaluate(given, {"w": np.zeros(2), "s": np.zeros(2)})["y"]
        assert (changed == 2.25 * np.array(own) * which).all()
        assert (evaluate(given)["y"] == 2.25 * np.array(own)).all()


def test_an_initializer_that_is_an_input_as_well_may_be_given():
    proto = scaled()
    proto.graph.input.append(info("w", [2]))
    evaluate = Evaluator(proto)
    assert evaluate.inputs == ("x",)
    assert evaluate({"x": X, "w": np.zeros(2)})["y"].max() == np.float32(1 / 3)


def test_the_model_and_the_inputs_stay_as_they_are():
    proto = layer("GRU", "bidirectional", lengths=True, states=True)
    before = proto.SerializeToString(deterministic=True)
    given = feeds(proto)
    copies = {name: array.copy() for name, array in given.items()}
    Evaluator(proto)(given)
    assert proto.SerializeToString(deterministic=True) == before
    for name, array in given.items():
        np.testing.assert_array_equal(array, copies[name])


def test_functions_of_the_model_s_own():
    """With an attribute that the node gives, and a layer inside."""
    inner = helper.make_node("GRU", ["x", "W", "R"], ["y", "h"], hidden_size=3, name="inner")
    slope = helper.make_node("LeakyRelu", ["h"], ["z"])
    slope.attribute.append(
        onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    )
    opsets = [helper.make_opsetid("", 18)]
    function = helper.make_function(
        "own", "Layer", ["x", "W", "R"], ["z"], [inner, slope], opsets, ["slope"]
    )
    weights = {n.name: n for n in layer("GRU", "forward").graph.initializer}
    node = helper.make_node("Layer", ["x", "W", "R"], ["z"], domain="own", slope=0.25)
    proto = graph(
        [node],
        [info("x", ["time", "batch", 4])],
        [info("z", None)],
        [weights["W"], weights["R"]],
        [function],
        (("", 18), ("own", 1)),
    )
    plain = graph(
        [inner, helper.make_node("LeakyRelu", ["h"], ["z"], alpha=0.25)],
        [info("x", ["time", "batch", 4])],
        [info("z", None)],
        [weights["W"], weights["R"]],
    )
    x = {"x": np.random.default_rng(0).normal(size=(5, 2, 4))}
    np.testing.assert_array_equal(Evaluator(proto)(x)["z"], Evaluator(plain)(x)["z"])


def test_weights_in_a_file_beside_it(tmp_path):
    proto = layer("LSTM", "forward")
    expected = Evaluator(proto)(feeds(proto))
    path = tmp_path / "model.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="w.data", size_threshold=0)
    for given in (path, str(path)):
        got = Evaluator(given)(feeds(proto))
        np.testing.assert_array_equal(got["y"], expected["y"])
    with pytest.raises(RnnbenchError, match=r"'W' .* lies in a file: give the path"):
        Evaluator(onnx.load(path, load_external_data=False))
    (tmp_path / "w.data").write_bytes(b"short")
    with pytest.raises(RnnbenchError, match="truncated"):
        Evaluator(path)
    (tmp_path / "w.data").unlink()
    with pytest.raises(RnnbenchError, match=r"w\.data, which is missing: put it beside it"):
        Evaluator(path)


BAD = {
    "nothing": (b"", "empty: copy it again"),
    "text": (b"this is no model", "no ONNX file"),
    "half": (layer("GRU", "forward").SerializeToString()[:200], "copy it again"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_onnx(name, tmp_path):
    data, said = BAD[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(RnnbenchError, match=said) as caught:
        Evaluator(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_model(tmp_path):
    with pytest.raises(RnnbenchError, match="no file"):
        Evaluator(tmp_path / "none.onnx")
    with pytest.raises(RnnbenchError, match="a dict is no ONNX"):
        Evaluator({})
    with pytest.raises(RnnbenchError, match="no whole model"):
        Evaluator(onnx.ModelProto())
    with pytest.raises(RnnbenchError, match="'float16': choose from float64, float32"):
        Evaluator(scaled(), "float16")


UNKNOWN = {
    "another domain": ("Strange", "nobody.at.all", r"Strange 'node' of domain 'nobody.at.all'"),
    "no operator": ("Strange", "", r"Strange 'node' of domain 'ai.onnx' \(opset 18\)"),
    "ONNX Runtime's": ("AttnLSTM", "com.microsoft", r"AttnLSTM 'node' of domain 'com.microsoft'"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_operator_that_nobody_knows(name):
    op, domain, said = UNKNOWN[name]
    node = helper.make_node(op, ["x"], ["y"], name="node", domain=domain)
    proto = graph(
        [node],
        [info("x", [1])],
        [info("y", None)],
        opsets=[("", 18), *([(domain, 1)] * bool(domain))],
    )
    with pytest.raises(RnnbenchError, match=said) as caught:
        Evaluator(proto)
    assert "\n" not in str(caught.value)


def test_an_unknown_operator_in_a_body_is_found_at_once():
    then = helper.make_graph(
        [helper.make_node("Strange", ["x"], ["y"], domain="z")], "t", [], [info("y", None)]
    )
    nodes = [helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=then)]
    inputs = [info("x", [1]), info("c", [], TensorProto.BOOL)]
    with pytest.raises(RnnbenchError, match="Strange 'y' of domain 'z'"):
        Evaluator(graph(nodes, inputs, [info("y", None)]))


def test_nodes_in_no_order():
    nodes = [helper.make_node("Neg", ["a"], ["y"]), helper.make_node("Abs", ["x"], ["a"])]
    with pytest.raises(RnnbenchError, match="reads 'a', which nothing before it gives"):
        Evaluator(graph(nodes, [info("x", [1])], [info("y", None)]))


WRONG = {
    "an unknown input": ({"x": X, "z": X}, None, "unknown input 'z': choose from x"),
    "no input": ({}, None, "no value for x: give x"),
    "an unknown weight": ({"x": X}, {"v": X}, "unknown weight 'v': choose from w"),
    "an integer weight": ({"x": X}, {"axis": X}, "unknown weight 'axis'"),
    "a weight of another shape": ({"x": X}, {"w": X}, r"'w' is \(2,\) in the file, and \(2, 2\)"),
    "text": ({"x": np.array([["a", "b"]])}, None, "'x' is float64 in the file, and <U1 here"),
    "a shape that does not fit": ({"x": np.ones((2, 3))}, None, "Mul 'm' fails: operands could"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_call_that_is_wrong(name):
    inputs, weights, said = WRONG[name]
    with pytest.raises(RnnbenchError, match=said) as caught:
        Evaluator(scaled())(inputs, weights)
    assert "\n" not in str(caught.value)


def test_an_integer_input_must_be_of_its_type():
    proto = layer("LSTM", "forward", lengths=True)
    given = {**feeds(proto), "lengths": np.array([5, 2], np.int64)}
    with pytest.raises(RnnbenchError, match="'lengths' is int32 in the file, and int64 here"):
        Evaluator(proto)(given)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"direction": "both"}, "LSTM 'layer' fails: direction 'both' does not go with 1 weights"),
        ({"direction": "bidirectional"}, "direction 'bidirectional' does not go with 1 weights W"),
        ({"activations": ["Cosine"] * 3}, "activation 'Cosine' is none of relu, tanh"),
        ({"activations": ["Tanh"]}, "1 activations where 3 are needed"),
    ],
)
def test_a_layer_of_wrong_attributes(change, said):
    proto = layer("LSTM", "forward")
    node = proto.graph.node[0]
    kept = [a for a in node.attribute if a.name not in change]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(*item) for item in change.items())])
    with pytest.raises(RnnbenchError, match=said):
        Evaluator(proto)(feeds(proto))


def test_lengths_that_are_longer_than_the_input():
    proto = layer("LSTM", "forward", lengths=True)
    given = {**feeds(proto), "lengths": np.array([6, 2], np.int32)}
    with pytest.raises(RnnbenchError, match=r"sequence_lens \[6, 2\] must be 2 numbers of 0 to 5"):
        Evaluator(proto)(given)

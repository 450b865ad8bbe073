"""Scan, Loop and If over drawn bodies, against ONNX Runtime in float32."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.evaluation import Evaluator
from tests.helpers import tiers
from tests.inspection.evaluation.made import run

SHAPE = (2, 3)
BINARY, UNARY = ("Add", "Mul", "Sub", "Max", "Min"), ("Tanh", "Sigmoid", "Neg", "Softsign")


def info(name, shape=SHAPE, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, opset=17, tensors=()):
    graph = helper.make_graph(nodes, "drawn", inputs, outputs, list(tensors))
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@st.composite
def expressions(draw, names, results):
    """Nodes that compute the results from the names, each of one or two of those before it."""
    nodes, known = [], list(names)
    for result in [*(f"t{i}" for i in range(draw(st.integers(0, 3)))), *results]:
        pick = st.sampled_from(known)
        if draw(st.booleans()):
            node = helper.make_node(draw(st.sampled_from(UNARY)), [draw(pick)], [result])
        else:
            node = helper.make_node(
                draw(st.sampled_from(BINARY)), [draw(pick), draw(pick)], [result]
            )
        nodes.append(node)
        known.append(result)
    return nodes


def arrays(rng, shapes):
    return {name: (0.5 * rng.normal(size=s)).astype(np.float32) for name, s in shapes.items()}


@st.composite
def scans(draw):
    """A Scan of 9 and later: axes from either end, directions, a name of the outer graph."""
    states, inputs, outputs = (draw(st.integers(1, 2)) for _ in range(3))
    steps = draw(st.integers(1, 5))
    axes = st.integers(-3, 2)
    flags = st.integers(0, 1)
    drawn = {
        "scan_input_axes": [draw(axes) for _ in range(inputs)],
        "scan_output_axes": [draw(axes) for _ in range(outputs)],
        "scan_input_directions": [draw(flags) for _ in range(inputs)],
        "scan_output_directions": [draw(flags) for _ in range(outputs)],
    }
    left_out = draw(st.sets(st.sampled_from(sorted(drawn))))
    attributes = {name: value for name, value in drawn.items() if name not in left_out}
    s, x, n, o = (
        [f"{letter}{i}" for i in range(count)]
        for letter, count in zip("sxno", (states, inputs, states, outputs), strict=True)
    )
    body = helper.make_graph(
        draw(expressions([*s, *x, "outer"], [*n, *o])),
        "body",
        [info(name) for name in (*s, *x)],
        [info(name) for name in (*n, *o)],
    )
    node = helper.make_node(
        "Scan",
        [f"{name}_in" for name in (*s, *x)],
        [f"{name}_out" for name in (*n, *o)],
        body=body,
        num_scan_inputs=inputs,
        **attributes,
    )
    shapes = {"k": SHAPE} | {f"{name}_in": SHAPE for name in s}
    for name, axis in zip(x, attributes.get("scan_input_axes", [0] * inputs), strict=True):
        where = axis % 3
        shapes[f"{name}_in"] = (*SHAPE[:where], steps, *SHAPE[where:])
    outer = helper.make_node("Tanh", ["k"], ["outer"])
    opset = draw(st.sampled_from([11, 16, 21]))
    proto = model(
        [outer, node],
        [info(name, [None] * len(shape)) for name, shape in shapes.items()],
        [info(name, None) for name in node.output],
        opset,
    )
    return proto, arrays(np.random.default_rng(draw(st.integers(0, 2**31))), shapes)


def compare(proto, feeds):
    expected, got = run(proto, feeds), Evaluator(proto)(feeds)
    for name, array in expected.items():
        assert got[name].shape == array.shape
        assert got[name].dtype == (np.float64 if array.dtype == np.float32 else array.dtype)
        np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


@given(scans())
@tiers.examples(60)
def test_scan(case):
    compare(*case)


@given(st.data())
@tiers.examples(25)
def test_scan_of_opset_8(data):
    """Its first axis is the batch's, and rows have lengths; beyond them anything may stand."""
    steps, rows = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    lengths = data.draw(st.none() | st.lists(st.integers(1, steps), min_size=rows, max_size=rows))
    extra = {"directions": [data.draw(st.integers(0, 1))]} if data.draw(st.booleans()) else {}
    nodes = data.draw(expressions(["s", "x"], ["n", "o"]))
    body = helper.make_graph(nodes, "b", [info("s"), info("x")], [info("n"), info("o")])
    names = ["lens" if lengths else "", "s0", "xs"]
    node = helper.make_node("Scan", names, ["sn", "os"], body=body, num_scan_inputs=1, **extra)
    feeds = arrays(
        np.random.default_rng(data.draw(st.integers(0, 99))),
        {"s0": (rows, *SHAPE), "xs": (rows, steps, *SHAPE)},
    )
    inputs = [info(name, [None] * array.ndim) for name, array in feeds.items()]
    if lengths:
        feeds["lens"] = np.array(lengths, np.int64)
        inputs.append(info("lens", [None], TensorProto.INT64))
    proto = model([node], inputs, [info("sn", None), info("os", None)], 8)
    expected, got = run(proto, feeds), Evaluator(proto)(feeds)
    np.testing.assert_allclose(got["sn"], expected["sn"], rtol=1e-4, atol=1e-5)
    for row, length in enumerate(lengths or [steps] * rows):
        np.testing.assert_allclose(
            got["os"][row, :length], expected["os"][row, :length], rtol=1e-4, atol=1e-5
        )
    assert got["os"].shape == expected["os"].shape


def loop(nodes, states, outputs, opset=17, going=("going", True), trip=None, condition=None):
    """A Loop whose condition is a comparison of its counter, or a constant."""
    names = [f"s{i}" for i in range(states)]
    new = [f"n{i}" for i in range(states)]
    collected = [f"o{i}" for i in range(outputs)]
    body = helper.make_graph(
        [*nodes, *going_on(*going)],
        "body",
        [
            info("i", [], TensorProto.INT64),
            info("c", [], TensorProto.BOOL),
            *(info(n) for n in names),
        ],
        [info("going", [], TensorProto.BOOL), *(info(n) for n in (*new, *collected))],
    )
    tensors = {
        name: onnx.numpy_helper.from_array(np.asarray(value), name)
        for name, value in {"trip": trip, "cond": condition}.items()
        if value is not None
    }
    inputs = [name if name in tensors else "" for name in ("trip", "cond")]
    node = helper.make_node(
        "Loop",
        [*inputs, *(f"{n}_in" for n in names)],
        [f"{n}_out" for n in (*new, *collected)],
        body=body,
    )
    given_ = [info(f"{name}_in") for name in names]
    outputs = [info(name, None) for name in node.output]
    return model([node], given_, outputs, opset, tensors.values())


def going_on(name, limit):
    """Nodes that say whether the loop goes on: while its counter is below a limit, or always."""
    if isinstance(limit, bool):
        value = onnx.numpy_helper.from_array(np.array(limit))
        return [helper.make_node("Constant", [], [name], value=value)]
    value = onnx.numpy_helper.from_array(np.array(limit, np.int64))
    return [
        helper.make_node("Constant", [], ["limit"], value=value),
        helper.make_node("Less", ["i", "limit"], [name]),
    ]


@given(st.data())
@tiers.examples(60)
def test_loop(data):
    """With a trip count, a condition or both; with none at all it would not end."""
    trip = data.draw(st.none() | st.integers(1, 5))
    condition = data.draw(st.just(True) if trip is None else st.sampled_from([None, True]))
    # ONNX Runtime minds the body's condition even where the node has none (the test below)
    going = data.draw(st.integers(0, 4)) if condition else True
    states, outputs = data.draw(st.integers(1, 2)), data.draw(st.integers(0, 2))
    nodes = data.draw(
        expressions(
            [f"s{i}" for i in range(states)],
            [f"n{i}" for i in range(states)] + [f"o{i}" for i in range(outputs)],
        )
    )
    opset = data.draw(st.sampled_from([11, 13, 17, 21]))
    proto = loop(nodes, states, outputs, opset, ("going", going), trip, condition)
    shapes = {f"s{i}_in": SHAPE for i in range(states)}
    compare(proto, arrays(np.random.default_rng(data.draw(st.integers(0, 99))), shapes))


IDENTITY = [helper.make_node("Neg", ["s0"], ["n0"]), helper.make_node("Exp", ["s0"], ["o0"])]
ONES = {"s0_in": np.ones(SHAPE, np.float32)}


def test_a_loop_without_a_condition_ignores_the_body_s():
    """As the table of the specification says; ONNX Runtime 1.32 and OpenVINO 2026.4 mind it."""
    proto = loop(IDENTITY, 1, 1, going=("going", False), trip=3)
    assert Evaluator(proto)(ONES)["o0_out"].shape == (3, *SHAPE)
    assert run(proto, ONES)["o0_out"].shape == (1, *SHAPE)


@pytest.mark.parametrize(("trip", "condition"), [(0, True), (-1, True), (3, False), (0, None)])
def test_a_loop_that_is_not_entered(trip, condition):
    """What is collected has no steps, and the shape of a step (ONNX Runtime: of zeros)."""
    proto = loop(IDENTITY, 1, 1, trip=trip, condition=condition)
    got = Evaluator(proto)(ONES)
    np.testing.assert_array_equal(got["n0_out"], ONES["s0_in"])
    assert got["o0_out"].shape == (0, *SHAPE)
    assert got["o0_out"].dtype == np.float64


def test_a_scan_of_no_steps():
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "x"], ["n"]), helper.make_node("Exp", ["n"], ["o"])],
        "body",
        [info("s"), info("x")],
        [info("n"), info("o")],
    )
    node = helper.make_node(
        "Scan", ["s0", "xs"], ["sn", "os"], body=body, num_scan_inputs=1, scan_output_axes=[-1]
    )
    inputs = [info("s0"), info("xs", ["steps", *SHAPE])]
    proto = model([node], inputs, [info("sn", None), info("os", None)])
    given_ = {"s0": np.ones(SHAPE, np.float32), "xs": np.ones((0, *SHAPE), np.float32)}
    got = Evaluator(proto)(given_)
    np.testing.assert_array_equal(got["sn"], given_["s0"])
    assert got["os"].shape == (*SHAPE, 0)


def test_what_a_loop_carries_may_grow():
    nodes = [
        helper.make_node("Concat", ["s0", "s0"], ["n0"], axis=0),
        helper.make_node("ReduceSum", ["s0"], ["o0"], keepdims=0),
    ]
    proto = loop(nodes, 1, 1, trip=3)
    got = Evaluator(proto)(ONES)
    assert got["n0_out"].shape == (SHAPE[0] * 8, SHAPE[1])
    np.testing.assert_array_equal(got["o0_out"], [6, 12, 24])


@pytest.mark.parametrize("taken", [True, False])
def test_an_if_in_a_loop_in_an_if(taken):
    """Names of the outermost graph are read three bodies deep."""
    inner = [
        helper.make_graph(
            [helper.make_node(op, ["s", "outer"], ["r"])], op.lower(), [], [info("r", None)]
        )
        for op in ("Add", "Mul")
    ]
    body = helper.make_graph(
        [
            helper.make_node("Constant", [], ["one"], value_int=1),
            helper.make_node("Less", ["i", "one"], ["first"]),
            helper.make_node("If", ["first"], ["t"], then_branch=inner[0], else_branch=inner[1]),
            helper.make_node("Tanh", ["t"], ["o"]),
            helper.make_node("Identity", ["c"], ["going"]),
        ],
        "body",
        [info("i", [], TensorProto.INT64), info("c", [], TensorProto.BOOL), info("s", None)],
        [info("going", [], TensorProto.BOOL), info("t", None), info("o", None)],
    )
    looped = helper.make_graph(
        [helper.make_node("Loop", ["trip", "", "x"], ["last", "all"], body=body)],
        "then",
        [],
        [info("all", None)],
    )
    other = helper.make_graph(
        [
            helper.make_node("Constant", [], ["axes"], value_ints=[0]),
            helper.make_node("Unsqueeze", ["n", "axes"], ["all2"]),
        ],
        "else",
        [],
        [info("all2", None)],
    )
    nodes = [
        helper.make_node("Exp", ["x"], ["outer"]),
        helper.make_node("Neg", ["x"], ["n"]),
        helper.make_node("If", ["flag"], ["y"], then_branch=looped, else_branch=other),
    ]
    proto = model(
        nodes,
        [info("x"), info("flag", [], TensorProto.BOOL)],
        [info("y", None)],
        tensors=[onnx.numpy_helper.from_array(np.array(4, np.int64), "trip")],
    )
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    compare(proto, {"x": x, "flag": np.array(taken)})


def test_a_sequence_that_a_loop_fills():
    """What TorchScript makes of a list that a loop appends to."""
    elements = helper.make_tensor_sequence_value_info
    body = helper.make_graph(
        [
            helper.make_node("Gather", ["x", "i"], ["row"], axis=0),
            helper.make_node("Tanh", ["row"], ["y"]),
            helper.make_node("SequenceInsert", ["q", "y"], ["longer"]),
            helper.make_node("Identity", ["c"], ["going"]),
        ],
        "body",
        [
            info("i", [], TensorProto.INT64),
            info("c", [], TensorProto.BOOL),
            elements("q", TensorProto.FLOAT, None),
        ],
        [info("going", [], TensorProto.BOOL), elements("longer", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("SequenceEmpty", [], ["none"]),
        helper.make_node("Loop", ["trip", "", "none"], ["rows"], body=body),
        helper.make_node("ConcatFromSequence", ["rows"], ["y"], axis=1, new_axis=1),
        helper.make_node("SequenceAt", ["rows", "last"], ["z"]),
    ]
    tensors = [
        onnx.numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in (("trip", 4), ("last", -1))
    ]
    proto = model(nodes, [info("x", [4, 3])], [info("y", None), info("z", None)], 17, tensors)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    compare(proto, {"x": x})


def test_a_body_that_fails_says_where():
    nodes = [
        helper.make_node("Reshape", ["s0", "five"], ["n0"], name="reshaped"),
        helper.make_node("Constant", [], ["five"], value_ints=[5]),
    ]
    proto = loop(nodes[::-1], 1, 0, trip=2)
    with pytest.raises(RnnbenchError, match="Reshape 'reshaped' fails: cannot reshape"):
        Evaluator(proto)(ONES)

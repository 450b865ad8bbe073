"""Files that ONNX Runtime's quantiser wrote, and operators on few bits, against ONNX Runtime."""

import logging

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from onnxruntime import quantization

from rnnbench.inspection.evaluation import Evaluator
from tests.inspection.evaluation.made import f32, i7, model, one, run, u8

SIZE, HIDDEN, STEPS, ROWS = 8, 16, 9, 5
INT8, UINT8 = quantization.QuantType.QInt8, quantization.QuantType.QUInt8


@pytest.fixture(autouse=True)
def quiet():
    """The quantiser logs advice."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(before)


def lstm(direction, lengths):
    ways = 2 if direction == "bidirectional" else 1
    weights = {
        "W": f32(ways, 4 * HIDDEN, SIZE, scale=0.4),
        "R": f32(ways, 4 * HIDDEN, HIDDEN, scale=0.4),
        "B": f32(ways, 8 * HIDDEN),
    }
    node = helper.make_node(
        "LSTM",
        ["x", "W", "R", "B", *(["lengths"] if lengths else [])],
        ["y", "hn", "cn"],
        hidden_size=HIDDEN,
        direction=direction,
        name="lstm",
    )
    inputs = [helper.make_tensor_value_info("x", 1, ["time", "batch", SIZE])]
    if lengths:
        inputs.append(helper.make_tensor_value_info("lengths", 6, ["batch"]))
    outputs = [helper.make_tensor_value_info(n, 1, None) for n in node.output]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph([node], "lstm", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def linear():
    """Two products with a nonlinearity between them."""
    weights = {"W": f32(SIZE, HIDDEN), "b": f32(HIDDEN), "V": f32(HIDDEN, 4)}
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["m"], name="first"),
        helper.make_node("Add", ["m", "b"], ["a"], name="bias"),
        helper.make_node("Tanh", ["a"], ["t"], name="tanh"),
        helper.make_node("MatMul", ["t", "V"], ["y"], name="second"),
    ]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", 1, ["batch", SIZE])],
        [helper.make_tensor_value_info("y", 1, ["batch", 4])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("weights", [INT8, UINT8], ids=["int8", "uint8"])
def test_a_dynamically_quantised_lstm(direction, lengths, per_channel, weights, tmp_path):
    """To float32's own precision, in one thread, without overflow.

    ONNX Runtime gives each thread rows of its own, and each a scale of its own: with more threads
    its numbers are others. `reduce_range`: without it, int16 sums overflow on a processor without
    VNNI, and ONNX Runtime is wrong.
    """
    file = tmp_path / "quantised.onnx"
    quantization.quantize_dynamic(
        lstm(direction, lengths),
        file,
        per_channel=per_channel,
        reduce_range=True,
        weight_type=weights,
    )
    proto = onnx.load(file)
    assert [node.op_type for node in proto.graph.node] == ["DynamicQuantizeLSTM"]
    feeds = {"x": f32(STEPS, ROWS, SIZE)}
    if lengths:
        feeds["lengths"] = np.array([STEPS, 5, 1, 7, 3], np.int32)
    expected, got = run(proto, feeds), Evaluator(file)(feeds)
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, atol=3e-6, err_msg=name)


def test_a_dynamically_quantised_linear_model(tmp_path):
    proto = linear()
    file = tmp_path / "quantised.onnx"
    quantization.quantize_dynamic(proto, file, reduce_range=True)
    kinds = {node.op_type for node in onnx.load(file).graph.node}
    assert {"DynamicQuantizeLinear", "MatMulInteger"} <= kinds
    feeds = {"x": f32(6, SIZE)}
    quantum = np.ptp(f32(1000)) / 255
    got, expected = Evaluator(file)(feeds)["y"], run(onnx.load(file), feeds)["y"]
    assert np.abs(got - expected).max() < quantum
    assert np.abs(got - Evaluator(proto)(feeds)["y"]).max() < 20 * quantum


class Calibration(quantization.CalibrationDataReader):
    def __init__(self):
        self.left = [{"x": f32(6, SIZE)} for _ in range(4)]

    def get_next(self):
        return self.left.pop() if self.left else None


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_statically_quantised_linear_model(form, per_channel, tmp_path):
    """Within a quantum of the output."""
    source, file = tmp_path / "float.onnx", tmp_path / "quantised.onnx"
    onnx.save(linear(), source)
    quantization.quantize_static(
        source,
        file,
        Calibration(),
        quant_format=quantization.QuantFormat[form],
        per_channel=per_channel,
        reduce_range=True,
        activation_type=UINT8,
        weight_type=INT8,
    )
    proto = onnx.load(file)
    kinds = {node.op_type for node in proto.graph.node}
    assert kinds & ({"QuantizeLinear"} if form == "QDQ" else {"QLinearMatMul"})
    feeds = {"x": f32(6, SIZE)}
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
    expected, got = session.run(None, feeds)[0], Evaluator(file)(feeds)["y"]
    scales = {
        t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer if "scale" in t.name
    }
    quantum = next(float(scale) for name, scale in scales.items() if name.startswith("y_scale"))
    assert np.abs(got - expected).max() <= 1.01 * quantum


ZERO_U8 = one(100, np.uint8)
OPERATORS = [
    ("QuantizeLinear", (f32(3, 4, scale=9), one(0.05), one(3, np.int8)), {}),
    ("QuantizeLinear", (f32(3, 4), one([0.1, 0.2, 0.05, 0.4]), one([1, 2, 3, 4], np.uint8)), {}),
    ("QuantizeLinear", (f32(3, 4), one([0.1, 0.2, 0.05]), None), {"axis": -2}),
    ("QuantizeLinear", (one([[1e12, -1e12, 2.5, 3.5]]), one(1), one(0, np.uint8)), {}),
    ("DequantizeLinear", (u8(3, 4), one([0.1, 0.2, 0.3]), one([1, 2, 3], np.uint8)), {"axis": 0}),
    ("DequantizeLinear", (np.array([2**31 - 1, -5], np.int32), one(0.5)), {}),
    ("DynamicQuantizeLinear", (f32(3, 4),), {}),
    ("DynamicQuantizeLinear", (np.zeros((2, 2), np.float32),), {}),
    ("DynamicQuantizeLinear", (np.abs(f32(3, 4)) + 1,), {}),
    ("MatMulInteger", (u8(3, 8), i7(8, 4), ZERO_U8), {}),
    ("MatMulInteger", (u8(2, 3, 8), i7(8, 4), ZERO_U8, one(i7(4), np.int8)), {}),
    (
        "QLinearMatMul",
        (
            u8(3, 8),
            one(0.02),
            ZERO_U8,
            i7(8, 4),
            one(0.01),
            one(0, np.int8),
            one(0.3),
            one(33, np.uint8),
        ),
        {},
    ),
    (
        "QLinearMatMul",
        (
            u8(3, 8),
            one(0.02),
            ZERO_U8,
            i7(8, 4),
            one([0.01, 0.02, 0.03, 0.04]),
            one(np.zeros(4), np.int8),
            one(0.3),
            one(33, np.uint8),
        ),
        {},
    ),
    (
        "ConvInteger",
        (u8(1, 2, 5, 5), u8(3, 2, 3, 3), ZERO_U8, one(9, np.uint8)),
        {"pads": [1, 1, 1, 1]},
    ),
    (
        "QLinearConv",
        (
            u8(1, 2, 7, 7),
            one(0.02),
            ZERO_U8,
            i7(4, 1, 3, 3),
            one([0.01, 0.02, 0.03, 0.04]),
            one(np.zeros(4), np.int8),
            one(0.07),
            one(33, np.uint8),
            np.array([5, -6, 700, 8], np.int32),
        ),
        {"group": 2, "strides": [2, 2]},
    ),
]


@pytest.mark.parametrize(("op", "arrays", "attributes"), OPERATORS, ids=lambda v: str(v)[:24])
def test_an_operator(op, arrays, attributes):
    """To the last bit: where each number is rounded is said by the operator."""
    outputs = 3 if op == "DynamicQuantizeLinear" else 1
    proto, feeds = model(op, arrays, attributes, outputs, domain="")
    got, expected = Evaluator(proto)(feeds), run(proto, feeds)
    for name, array in expected.items():
        assert got[name].dtype == (np.float64 if array.dtype == np.float32 else array.dtype)
        if array.dtype == np.float32:
            np.testing.assert_allclose(got[name], array, rtol=1e-6)
        else:
            np.testing.assert_array_equal(got[name], array)


def test_rows_have_zero_points_of_their_own():
    """onnx's reference takes a vector of them as one of columns; ONNX Runtime refuses it."""
    a, b = u8(3, 5), u8(5, 2)
    zeros = np.array([1, 2, 3], np.uint8)
    proto, feeds = model("MatMulInteger", (a, b, zeros), {}, domain="")
    expected = (a.astype(int) - zeros[:, None]) @ b.astype(int)
    np.testing.assert_array_equal(Evaluator(proto)(feeds)["y0"], expected)

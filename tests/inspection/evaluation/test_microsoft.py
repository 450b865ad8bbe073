"""ONNX Runtime's own operators against ONNX Runtime, and files that its optimiser wrote."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from rnnbench.inspection.evaluation import Evaluator
from tests.inspection.evaluation.made import f32, i7, model, one, rng, run, u8

NORM = (f32(2, 3, 8), f32(2, 3, 8), f32(8), f32(8), f32(8))
SCALE, ZERO = one(0.02), one(120, np.uint8)
PAIR = (u8(3, 4), one(0.03), one(100, np.uint8), u8(3, 4), one(0.05), one(7, np.uint8))
FLOATING = [
    ("Gelu", (f32(3, 4, scale=2),), {}),
    ("FastGelu", (f32(3, 4, scale=2), f32(4)), {}),
    ("BiasGelu", (f32(3, 4, scale=2), f32(4)), {}),
    ("QuickGelu", (f32(3, 4, scale=2),), {"alpha": 1.25}),
    ("QuickGelu", (f32(3, 4),), {}),
    ("FusedMatMul", (f32(2, 3, 4), f32(2, 5, 4)), {"transB": 1, "alpha": 0.5}),
    ("FusedMatMul", (f32(2, 4, 3), f32(4, 5)), {"transA": 1}),
    ("FusedMatMul", (f32(3, 2, 4), f32(2, 4, 5)), {"transBatchA": 1}),
    ("FusedMatMul", (f32(2, 3, 4), f32(4, 2, 5)), {"transBatchB": 1}),
    (
        "FusedMatMul",
        (f32(4, 2, 3), f32(5, 2, 4)),
        {"transBatchA": 1, "transA": 1, "transBatchB": 1, "transB": 1},
    ),
    ("FusedGemm", (f32(3, 4), f32(4, 5), f32(5)), {"activation": "Relu"}),
    (
        "FusedGemm",
        (f32(4, 3), f32(5, 4), f32(5)),
        {"transA": 1, "transB": 1, "beta": 0.5, "activation": "Sigmoid"},
    ),
    ("FusedGemm", (f32(3, 4), f32(4, 5)), {"activation": "LeakyRelu", "activation_alpha": 0.2}),
    (
        "FusedConv",
        (f32(2, 3, 9), f32(4, 3, 3), f32(4)),
        {"activation": "Relu", "strides": [2], "pads": [1, 0]},
    ),
    ("FusedConv", (f32(2, 3, 9), f32(4, 3, 3), None, f32(2, 4, 7)), {"activation": "Tanh"}),
    (
        "FusedConv",
        (f32(1, 2, 5, 5), f32(2, 2, 3, 3), f32(2)),
        {"activation": "Clip", "activation_params": [-0.5, 0.5]},
    ),
    (
        "FusedConv",
        (f32(1, 4, 9), f32(4, 1, 3)),
        {"group": 4, "activation": "HardSigmoid", "activation_params": [0.3, 0.4]},
    ),
    ("SkipLayerNormalization", NORM, {"epsilon": 1e-5}),
    ("SkipLayerNormalization", NORM[:3], {}),
    ("SkipSimplifiedLayerNormalization", NORM[:3], {}),
    (
        "MatMulNBits",
        (f32(2, 40), u8(6, 2, 16), f32(6 * 2)),
        {"K": 40, "N": 6, "bits": 4, "block_size": 32},
    ),
    (
        "MatMulNBits",
        (f32(2, 40), u8(6, 2, 16), f32(6 * 2), u8(6), None, f32(6)),
        {"K": 40, "N": 6, "bits": 4, "block_size": 32},
    ),
]
INTEGERS = [
    ("DynamicQuantizeMatMul", (f32(3, 8), i7(8, 4), one(0.02), one(0, np.int8), f32(4)), {}),
    (
        "DynamicQuantizeMatMul",
        (f32(2, 3, 8), i7(8, 4), np.abs(f32(4)), one(np.zeros(4), np.int8)),
        {},
    ),
    (
        "MatMulIntegerToFloat",
        (u8(3, 8), i7(8, 4), one(0.1), np.abs(f32(4)), one(9, np.uint8), None, f32(4)),
        {},
    ),
    (
        "QGemm",
        (
            u8(3, 8),
            SCALE,
            ZERO,
            i7(8, 4),
            one(0.01),
            one(0, np.int8),
            rng.integers(-99, 99, 4).astype(np.int32),
        ),
        {},
    ),
    (
        "QGemm",
        (
            u8(3, 8),
            SCALE,
            ZERO,
            i7(4, 8),
            np.abs(f32(4)),
            one(np.zeros(4), np.int8),
            None,
            one(0.3),
            one(128, np.uint8),
        ),
        {"transB": 1},
    ),
    ("QLinearAdd", (*PAIR, one(0.06), one(60, np.uint8)), {}),
    ("QLinearMul", (*PAIR, one(0.11), one(60, np.uint8)), {}),
    (
        "QLinearSigmoid",
        (u8(3, 4), one(0.04), one(128, np.uint8), one(1 / 256), one(0, np.uint8)),
        {},
    ),
    (
        "QLinearLeakyRelu",
        (u8(3, 4), one(0.04), one(128, np.uint8), one(0.03), one(30, np.uint8)),
        {"alpha": 0.1},
    ),
    (
        "QLinearSoftmax",
        (u8(3, 4), one(0.04), one(128, np.uint8), one(1 / 256), one(0, np.uint8)),
        {"axis": -1, "opset": 13},
    ),
    (
        "QLinearGlobalAveragePool",
        (u8(2, 3, 4, 5), one(0.04), one(128, np.uint8), one(0.01), one(100, np.uint8)),
        {},
    ),
    (
        "QLinearConcat",
        (
            one(0.05),
            one(100, np.uint8),
            u8(2, 3),
            one(0.03),
            one(90, np.uint8),
            u8(2, 2),
            one(0.06),
            one(5, np.uint8),
        ),
        {"axis": 1},
    ),
    ("QuantizeLinear", (f32(3, 4), one([0.1, 0.2, 0.3]), one([1, 2, 3], np.uint8)), {"axis": 0}),
    ("DequantizeLinear", (u8(3, 4), one(0.1), one(8, np.uint8)), {}),
]


@pytest.mark.parametrize(("op", "arrays", "attributes"), FLOATING, ids=lambda v: str(v)[:24])
def test_a_floating_operator(op, arrays, attributes):
    proto, feeds = model(op, arrays, attributes)
    got = Evaluator(proto)(feeds)["y0"]
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, run(proto, feeds)["y0"], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(("op", "arrays", "attributes"), INTEGERS, ids=lambda v: str(v)[:24])
def test_an_operator_on_8_bits(op, arrays, attributes):
    """Integers within a quantum of ONNX Runtime's, and most of them the same."""
    proto, feeds = model(op, arrays, attributes)
    got, expected = Evaluator(proto)(feeds)["y0"], run(proto, feeds)["y0"]
    if expected.dtype == np.float32:
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        return
    assert got.dtype == expected.dtype
    off = np.abs(got.astype(int) - expected.astype(int))
    assert off.max() <= 1
    assert (off == 0).mean() >= 0.75


@pytest.mark.parametrize("outputs", [1, 4])
def test_what_else_a_normalisation_gives(outputs):
    proto, feeds = model("SkipLayerNormalization", NORM, {}, outputs)
    if outputs == 4:  # the mean and the deviation are of training: ONNX Runtime leaves them out
        for name in ("y1", "y2"):
            proto.graph.node[0].output[int(name[1])] = ""
        kept = [value for value in proto.graph.output if value.name not in ("y1", "y2")]
        del proto.graph.output[:]
        proto.graph.output.extend(kept)
    got, expected = Evaluator(proto)(feeds), run(proto, feeds)
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-5)


def dense(opset):
    """Products, an activation and a normalisation that ONNX Runtime fuses."""
    sizes = {"W": (6, 8), "b": (8,), "V": (8, 5), "c": (5,), "g": (8,), "k": (5, 5, 3), "d": (5,)}
    weights = {name: f32(*shape, scale=0.5) for name, shape in sizes.items()}
    constants = {"half": one(0.5), "one": one(1), "root": one(np.sqrt(2)), "two": one(2)}
    constants |= {"eps": one(1e-5)}
    nodes = [
        ("MatMul", "x W", "m", {}),
        ("Add", "m b", "a", {}),
        ("Div", "a root", "r", {}),
        ("Erf", "r", "e", {}),
        ("Add", "e one", "p", {}),
        ("Mul", "a p", "q", {}),
        ("Mul", "q half", "gelu", {}),
        ("ReduceMean", "gelu", "mean", {"axes": [-1]}),
        ("Sub", "gelu mean", "centred", {}),
        ("Pow", "centred two", "square", {}),
        ("ReduceMean", "square", "variance", {"axes": [-1]}),
        ("Add", "variance eps", "shifted", {}),
        ("Sqrt", "shifted", "deviation", {}),
        ("Div", "centred deviation", "whole", {}),
        ("Mul", "whole g", "scaled", {}),
        ("Add", "scaled b", "normed", {}),
        ("MatMul", "normed V", "n", {}),
        ("Add", "n c", "o", {}),
        ("Transpose", "o", "t", {"perm": [0, 2, 1]}),
        ("Conv", "t k d", "u", {"pads": [1, 1]}),
        ("Relu", "u", "y", {}),
    ]
    made = [
        helper.make_node(op, names.split(), [result], **attributes)
        for op, names, result, attributes in nodes
    ]
    tensors = [
        onnx.numpy_helper.from_array(array, name) for name, array in (weights | constants).items()
    ]
    graph = helper.make_graph(
        made,
        "dense",
        [helper.make_tensor_value_info("x", 1, ["batch", "time", 6])],
        [helper.make_tensor_value_info("y", 1, ["batch", 5, "time"])],
        tensors,
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("opset", [13, 17])
def test_a_file_that_the_optimiser_wrote(opset, tmp_path):
    """The same numbers in float64 before and after, and what was fused is evaluated."""
    proto = dense(opset)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(proto.SerializeToString(), options)
    optimized = onnx.load(options.optimized_model_filepath)
    kinds = {node.op_type for node in optimized.graph.node}
    assert kinds & {"BiasGelu", "Gelu"}
    assert {"LayerNormalization", "FusedConv"} <= kinds
    feeds = {"x": f32(2, 7, 6)}
    expected, got = Evaluator(proto)(feeds)["y"], Evaluator(optimized)(feeds)["y"]
    # sqrt(2) and 1e-5 of the file are float32 numbers; those of the fused operators are exact
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(got, run(proto, feeds)["y"], rtol=1e-4, atol=1e-5)

"""Operators whose meaning changed: each version as ONNX Runtime has it.

onnx's reference takes the newest version's defaults for every file, and the newest Softmax.
"""

import numpy as np
import pytest
from onnx import TensorProto

from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.evaluation import Evaluator
from tests.inspection.evaluation import made
from tests.inspection.evaluation.made import f32, model, run

AXES = np.array([1], np.int64)
CASES = [
    *(
        (op, (f32(2, 3, 4),), {}, opset)
        for op in ("Softmax", "LogSoftmax", "Hardmax")
        for opset in (7, 11, 13, 17)
    ),
    *(
        (op, (f32(2, 3, 4),), {"axis": axis}, opset)
        for op in ("Softmax", "LogSoftmax", "Hardmax")
        for axis in (0, -1, 2)
        for opset in (12, 13)
        if opset == 13 or axis >= 0
    ),
    *((op, (f32(2, 3), f32(3)), {}, 7) for op in ("Add", "Sub", "Mul", "Div")),
    *(
        (op, (f32(2, 3, 4),), {"axes": [1], "keepdims": keep}, 11)
        for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2")
        for keep in (0, 1)
    ),
    ("ReduceSum", (f32(2, 3, 4), AXES), {"keepdims": 0}, 13),
    ("ReduceMean", (f32(2, 3, 4), AXES), {"keepdims": 0}, 18),
    ("Clip", (f32(3, 4, scale=3),), {"min": -1.0, "max": 2.0}, 7),
    ("Clip", (f32(3, 4, scale=3), np.float32(-1), np.float32(2)), {}, 13),
    ("Squeeze", (f32(2, 1, 4),), {"axes": [1]}, 11),
    ("Squeeze", (f32(2, 1, 4), AXES), {}, 13),
    ("Unsqueeze", (f32(2, 4),), {"axes": [1]}, 11),
    ("Unsqueeze", (f32(2, 4), AXES), {}, 13),
    ("Slice", (f32(2, 4),), {"axes": [1], "starts": [1], "ends": [9]}, 9),
    ("Slice", (f32(2, 4), AXES, np.array([9]), AXES), {}, 13),
    ("Pad", (f32(2, 3),), {"pads": [0, 1, 0, 2], "value": 0.5}, 10),
    ("Pad", (f32(2, 3), np.array([0, 1, 0, 2]), np.float32(0.5)), {}, 13),
    ("Dropout", (f32(3, 5),), {"ratio": 0.5}, 7),
    ("Dropout", (f32(3, 5), np.float32(0.5)), {}, 13),
    ("BatchNormalization", (f32(2, 3, 4), f32(3), f32(3), f32(3), np.abs(f32(3))), {}, 9),
    ("Gemm", (f32(2, 3), f32(3, 4), f32(4)), {"alpha": 0.5, "beta": 2.0}, 9),
    ("Gemm", (f32(2, 3), f32(4, 3)), {"transB": 1}, 13),
    ("LayerNormalization", (f32(2, 3, 4), f32(4), f32(4)), {}, 17),
    ("LayerNormalization", (f32(2, 3, 4), f32(3, 4)), {"axis": 1}, 17),
    ("GroupNormalization", (f32(2, 4, 3), f32(2), f32(2)), {"num_groups": 2}, 18),
    ("GroupNormalization", (f32(2, 4, 3), f32(4), f32(4)), {"num_groups": 2}, 21),
    ("RMSNormalization", (f32(2, 3, 4), f32(4)), {}, 23),
    ("InstanceNormalization", (f32(2, 3, 4), f32(3), f32(3)), {}, 17),
    ("Gelu", (f32(3, 4),), {}, 20),
    ("Gelu", (f32(3, 4),), {"approximate": "tanh"}, 20),
    ("HardSwish", (f32(3, 4, scale=4),), {}, 17),
    ("Mish", (f32(3, 4, scale=4),), {}, 18),
    ("Erf", (f32(3, 4),), {}, 13),
    ("MeanVarianceNormalization", (f32(2, 3, 4, 4),), {}, 13),
    ("Upsample", (f32(1, 1, 2, 2), np.float32([1, 1, 2, 3])), {"mode": "nearest"}, 9),
    ("Scatter", (f32(3, 3), np.array([[1, 0, 2]]), f32(1, 3)), {}, 9),
    ("Conv", (f32(2, 4, 9), f32(6, 2, 3), f32(6)), {"group": 2, "dilations": [2]}, 11),
    ("Conv", (f32(2, 4, 9, 8), f32(6, 4, 3, 2)), {"strides": [2, 3], "pads": [1, 0, 2, 1]}, 11),
    ("Conv", (f32(1, 3, 7, 6), f32(3, 1, 4, 4)), {"group": 3, "auto_pad": "SAME_UPPER"}, 11),
    ("Conv", (f32(1, 3, 7, 6), f32(3, 1, 4, 4)), {"group": 3, "auto_pad": "SAME_LOWER"}, 11),
    ("Conv", (f32(1, 3, 7), f32(2, 3, 4)), {"auto_pad": "VALID", "strides": [2]}, 11),
    ("ConvTranspose", (f32(1, 3, 7), f32(3, 2, 4), f32(2)), {"strides": [2], "pads": [1, 1]}, 11),
    (
        "ConvTranspose",
        (f32(1, 4, 7), f32(4, 1, 4)),
        {"group": 2, "output_padding": [1], "strides": [2]},
        11,
    ),
    ("MaxPool", (f32(1, 3, 9),), {"kernel_shape": [3], "strides": [2], "ceil_mode": 1}, 12),
    ("AveragePool", (f32(1, 3, 9),), {"kernel_shape": [3], "pads": [1, 1]}, 11),
    (
        "AveragePool",
        (f32(1, 3, 9),),
        {"kernel_shape": [3], "pads": [1, 1], "count_include_pad": 1},
        11,
    ),
    *(
        ("LpNormalization", (f32(3, 4),), {"axis": axis, "p": p}, 7)
        for axis in (0, 1)
        for p in (1, 2)
    ),
    (
        "ConvTranspose",
        (f32(1, 4, 5, 6), f32(4, 3, 3, 2)),
        {"strides": [2, 3], "dilations": [2, 1], "pads": [1, 0, 0, 1]},
        11,
    ),
    *(
        ("ConvTranspose", (f32(1, 2, 5), f32(2, 3, 4)), {"strides": [2], "auto_pad": mode}, 11)
        for mode in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    ("ConvTranspose", (f32(1, 2, 5), f32(2, 3, 4)), {"strides": [3], "output_shape": [14]}, 11),
    *(
        ("MaxPool", (f32(2, 3, 9, 8),), {"kernel_shape": [3, 2], **more}, 12)
        for more in (
            {"auto_pad": "SAME_LOWER"},
            {"dilations": [2, 1]},
            {"pads": [1, 0, 1, 1], "strides": [2, 3]},
        )
    ),
    *(
        ("AveragePool", (f32(2, 3, 9, 8),), {"kernel_shape": [3, 2], **more}, 19)
        for more in (
            {"auto_pad": "SAME_UPPER"},
            {"dilations": [2, 1]},
            {"pads": [1, 0, 1, 1], "strides": [2, 3], "ceil_mode": 1},
        )
    ),
    *((op, (f32(2, 3, 4, 5),), {}, 13) for op in ("GlobalAveragePool", "GlobalMaxPool")),
    ("LpPool", (f32(1, 2, 6),), {"kernel_shape": [2], "p": 2}, 11),
    *(
        ("Pad", (f32(3, 4), np.array([1, 2, 1, 0])), {"mode": mode}, 18)
        for mode in ("reflect", "edge", "constant")
    ),
    ("Pad", (f32(3, 4), np.array([0, -1, 1, 0])), {}, 13),
    *(
        (op, (f32(3, 5),), {"axis": 1, "select_last_index": 1, "keepdims": 0}, 13)
        for op in ("ArgMax", "ArgMin")
    ),
    *(
        (op, (f32(2, 3, 4),), {"keepdims": 0}, 13)
        for op in ("ReduceLogSumExp", "ReduceProd", "ReduceMin", "ReduceL1", "ReduceSumSquare")
    ),
    ("ReduceLogSum", (np.abs(f32(2, 3)),), {}, 13),
    ("ReduceSum", (f32(2, 3), np.array([], np.int64)), {"noop_with_empty_axes": 1}, 13),
    ("Gather", (f32(3, 4), np.array([[-1, 0]])), {"axis": 1}, 13),
    ("GatherND", (f32(2, 3, 4), np.array([[[1], [0]], [[2], [-1]]])), {"batch_dims": 1}, 13),
    ("GatherElements", (f32(3, 3), np.array([[-1, 0, 2]])), {"axis": 0}, 13),
    ("ScatterND", (f32(4, 2), np.array([[1], [-1]]), f32(2, 2)), {"reduction": "add"}, 16),
    (
        "ScatterElements",
        (f32(3, 3), np.array([[1, 1, 2]]), f32(1, 3)),
        {"reduction": "add", "axis": 1},
        16,
    ),
    ("OneHot", (np.array([[0, -1], [2, 7]]), np.array(3), np.float32([0.5, 2])), {"axis": 1}, 11),
    ("Range", (np.float32(0.5), np.float32(3), np.float32(0.4)), {}, 11),
    ("Where", (np.array([[True], [False]]), f32(2, 3), f32(3)), {}, 16),
    ("Expand", (f32(3, 1), np.array([2, 1, 4])), {}, 13),
    ("Tile", (f32(2, 3), np.array([2, 1])), {}, 13),
    ("Split", (f32(2, 7), np.array([3, 4])), {"axis": 1}, 13),
    ("Concat", (f32(2, 3), f32(2, 1)), {"axis": -1}, 13),
    ("Transpose", (f32(2, 3, 4),), {}, 13),
    ("Flatten", (f32(2, 3, 4),), {"axis": -1}, 13),
    ("Reshape", (f32(2, 3, 4), np.array([0, -1])), {}, 13),
    (
        "Slice",
        (f32(5, 6), np.array([-1, 4]), np.array([-9, 0]), np.array([0, 1]), np.array([-2, -1])),
        {},
        13,
    ),
    ("Shape", (f32(2, 3, 4),), {"start": -2, "end": 3}, 15),
    ("Size", (f32(2, 3),), {}, 13),
    ("NonZero", (np.float32([[0, 2], [3, 0]]),), {}, 13),
    ("Compress", (f32(3, 4), np.array([True, False, True])), {"axis": 0}, 11),
    ("MatMul", (f32(2, 3, 4), f32(4)), {}, 13),
    ("Pow", (np.abs(f32(3)), np.array([2, 0, 3])), {}, 15),
    ("Mod", (np.array([-5, 5, 7]), np.array([3, -3, 4])), {}, 13),
    ("Div", (np.array([-7, 7, 8]), np.array([2, -2, 3])), {}, 14),
    ("Round", (np.float32([0.5, 1.5, -2.5, 2.4]),), {}, 11),
    *(
        (op, (f32(3, 4, scale=2),), {}, 13)
        for op in (
            "Abs",
            "Neg",
            "Exp",
            "Tanh",
            "Sigmoid",
            "Relu",
            "Softplus",
            "Softsign",
            "Sin",
            "Cos",
            "Floor",
            "Ceil",
            "Sign",
            "Reciprocal",
            "Identity",
            "Elu",
            "LeakyRelu",
            "HardSigmoid",
        )
    ),
    *((op, (np.abs(f32(3, 4)),), {}, 13) for op in ("Log", "Sqrt")),
    *(
        (op, (f32(2, 3), f32(3)), {}, 13)
        for op in ("Max", "Min", "Mean", "Sum", "Greater", "Less", "Equal")
    ),
    ("Cast", (np.float32([1.7, -1.7, 0.2]),), {"to": TensorProto.INT32}, 13),
    ("Cast", (np.float32([1.7, 0, 0.2]),), {"to": TensorProto.BOOL}, 13),
    ("IsNaN", (np.float32([1, np.nan]),), {}, 13),
    ("IsInf", (np.float32([1, np.inf, -np.inf]),), {"detect_negative": 0}, 10),
    *(
        (
            "Resize",
            (f32(1, 2, 5, 6), np.float32([]), np.float32([1, 1, 2, 1.5])),
            {"mode": mode, "coordinate_transformation_mode": how},
            13,
        )
        for mode in ("linear", "cubic")
        for how in ("half_pixel", "align_corners", "asymmetric")
    ),
    (
        "Resize",
        (f32(1, 2, 5), None, None, np.array([1, 2, 8])),
        {"mode": "linear"},
        13,
    ),
    ("DFT", (f32(1, 8, 1),), {"onesided": 1}, 17),
    ("GridSample", (f32(1, 2, 4, 4), f32(1, 3, 3, 2, scale=0.5)), {"padding_mode": "border"}, 16),
    ("SpaceToDepth", (f32(1, 2, 4, 6),), {"blocksize": 2}, 13),
    ("InstanceNormalization", (f32(2, 3, 4, 5), f32(3), f32(3)), {"epsilon": 0.1}, 13),
    ("Det", (f32(2, 3, 3),), {}, 11),
    (
        "BitShift",
        (np.array([8, 16], np.uint8), np.array([1, 2], np.uint8)),
        {"direction": "RIGHT"},
        11,
    ),
    ("CumSum", (f32(3, 4), np.array(1)), {"exclusive": 1, "reverse": 1}, 14),
    ("ReverseSequence", (f32(4, 2, 3), np.array([4, 2])), {}, 10),
    ("Einsum", (f32(2, 3, 4), f32(2, 4, 5)), {"equation": "bij,bjk->bik"}, 12),
    ("PRelu", (f32(2, 3, 4), f32(3, 1)), {}, 9),
    ("Resize", (f32(1, 2, 4), np.float32([]), np.float32([1, 1, 2])), {"mode": "linear"}, 11),
    ("Resize", (f32(1, 2, 5), np.float32([]), np.float32([1, 1, 0.6])), {"mode": "nearest"}, 13),
    ("LRN", (f32(1, 5, 3, 2),), {"size": 3}, 13),
    ("STFT", (f32(1, 64, 1), np.array(16), f32(32), np.array(32)), {}, 17),
    ("Mod", (f32(3, 4), f32(3, 4)), {"fmod": 1}, 13),
    ("Celu", (f32(3, 4),), {"alpha": 0.7}, 12),
    ("Selu", (f32(3, 4),), {}, 6),
    ("ThresholdedRelu", (f32(3, 4),), {"alpha": 0.3}, 10),
    ("Shrink", (f32(3, 4),), {"bias": 0.1, "lambd": 0.4}, 9),
    ("Trilu", (f32(3, 4), np.array(1)), {"upper": 0}, 14),
    ("DepthToSpace", (f32(1, 8, 2, 3),), {"blocksize": 2, "mode": "CRD"}, 11),
]


@pytest.mark.parametrize(("op", "arrays", "attributes", "opset"), CASES, ids=lambda v: str(v)[:20])
def test_a_version(op, arrays, attributes, opset):
    arrays = [None if array is None else np.asarray(array) for array in arrays]
    outputs = 2 if op == "Split" else 1
    proto, feeds = model(op, arrays, attributes, outputs, domain="", opset=opset)
    expected, got = run(proto, feeds)["y0"], Evaluator(proto)(feeds)["y0"]
    assert got.shape == expected.shape
    assert got.dtype == (np.float64 if expected.dtype == np.float32 else expected.dtype)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


EMPTY = [
    ((2, 0, 4), [5, 0, -1], {}, None),
    ((5, 0, 4), [5, 0, -1], {}, (5, 0, 4)),
    ((5, 0, 4), [0, 0, 2, -1], {}, (5, 0, 2, 2)),
    ((0, 3, 4), [0, -1], {}, (0, 12)),
    ((0, 3), [-1], {}, (0,)),
    ((0, 3), [3, 0], {"allowzero": 1}, (3, 0)),
    ((2, 3), [0, -1, 1], {}, (2, 3, 1)),
]


@pytest.mark.parametrize(("shape", "to", "attributes", "expected"), EMPTY)
def test_a_size_that_is_left_of_nothing(shape, to, attributes, expected):
    """numpy, and so onnx's reference, has no size that is left of no rows."""
    arrays = (np.ones(shape, np.float32), np.array(to))
    proto, feeds = model("Reshape", arrays, attributes, domain="", opset=14)
    if expected:
        assert Evaluator(proto)(feeds)["y0"].shape == expected
    else:
        with pytest.raises(RnnbenchError, match="Reshape 'y0' fails"):
            Evaluator(proto)(feeds)


def test_more_than_64_along_an_axis():
    arrays = (f32(100, 3), made.rng.integers(-100, 100, (70, 2)))
    proto, feeds = model("GatherElements", arrays, {}, domain="", opset=13)
    np.testing.assert_array_equal(Evaluator(proto)(feeds)["y0"], run(proto, feeds)["y0"])


def test_a_logarithm_of_what_float64_has_as_0():
    """onnx's reference takes the logarithm of Softmax, which is minus infinity there."""
    proto, feeds = model("LogSoftmax", [np.float32([[0, 800]])], {}, domain="", opset=13)
    assert Evaluator(proto)(feeds)["y0"].tolist() == [[-800, 0]]


BEFORE_7 = [
    ("Add", (2, 3, 4), (3, 4), {"broadcast": 1}, lambda a, b: a + b),
    ("Mul", (2, 3, 4), (2, 3), {"broadcast": 1, "axis": 0}, lambda a, b: a * b[:, :, None]),
    ("Sub", (2, 3, 4), (3,), {"broadcast": 1, "axis": 1}, lambda a, b: a - b[:, None]),
    ("Sub", (2, 3, 4), (3,), {"broadcast": 1, "axis": -2}, lambda a, b: a - b[:, None]),
    ("Div", (2, 3), (2, 3), {}, lambda a, b: a / b),
    ("Less", (2, 3), (2, 3), {}, lambda a, b: a < b),
]


@pytest.mark.parametrize(("op", "a", "b", "attributes", "formula"), BEFORE_7)
def test_broadcasting_before_opset_7(op, a, b, attributes, formula):
    a, b = f32(*a), f32(*b)
    proto, feeds = model(op, (a, b), attributes, domain="", opset=6)
    got = Evaluator(proto)(feeds)["y0"]
    np.testing.assert_array_equal(got, formula(a.astype(np.float64), b.astype(np.float64)))


def test_shapes_that_differ_before_opset_7():
    proto, feeds = model("Add", (f32(2, 3), f32(3)), {}, domain="", opset=6)
    with pytest.raises(RnnbenchError, match="broadcast is not set"):
        Evaluator(proto)(feeds)


def test_a_cast_by_name_before_opset_6():
    proto, feeds = model("Cast", (f32(3),), {"to": "FLOAT16"}, domain="", opset=5)
    assert Evaluator(proto)(feeds)["y0"].dtype == np.float64
    proto, feeds = model("Cast", (f32(3),), {"to": "INT64"}, domain="", opset=5)
    assert Evaluator(proto)(feeds)["y0"].dtype == np.int64


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("RandomNormal", {"shape": [3]}),
        ("RandomUniform", {"shape": [3], "dtype": TensorProto.FLOAT16}),
        ("HannWindow", {}),
        ("HammingWindow", {}),
        ("ConstantOfShape", {}),
        ("EyeLike", {"dtype": TensorProto.FLOAT}),
    ],
)
def test_what_makes_numbers_makes_those_of_float64(op, attributes):
    given = {
        "HannWindow": (np.array(5),),
        "HammingWindow": (np.array(5),),
        "ConstantOfShape": (np.array([3]),),
        "EyeLike": (np.ones((2, 2), np.int32),),
    }.get(op, ())
    proto, feeds = model(op, given, attributes, domain="", opset=17)
    got = Evaluator(proto)(feeds)["y0"]
    assert got.dtype == np.float64
    windows = {
        "HannWindow": np.sin(np.pi * np.arange(5) / 5) ** 2,
        "HammingWindow": 25 / 46 - 21 / 46 * np.cos(2 * np.pi * np.arange(5) / 5),
    }
    if op in windows:
        np.testing.assert_allclose(got, windows[op], rtol=1e-13, atol=1e-15)


def test_dropout_that_draws_is_refused():
    arrays = (f32(3, 5), np.float32(0.5), np.array(True))
    proto, feeds = model("Dropout", [np.asarray(a) for a in arrays], {}, domain="", opset=13)
    with pytest.raises(RnnbenchError, match="Dropout 'y0' fails: it draws random numbers"):
        Evaluator(proto)(feeds)

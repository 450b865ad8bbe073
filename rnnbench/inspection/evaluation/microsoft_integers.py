"""ONNX Runtime's own operators on 8 bits: see microsoft.py.

Their scales are multiplied in the evaluator's precision, and what is rounded to an integer is
rounded once. ONNX Runtime rounds in between (to float32, or to the nearest of a table of 256).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnbench.inspection.evaluation.activations import formula
from rnnbench.inspection.evaluation.layers import Product, run_lstm
from rnnbench.inspection.evaluation.nodes import Node, Operation, Values, padded
from rnnbench.inspection.evaluation.pointwise import axes_from, softmax
from rnnbench.inspection.evaluation.quantised import (
    dequantise_linear,
    product,
    quantise_dynamic,
    quantise_linear,
    saturated,
)

Array = np.ndarray


def _lstm(node: Node, inputs: Values) -> list[Any]:
    """An LSTM whose input, and whose state at each step, are made uint8 for the products.

    W (directions, input, 4 * hidden) and R (directions, hidden, 4 * hidden) are integers, each
    with a scale and a zero point a direction or a gate's unit. X is quantised at once, of all
    rows and of as many steps as the longest row has; the state at each step, of all rows, where
    one that has ended counts once more, and then as 0.
    """
    w, r = inputs[1:3]
    w_scale, w_zero, r_scale, r_zero = inputs[8:12]
    products = [
        (_dynamic(w[i], w_scale[i], w_zero[i], node), _dynamic(r[i], r_scale[i], r_zero[i], node))
        for i in range(len(w))
    ]
    return run_lstm(node, [*inputs[:2], r.swapaxes(1, 2), *inputs[3:8]], products)


def _dynamic(weights: Array, scale: Array, zero: Array, node: Node) -> Product:
    """The product with integers of what is quantised as DynamicQuantizeLinear does."""
    dtype = node.precision.dtype

    def times(x: Array) -> Array:
        values, x_scale, x_zero = quantise_dynamic(x, node.precision.off)
        total = product(values, weights, x_zero, np.asarray(zero)).astype(dtype)
        return np.asarray(total * (dtype.type(x_scale) * scale))

    return times


def _dynamic_matmul(node: Node, inputs: Values) -> list[Any]:
    a, b, scale, zero, bias = padded(inputs, 5)
    y = _dynamic(b, scale, np.zeros((), b.dtype) if zero is None else zero, node)(a)
    return [y if bias is None else y + bias]


def _matmul_to_float(node: Node, inputs: Values) -> list[Any]:
    a, b, a_scale, b_scale, a_zero, b_zero, bias = padded(inputs, 7)
    total = product(a, b, a_zero, b_zero).astype(node.precision.dtype)
    if a_scale.ndim == 1 and a_scale.size > 1:
        a_scale = a_scale[:, None]
    y = total * (a_scale * b_scale)
    return [y if bias is None else y + bias]


def _gemm(node: Node, inputs: Values) -> list[Any]:
    """Integers where it is given a scale of its output, else floating numbers."""
    a, a_scale, a_zero, b, b_scale, b_zero, c, scale, zero = padded(inputs, 9)
    a = a.T if node.get("transA", 0) else a
    b = b.T if node.get("transB", 0) else b
    total = product(a, b, a_zero, b_zero)
    total = total if c is None else total + c
    y = node.get("alpha", 1.0) * total * (a_scale * b_scale)
    if scale is None:
        return [y.astype(node.precision.dtype)]
    return [_quantised(y, scale, zero, zero.dtype if zero is not None else a.dtype)]


def _real(values: Array, scale: Array, zero: Array | None) -> Array:
    wide = values.astype(np.float64)
    return np.asarray((wide if zero is None else wide - zero.astype(np.float64)) * scale)


def _quantised(real: Array, scale: Array, zero: Array | None, dtype: Any) -> Array:
    return saturated(np.rint(real / scale), 0 if zero is None else zero, dtype)


def _binary(node: Node, inputs: Values) -> list[Any]:
    """QLinearAdd, QLinearMul."""
    a, a_scale, a_zero, b, b_scale, b_zero, scale, zero = padded(inputs, 8)
    left, right = _real(a, a_scale, a_zero), _real(b, b_scale, b_zero)
    y = left + right if node.op == "QLinearAdd" else left * right
    return [_quantised(y, scale, zero, a.dtype)]


def _unary(node: Node, inputs: Values) -> list[Any]:
    """QLinearSigmoid, QLinearLeakyRelu, QLinearSoftmax, QLinearGlobalAveragePool."""
    x, x_scale, x_zero, scale, zero = padded(inputs, 5)
    real = _real(x, x_scale, x_zero)
    if node.op == "QLinearSoftmax":
        axis = node.get("axis", -1)
        y = softmax(real, axes_from(real, axis) if node.get("opset", 13) < 13 else axis)
    elif node.op == "QLinearGlobalAveragePool":
        first = 1 if node.get("channels_last", 0) else 2
        y = real.mean(axis=tuple(range(first, first + real.ndim - 2)), keepdims=True)
    else:
        function, defaults = formula(node.op.removeprefix("QLinear"))
        y = function(real, *(node.get("alpha", default) for default in defaults))
    return [_quantised(y, scale, zero, x.dtype)]


def _concat(node: Node, inputs: Values) -> list[Any]:
    scale, zero, *rest = inputs
    parts = [_real(*rest[i : i + 3]) for i in range(0, len(rest), 3)]
    return [_quantised(np.concatenate(parts, node.get("axis")), scale, zero, zero.dtype)]


MICROSOFT_INTEGERS: dict[str, Operation] = {
    "DequantizeLinear": dequantise_linear,
    "DynamicQuantizeLSTM": _lstm,
    "DynamicQuantizeMatMul": _dynamic_matmul,
    "MatMulIntegerToFloat": _matmul_to_float,
    "QGemm": _gemm,
    "QLinearAdd": _binary,
    "QLinearConcat": _concat,
    "QLinearGlobalAveragePool": _unary,
    "QLinearLeakyRelu": _unary,
    "QLinearMul": _binary,
    "QLinearSigmoid": _unary,
    "QLinearSoftmax": _unary,
    "QuantizeLinear": quantise_linear,
}

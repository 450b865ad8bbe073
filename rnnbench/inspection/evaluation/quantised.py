"""ONNX's operators on integers of few bits, with their decisions as each of them says.

Where a number is rounded to an integer, the quotient is one of float32, in both precisions of the
evaluator: the specification says so ("the type of y_scale determines the precision of the
division"; DynamicQuantizeLinear takes float32 alone), and a quotient in float64 would decide
otherwise near a half than every right engine. What is not rounded is computed in the evaluator's
own precision: a dequantised number, a product of integers and scales.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from rnnbench.inspection.evaluation.convolution import convolve, per_channel
from rnnbench.inspection.evaluation.leaves import leaf
from rnnbench.inspection.evaluation.nodes import Node, Operation, Values, padded

Array = np.ndarray
_INTEGERS = {name: np.iinfo(name) for name in ("uint8", "int8", "uint16", "int16", "int32")}
_FEW_BITS = {"uint4": (0, 15), "int4": (-8, 7), "uint2": (0, 3), "int2": (-2, 1)}


def bounds(dtype: Any) -> tuple[int, int] | None:
    """The least and the greatest number of an integer type; None of another type."""
    name = np.dtype(dtype).name
    if name in _INTEGERS:
        return int(_INTEGERS[name].min), int(_INTEGERS[name].max)
    return _FEW_BITS.get(name)


def saturated(rounded: Array, zero: Any, dtype: Any) -> Array:
    """Integers that are held as floats, plus a zero point, within the bounds of a type."""
    least, most = bounds(dtype) or (0, 0)
    total = np.clip(rounded.astype(np.float64) + np.asarray(zero).astype(np.float64), least, most)
    return np.asarray(total.astype(np.int64).astype(dtype))


def along(values: Array, shape: tuple[int, ...], axis: int | None, block: int = 0) -> Array:
    """Scales or zero points of a tensor, an axis or blocks, broadcast to an array's shape."""
    if values.size == 1 and not block:
        return values.reshape(())
    if not block:
        if axis is None or values.ndim != 1:
            raise ValueError(f"scales of shape {values.shape} need an axis")
        return values.reshape([-1 if i == axis % len(shape) else 1 for i in range(len(shape))])
    axis %= len(shape)  # type: ignore[operator]
    return np.repeat(values, block, axis=axis).take(np.arange(shape[axis]), axis=axis)


def quantise_dynamic(
    x: Array, off: Callable[[Array, str], Array] | None = None
) -> tuple[Array, np.float32, Array]:
    """An array as uint8, its scale and its zero point, as DynamicQuantizeLinear does.

    Of zeros alone the specification's scale is 0; it is 1 here, as in ONNX Runtime.

    Args:
        x: the array.
        off: what is done to the quotients, as "round" (`Precision.off`).
    """
    x = x.astype(np.float32)
    least = np.float32(min(x.min(initial=0), 0))
    most = np.float32(max(x.max(initial=0), 0))
    scale = np.float32((most - least) / np.float32(255))
    scale = scale if scale else np.float32(1)
    zero = np.rint(np.clip(-least / scale, 0, 255)).astype(np.uint8)
    quotients = x / scale if off is None else off(x / scale, "round")
    return saturated(np.rint(quotients), zero, np.uint8), scale, np.asarray(zero)


class _Widened:
    """Integers in float64; those of weights, which a loop multiplies by again and again, once."""

    def __init__(self, most: int) -> None:
        self._most, self._known = most, dict[int, tuple[Array, Array]]()

    def __call__(self, integers: Array) -> Array:
        held = self._known.get(id(integers))
        if held is not None and held[0] is integers:
            return held[1]
        wide = integers.astype(np.float64)
        total = sum(array.nbytes for _, array in [*self._known.values()])
        if total + wide.nbytes > self._most:
            self._known.clear()
        self._known[id(integers)] = integers, wide  # held, so that nothing else gets its id
        return wide


_WIDE = _Widened(2**27)  # bytes


def product(a: Array, b: Array, a_zero: Any = None, b_zero: Any = None) -> Array:
    """A matrix product of integers less their zero points, exactly (in float64, below 2**53).

    Args:
        a: integers, (..., M, K).
        b: integers, (..., K, N).
        a_zero: a number, one for each row (M,), or what broadcasts.
        b_zero: a number, one for each column (N,), or what broadcasts.
    """
    wide_a, wide_b = a.astype(np.float64), _WIDE(b)
    if a_zero is not None:
        rows = a_zero.ndim == 1 and a_zero.size > 1 and a.ndim > 1
        wide_a -= (a_zero[:, None] if rows else _scalar(a_zero)).astype(np.float64)
    if b_zero is not None:
        wide_b = wide_b - _scalar(b_zero).astype(np.float64)
    return np.asarray(wide_a @ wide_b)


def _scalar(values: Array) -> Array:
    return values.reshape(()) if values.size == 1 else values


def quantise_linear(node: Node, inputs: Values) -> list[Any]:
    """Gives saturate(round(x / y_scale) + y_zero_point)."""
    x, scale, zero = padded(inputs, 3)
    to = node.get("output_dtype", 0)
    target = zero.dtype if zero is not None else onnx.helper.tensor_dtype_to_np_dtype(to or 2)
    exact = onnx.helper.tensor_dtype_to_np_dtype(node.get("precision", 0) or 1)
    narrow = [v.astype(exact) if v is not None and v.dtype.kind == "f" else v for v in (x, scale)]
    if bounds(target) is None:  # float8 and float4
        return list(leaf(node)(node, [*narrow, *inputs[2:]]))
    block, axis = node.get("block_size", 0), _axis(node)
    divided = narrow[0].astype(exact) / along(narrow[1].astype(exact), x.shape, axis, block)
    if node.precision.off is not None:
        divided = node.precision.off(divided, "round")
    shift = 0 if zero is None else along(zero, x.shape, axis, block)
    return [saturated(np.rint(divided), shift, target)]


def dequantise_linear(node: Node, inputs: Values) -> list[Any]:
    """Gives (x - x_zero_point) * x_scale."""
    x, scale, zero = padded(inputs, 3)
    dtype, block, axis = node.precision.dtype, node.get("block_size", 0), _axis(node)
    wide = x.astype(dtype)
    if zero is not None:
        wide = wide - along(zero, x.shape, axis, block).astype(dtype)
    return [np.asarray(wide * along(scale.astype(dtype), x.shape, axis, block))]


def _axis(node: Node) -> int | None:
    """1 by default; in ONNX Runtime's domain none by default."""
    return node.get("axis", None if node.domain else 1)  # type: ignore[no-any-return]


def _dynamic(node: Node, inputs: Values) -> list[Any]:
    values, scale, zero = quantise_dynamic(inputs[0], node.precision.off)
    return [values, np.asarray(scale, dtype=node.precision.dtype), zero]


def _matmul_integer(node: Node, inputs: Values) -> list[Any]:
    return [product(*inputs).astype(np.int64).astype(np.int32)]


def requantised(total: Array, scale: Any, zero: Any, dtype: Any) -> Array:
    """A sum of products in int32, times a scale in float32, rounded and shifted."""
    scaled = total.astype(np.int64).astype(np.int32).astype(np.float32) * np.float32(scale)
    return saturated(np.rint(scaled), zero, dtype)


def _qlinear_matmul(node: Node, inputs: Values) -> list[Any]:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs
    a_scale, b_scale, y_scale = (s.astype(np.float32) for s in (a_scale, b_scale, y_scale))
    if a_scale.ndim == 1 and a_scale.size > 1:
        a_scale = a_scale[:, None]
    scale = _scalar(a_scale) * _scalar(b_scale) / _scalar(y_scale)
    total = product(a, b, a_zero, b_zero)
    return [requantised(total, scale, _scalar(y_zero), y_zero.dtype)]


def _convolved(node: Node, x: Array, w: Array, x_zero: Any, w_zero: Any) -> Array:
    wide_x, wide_w = x.astype(np.float64), w.astype(np.float64)
    if x_zero is not None:
        wide_x -= _scalar(x_zero).astype(np.float64)
    if w_zero is not None:
        wide_w -= per_channel(_scalar(w_zero), w.ndim + 1).astype(np.float64)
    return convolve(node, wide_x, wide_w)


def _conv_integer(node: Node, inputs: Values) -> list[Any]:
    return [_convolved(node, *padded(inputs, 4)).astype(np.int64).astype(np.int32)]


def _qlinear_conv(node: Node, inputs: Values) -> list[Any]:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias = padded(inputs, 9)
    total = _convolved(node, x, w, x_zero, w_zero)
    if bias is not None:
        total = total + per_channel(bias.astype(np.float64), total.ndim)
    narrow = [_scalar(s.astype(np.float32)) for s in (x_scale, w_scale, y_scale)]
    scale = per_channel(narrow[0] * narrow[1] / narrow[2], total.ndim)
    return [requantised(total, scale, _scalar(y_zero), y_zero.dtype)]


QUANTISED: dict[str, Operation] = {
    "QuantizeLinear": quantise_linear,
    "DequantizeLinear": dequantise_linear,
    "DynamicQuantizeLinear": _dynamic,
    "MatMulInteger": _matmul_integer,
    "QLinearMatMul": _qlinear_matmul,
    "ConvInteger": _conv_integer,
    "QLinearConv": _qlinear_conv,
}

"""Activations, normalisations and the like: where onnx's reference has none, or another.

Formulas: https://github.com/onnx/onnx/blob/main/docs/Operators.md and Changelog.md.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnnbench.inspection.evaluation.nodes import Node, Operation, Values, padded

Array = np.ndarray
# onnx's reference rounds erf to float32 (np.vectorize(erf, otypes=["f"])); numpy has none.
_ERF = np.vectorize(math.erf, otypes=[np.float64])


def erf(x: Array) -> Array:
    """The error function, elementwise."""
    result: Array = _ERF(x).astype(x.dtype)
    return result


def gelu(x: Array, approximate: bool = False) -> Array:
    """The normal distribution's function at x, times x, or an approximation of it by tanh."""
    if approximate:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
        return np.asarray(0.5 * x * (1 + np.tanh(inner)))
    return np.asarray(0.5 * x * (1 + erf(x / math.sqrt(2))))


def softmax(x: Array, axis: Any, logarithm: bool = False) -> Array:
    """Its logarithm is not that of a number that has become 0."""
    if not x.size:
        return x
    shifted = x - x.max(axis=axis, keepdims=True)
    total = np.exp(shifted).sum(axis=axis, keepdims=True)
    return np.asarray(shifted - np.log(total) if logarithm else np.exp(shifted) / total)


def normalised(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array, Array]:
    """What has mean 0 and variance 1 over some axes, the mean, and 1 / the deviation of x."""
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    inverse = 1 / np.sqrt((centred * centred).mean(axis=axes, keepdims=True) + epsilon)
    return centred * inverse, mean, inverse


def root_mean_square(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array]:
    """What has a mean square of 1 over some axes, and what x was multiplied by."""
    inverse = 1 / np.sqrt((x * x).mean(axis=axes, keepdims=True) + epsilon)
    return x * inverse, inverse


def axes_from(x: Array, axis: int) -> tuple[int, ...]:
    """An axis, which may count from the end, and all after it."""
    return tuple(range(axis % x.ndim, x.ndim))


def _erf(node: Node, inputs: Values) -> list[Any]:
    return [erf(inputs[0])]


def _gelu(node: Node, inputs: Values) -> list[Any]:
    return [gelu(inputs[0], node.get("approximate", "none") == "tanh")]


def _hard_swish(node: Node, inputs: Values) -> list[Any]:
    (x,) = inputs
    return [x * np.clip(x / 6 + 0.5, 0, 1)]


def _mish(node: Node, inputs: Values) -> list[Any]:
    (x,) = inputs
    return [x * np.tanh(np.logaddexp(x, np.zeros((), x.dtype)))]


def _softmax(node: Node, inputs: Values) -> list[Any]:
    """Before opset 13 over all axes from one on, which is 1 unless it is given."""
    (x,) = inputs
    axis = node.get("axis", 1 if node.version < 13 else -1)
    over = axes_from(x, axis) if node.version < 13 else axis
    if node.op == "Hardmax":
        return [_hardmax(x, over)]
    return [softmax(x, over, node.op == "LogSoftmax")]


def _hardmax(x: Array, over: Any) -> Array:
    """1 at the first greatest number, 0 elsewhere."""
    if not x.size:
        return x
    flat = x.reshape(*x.shape[: over[0]], -1) if isinstance(over, tuple) else x
    axis = -1 if isinstance(over, tuple) else over
    result = np.zeros_like(flat)
    np.put_along_axis(result, flat.argmax(axis=axis, keepdims=True), 1, axis=axis)
    return result.reshape(x.shape)


def layer_normalisation(node: Node, inputs: Values) -> list[Any]:
    """Y, the mean and 1 / the standard deviation; `stash_type` is what the file computes in."""
    x, scale, bias = padded(inputs, 3)
    axes = axes_from(x, node.get("axis", -1))
    y, mean, inverse = normalised(x, axes, node.get("epsilon", 1e-5))
    return [y * scale if bias is None else y * scale + bias, mean, inverse]


def rms_normalisation(node: Node, inputs: Values) -> list[Any]:
    """Y, and what X was multiplied by before the scale."""
    x, scale = inputs[:2]
    y, inverse = root_mean_square(x, axes_from(x, node.get("axis", -1)), node.get("epsilon", 1e-5))
    return [y * scale, inverse]


def _batch_normalisation(node: Node, inputs: Values) -> list[Any]:
    """With the mean and the variance that it is given.

    onnx's reference takes those of the batch before opset 14.

    Raises:
        ValueError: it is asked for those of the batch.
    """
    x, *given = inputs
    more = any(node.proto.output[1:])
    training = node.get("training_mode", 0) if node.version >= 14 else more
    if training or (node.version < 7 and not node.get("is_test", 0)):
        raise ValueError("it takes statistics of the batch (training mode): export in eval mode")
    shape = (1, -1, *[1] * (x.ndim - 2)) if node.get("spatial", 1) else (1, *x.shape[1:])
    scale, bias, mean, variance = (value.reshape(shape) for value in given)
    return [scale * (x - mean) / np.sqrt(variance + node.get("epsilon", 1e-5)) + bias]


def _lp_normalisation(node: Node, inputs: Values) -> list[Any]:
    """Of a norm of 0, 0. onnx's reference has no absolute value in the norm of p = 1."""
    (x,) = inputs
    p, axis = node.get("p", 2), node.get("axis", -1)
    norm = np.linalg.norm(x, ord=p, axis=axis, keepdims=True)
    return [np.where(norm == 0, 0, x / norm)]


def _local_response(node: Node, inputs: Values) -> list[Any]:
    """LRN: by the squares of the channels beside.

    onnx's reference does as many channels as there are rows.
    """
    (x,) = inputs
    size = node.get("size")
    before, after = (size - 1) // 2, size // 2
    padding = [(0, 0)] * x.ndim
    padding[1] = (before, after)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x * x, padding), size, axis=1)
    total = windows.sum(axis=-1) * (node.get("alpha", 1e-4) / size)
    return [x / (node.get("bias", 1.0) + total) ** node.get("beta", 0.75)]


def _group_normalisation(node: Node, inputs: Values) -> list[Any]:
    """Scale and bias are a number for each group in opset 18, for each channel since 21."""
    x, scale, bias = inputs
    groups = node.get("num_groups")
    split = x.reshape(x.shape[0], groups, -1)
    y = normalised(split, (2,), node.get("epsilon", 1e-5))[0].reshape(x.shape)
    each = x.shape[1] // scale.shape[0]
    shape = (-1, *[1] * (x.ndim - 2))
    scale, bias = (np.repeat(given, each).reshape(shape) for given in (scale, bias))
    return [y * scale + bias]


def _mean_variance(node: Node, inputs: Values) -> list[Any]:
    """(X - EX) / (sqrt(E(X - EX)^2) + 1e-9), as the function in the specification has it."""
    (x,) = inputs
    axes = tuple(node.get("axes", (0, 2, 3)))
    mean = x.mean(axis=axes, keepdims=True)
    deviation = np.sqrt((x * x).mean(axis=axes, keepdims=True) - mean * mean)
    return [(x - mean) / (deviation + 1e-9)]


def _dropout(node: Node, inputs: Values) -> list[Any]:
    """As it is when a network is used.

    Raises:
        ValueError: it is asked to draw.
    """
    x, ratio, training = padded(inputs, 3)
    drawn = bool(training) if node.version >= 12 else node.version < 7 and not node.get("is_test")
    if drawn and (ratio is None or ratio > 0):
        raise ValueError("it draws random numbers (training mode): export in eval mode")
    return [x, np.ones(x.shape, bool)]


POINTWISE: dict[str, Operation] = {
    "Erf": _erf,
    "Gelu": _gelu,
    "HardSwish": _hard_swish,
    "Mish": _mish,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Hardmax": _softmax,
    "LayerNormalization": layer_normalisation,
    "RMSNormalization": rms_normalisation,
    "SimplifiedLayerNormalization": rms_normalisation,  # ONNX Runtime's name of it
    "BatchNormalization": _batch_normalisation,
    "LpNormalization": _lp_normalisation,
    "LRN": _local_response,
    "GroupNormalization": _group_normalisation,
    "MeanVarianceNormalization": _mean_variance,
    "Dropout": _dropout,
}

"""ONNX Runtime's own operators, which its optimiser and its quantiser put into files.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md (1.32), domain
com.microsoft. What it leaves open is as ONNX Runtime computes it: docs/evaluation.md says where.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnnbench.inspection.evaluation.activations import formula
from rnnbench.inspection.evaluation.convolution import convolve, per_channel
from rnnbench.inspection.evaluation.nodes import Node, Operation, Values, padded
from rnnbench.inspection.evaluation.pointwise import (
    gelu,
    normalised,
    root_mean_square,
)

Array = np.ndarray


def _activated(x: Array, name: str, parameters: list[float]) -> Array:
    """The activation of a fused node, "" for none, with the numbers that it has."""
    if not name:
        return x
    if name == "Clip":
        least, most = parameters
        return np.asarray(np.clip(x, least, most))
    function, defaults = formula(name)
    given = [*parameters, *defaults[len(parameters) :]][: len(defaults)]
    return function(x, *given).astype(x.dtype, copy=False)


def _gelu(node: Node, inputs: Values) -> list[Any]:
    x, bias = padded(inputs, 2)
    return [gelu(x if bias is None else x + bias, approximate=node.op == "FastGelu")]


def _quick_gelu(node: Node, inputs: Values) -> list[Any]:
    (x,) = inputs
    sigmoid, _ = formula("Sigmoid")
    return [x * sigmoid(node.get("alpha", float(np.float32(1.702))) * x)]


def _fused_matmul(node: Node, inputs: Values) -> list[Any]:
    a, b = (
        _transposed(matrix, node.get(f"transBatch{side}", 0), node.get(f"trans{side}", 0))
        for matrix, side in zip(inputs, "AB", strict=True)
    )
    return [node.get("alpha", 1.0) * (a @ b)]


def _transposed(matrix: Array, batches: int, last: int) -> Array:
    """The first axis before the last one where `batches`, then the last two exchanged."""
    if matrix.ndim < 2:
        return matrix
    matrix = np.moveaxis(matrix, 0, -2) if batches else matrix
    return matrix.swapaxes(-1, -2) if last else matrix


def _fused_gemm(node: Node, inputs: Values) -> list[Any]:
    a, b, c = padded(inputs, 3)
    a = a.T if node.get("transA", 0) else a
    b = b.T if node.get("transB", 0) else b
    y = node.get("alpha", 1.0) * (a @ b)
    y = y if c is None else y + node.get("beta", 1.0) * c
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    given = [node.get(name) for name in names if node.get(name) is not None]
    return [_activated(y, node.get("activation", ""), given)]


def _fused_conv(node: Node, inputs: Values) -> list[Any]:
    x, w, b, z = padded(inputs, 4)
    y = convolve(node, x, w)
    y = y if b is None else y + per_channel(b, y.ndim)
    y = y if z is None else y + z
    return [_activated(y, node.get("activation", ""), node.get("activation_params") or [])]


def _skip_layer_normalisation(node: Node, inputs: Values) -> list[Any]:
    x, skip, gamma, beta, bias = padded(inputs, 5)
    total = x + skip if bias is None else x + skip + bias
    y, mean, inverse = normalised(total, (-1,), node.get("epsilon", _EPSILON))
    return [y * gamma if beta is None else y * gamma + beta, mean, inverse, total]


def _skip_rms_normalisation(node: Node, inputs: Values) -> list[Any]:
    x, skip, gamma, bias = padded(inputs, 4)
    total = x + skip if bias is None else x + skip + bias
    y, inverse = root_mean_square(total, (-1,), node.get("epsilon", _EPSILON))
    return [y * gamma, None, inverse, total]


_EPSILON = float(np.float32(1e-12))


def _matmul_n_bits(node: Node, inputs: Values) -> list[Any]:
    """A times weights of few bits: (N, blocks of K, bytes), a scale and zero point a block.

    Raises:
        ValueError: the weights lie in another order.
    """
    a, packed, scales, zeros, order, bias = padded(inputs, 6)
    if order is not None or node.get("weight_prepacked", 0):
        raise ValueError("weights in another order (g_idx, weight_prepacked) are not evaluated")
    bits, rows, columns = node.get("bits", 4), node.get("N"), node.get("K")
    block = node.get("block_size")
    weights = _unpacked(packed.reshape(rows, -1), bits).astype(node.precision.dtype)
    blocks = math.ceil(columns / block)
    weights = weights.reshape(rows, blocks, block)
    if zeros is None:
        zeros = np.asarray(2.0 ** (bits - 1))
    elif zeros.dtype == np.uint8:
        zeros = _unpacked(zeros.reshape(rows, -1), bits)[:, :blocks, None].astype(weights.dtype)
    else:
        zeros = zeros.reshape(rows, blocks, 1)
    matrix = ((weights - zeros) * scales.reshape(rows, blocks, 1)).reshape(rows, -1)[:, :columns]
    y = a @ matrix.T
    return [y if bias is None else y + bias]


def _unpacked(data: Array, bits: int) -> Array:
    """Numbers of few bits in bytes, the lowest first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return ((data[..., None] >> shifts) & np.uint8(2**bits - 1)).reshape(len(data), -1)


MICROSOFT: dict[str, Operation] = {
    "BiasGelu": _gelu,
    "FastGelu": _gelu,
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_matmul,
    "Gelu": _gelu,
    "MatMulNBits": _matmul_n_bits,
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_layer_normalisation,
    "SkipSimplifiedLayerNormalization": _skip_rms_normalisation,
    "TransposeMatMul": _fused_matmul,
}

"""Conv, and its kin: https://github.com/onnx/onnx/blob/main/docs/Operators.md#Conv."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rnnbench.inspection.evaluation.nodes import Node, Operation, Values, padded

Array = np.ndarray


def convolve(node: Node, x: Array, w: Array) -> Array:
    """A convolution without a bias, in the type of x.

    Args:
        node: with the attributes of Conv.
        x: (batch, channels, ...).
        w: (outputs, channels of a group, ...).

    Raises:
        ValueError: the channels do not go together.
    """
    groups, size = node.get("group", 1), w.shape[2:]
    if x.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        raise ValueError(f"{x.shape[1]} channels, weights {w.shape} and {groups} groups")
    strides = node.get("strides") or [1] * len(size)
    dilations = node.get("dilations") or [1] * len(size)
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilations, strict=True)]
    pads = _pads(node, x.shape[2:], reach, strides)
    spatial = tuple(range(2, x.ndim))
    windows = sliding_window_view(np.pad(x, [(0, 0), (0, 0), *pads]), reach, axis=spatial)
    every = [slice(None, None, step) for step in (1, 1, *strides, *dilations)]
    windows = windows[tuple(every)]  # (batch, channels, *outputs, *kernel)
    each, outputs = w.shape[1], w.shape[0] // groups
    contracted = ([1, *range(x.ndim, x.ndim + len(size))], [1, *range(2, w.ndim)])
    parts = [
        np.tensordot(
            windows[:, g * each : (g + 1) * each],
            w[g * outputs : (g + 1) * outputs],
            contracted,
        )
        for g in range(groups)
    ]
    return np.moveaxis(np.concatenate(parts, axis=-1), -1, 1)


def _pads(
    node: Node, sizes: tuple[int, ...], reach: list[int], strides: list[int]
) -> list[tuple[int, int]]:
    """Zeros before and after each spatial axis."""
    mode = node.get("auto_pad", "NOTSET") or "NOTSET"
    if mode == "NOTSET":
        given = node.get("pads") or [0] * 2 * len(sizes)
        return [*zip(given[: len(sizes)], given[len(sizes) :], strict=True)]
    if mode == "VALID":
        return [(0, 0)] * len(sizes)
    found = []
    for size, k, stride in zip(sizes, reach, strides, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + k - size)
        less, more = total // 2, total - total // 2
        found.append((more, less) if mode == "SAME_LOWER" else (less, more))
    return found


def per_channel(values: Array, rank: int) -> Array:
    """A number for each channel, or one for all, beside arrays (batch, channels, ...)."""
    return values.reshape(-1, *[1] * (rank - 2)) if values.ndim else values


def _conv(node: Node, inputs: Values) -> list[Any]:
    x, w, b = padded(inputs, 3)
    y = convolve(node, x, w)
    return [y if b is None else y + per_channel(b, y.ndim)]


def _conv_transpose(node: Node, inputs: Values) -> list[Any]:
    """Each number of x times the kernel, added up where they fall; then less the pads."""
    x, w, b = padded(inputs, 3)
    groups, size = node.get("group", 1), w.shape[2:]
    strides = node.get("strides") or [1] * len(size)
    dilations = node.get("dilations") or [1] * len(size)
    extra = node.get("output_padding") or [0] * len(size)
    whole = [
        s * (n - 1) + (k - 1) * d + 1 + more
        for s, n, k, d, more in zip(strides, x.shape[2:], size, dilations, extra, strict=True)
    ]
    y = np.zeros((x.shape[0], groups, w.shape[1], *whole), x.dtype)
    x_parts = x.reshape(x.shape[0], groups, -1, *x.shape[2:])
    w_parts = w.reshape(groups, -1, *w.shape[1:])
    for at in np.ndindex(*size):
        where = tuple(
            slice(i * d, i * d + s * (n - 1) + 1, s)
            for i, d, s, n in zip(at, dilations, strides, x.shape[2:], strict=True)
        )
        kernel = w_parts[(slice(None), slice(None), slice(None), *at)]
        y[(slice(None), slice(None), slice(None), *where)] += np.einsum(
            "ngc...,gcm->ngm...", x_parts, kernel
        )
    y = y.reshape(x.shape[0], -1, *whole)
    y = _cut(y, _transposed_pads(node, x.shape[2:], whole, strides))
    return [y if b is None else y + per_channel(b, y.ndim)]


def _transposed_pads(
    node: Node, sizes: tuple[int, ...], whole: list[int], strides: list[int]
) -> list[tuple[int, int]]:
    """What is cut from each spatial axis, before and after; less than 0 is added."""
    mode, shape = node.get("auto_pad", "NOTSET") or "NOTSET", node.get("output_shape")
    if shape is None and not mode.startswith("SAME"):
        given = node.get("pads") or [0] * 2 * len(sizes)
        return [*zip(given[: len(sizes)], given[len(sizes) :], strict=True)]
    if shape is None:
        shape = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    totals = [all_ - size for all_, size in zip(whole, shape[-len(sizes) :], strict=True)]
    halves = [(total // 2, total - total // 2) for total in totals]
    return halves if mode == "SAME_UPPER" else [(more, less) for less, more in halves]


def _cut(y: Array, pads: list[tuple[int, int]]) -> Array:
    added = [(max(0, -before), max(0, -after)) for before, after in pads]
    y = np.pad(y, [(0, 0), (0, 0), *added])
    kept = [
        slice(max(0, before), size - max(0, after))
        for (before, after), size in zip(pads, y.shape[2:], strict=True)
    ]
    return y[(slice(None), slice(None), *kept)]


CONVOLUTIONS: dict[str, Operation] = {"Conv": _conv, "ConvTranspose": _conv_transpose}

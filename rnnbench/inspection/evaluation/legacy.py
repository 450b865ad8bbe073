"""Binary operators before opset 7, when broadcasting was an attribute.

https://github.com/onnx/onnx/blob/main/docs/Changelog.md#add-1: with broadcast=1 the second operand
is aligned to the first from `axis` on, or to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnbench.inspection.evaluation.nodes import Node, Operation, Values

BEFORE = 7


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integers as C divides them: towards 0."""
    if a.dtype.kind in "iu":
        quotient = np.abs(a) // np.abs(b) * np.sign(a) * np.sign(b)
        return np.asarray(quotient, dtype=a.dtype)
    return np.asarray(a / b)


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
    "Pow": np.power,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
    "Equal": np.equal,
    "Less": np.less,
    "Greater": np.greater,
}


def _binary(node: Node, inputs: Values) -> list[Any]:
    a, b = inputs
    if not node.get("broadcast", 0) and a.shape != b.shape:
        raise ValueError(f"shapes {a.shape} and {b.shape} differ, and broadcast is not set")
    axis = node.get("axis")
    if axis is not None and node.get("broadcast", 0):
        b = b.reshape(*b.shape, *[1] * (a.ndim - axis % a.ndim - b.ndim))
    return [_OPERATORS[node.op](a, b)]


LEGACY: dict[str, Operation] = dict.fromkeys(_OPERATORS, _binary)

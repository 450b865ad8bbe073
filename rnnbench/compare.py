"""When two outputs are equal: the error of one against float64, beside the noise of float32.

The rule, for one output at one case: its error (the largest absolute difference to the float64
reference) is at most `FACTOR` times the error that the module itself has in its own precision, or
at most `ABSOLUTE[dtype]` times the size of the reference, whichever is larger. A NaN or an infinity
that the reference has not, another shape or another dtype is never equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

FACTOR = 10.0
"""How many times the noise floor an error may be: sums in another order stay well below it."""

ABSOLUTE = {"float16": 8e-3, "float32": 1e-6, "float64": 1e-12}
"""The error that is always allowed, for a reference of size 1 or less: about 8 roundings."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Difference:
    """One output at one case, compared.

    Attributes:
        error: the largest absolute difference to the reference; infinite where a value is missing.
        floor: the same of the module itself.
        tolerance: the smallest t for which `np.allclose(actual, reference, rtol=t, atol=t)`.
        reason: why it is not equal; empty where it is.
    """

    error: float
    floor: float
    tolerance: float
    reason: str = ""


def compare(actual: Array, reference: Array, eager: Array) -> Difference:
    """Compares one output with the float64 reference, given the module's own output."""
    if actual.shape != reference.shape:
        return _unequal(f"shape {list(actual.shape)} instead of {list(reference.shape)}")
    if actual.dtype != eager.dtype:
        return _unequal(f"dtype {actual.dtype} instead of {eager.dtype}")
    if actual.dtype.kind == "c":  # the real and the imaginary part of each number
        parts = (array.reshape(-1).view(array.real.dtype) for array in (actual, reference, eager))
        return compare(*parts)
    if actual.dtype.kind != "f":
        return _compare_exactly(actual, reference, eager)
    absolute = ABSOLUTE.get(str(eager.dtype), ABSOLUTE["float32"])
    exact, given = reference.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(exact)
    if not np.array_equal(exact[~finite], given[~finite], equal_nan=True):
        return _unequal("finite where the reference is NaN or infinite")
    if not np.isfinite(given[finite]).all():
        what = "NaN" if np.isnan(given[finite]).any() else "an infinity"
        return _unequal(f"{what} where the reference is finite")
    apart, sizes = np.abs(given[finite] - exact[finite]), np.abs(exact[finite])
    error, size, tolerance = _largest(apart), _largest(sizes), _largest(apart / (1 + sizes))
    floor = _floor(exact, eager.astype(np.float64))
    allowed = max(FACTOR * floor, absolute * max(1.0, size))
    reason = "" if error <= allowed else f"off by {error:.1e}, {allowed:.1e} is allowed"
    return Difference(error, floor, tolerance, reason)


def _floor(exact: Array, eager: Array) -> float:
    both = np.isfinite(exact) & np.isfinite(eager)
    return _largest(np.abs(eager[both] - exact[both]))


def _compare_exactly(actual: Array, reference: Array, eager: Array) -> Difference:
    """Integers and booleans: equal to the reference, or to the module where rounding decides."""
    apart = np.abs(actual.astype(np.float64) - reference.astype(np.float64))
    error, floor = _largest(apart), _floor(reference.astype(np.float64), eager.astype(np.float64))
    wrong = int(np.count_nonzero((actual != reference) & (actual != eager)))
    reason = f"{wrong} of {actual.size} values differ" if wrong else ""
    return Difference(error, floor, error, reason)


def _unequal(reason: str) -> Difference:
    return Difference(math.inf, 0.0, math.inf, reason)


def _largest(values: Array) -> float:
    return float(values.max()) if values.size else 0.0

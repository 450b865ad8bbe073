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
        noise_floor: the same of the module itself.
        tolerance: the smallest t for which `np.allclose(actual, reference, rtol=t, atol=t)`.
        relative: the largest difference as a share of the reference, where that is not 0.
        first_step: the first index along the time axis at which more is off than is allowed.
        argmax: the share of equal argmax along the last axis.
        reason: why it is not equal; empty where it is.
    """

    error: float
    noise_floor: float
    tolerance: float
    relative: float = 0.0
    first_step: int | None = None
    argmax: float | None = None
    reason: str = ""


def compare(
    actual: Array,
    reference: Array,
    eager: Array,
    *,
    factor: float = FACTOR,
    time_axis: int | None = None,
    scores: bool = False,
    absolute: float = 0.0,
) -> Difference:
    """Compares one output with the float64 reference, given the module's own output.

    Args:
        actual: the output.
        reference: of the module in float64.
        eager: of the module in its own precision.
        factor: how many times the noise floor the error may be.
        time_axis: of the output, to name the first step that is off.
        scores: whether the last axis holds one score per class.
        absolute: what is always allowed, where that is more than `ABSOLUTE`.
    """
    if actual.shape != reference.shape:
        return _unequal(f"shape {list(actual.shape)} instead of {list(reference.shape)}")
    if actual.dtype != eager.dtype:
        return _unequal(f"dtype {actual.dtype} instead of {eager.dtype}")
    if actual.dtype.kind == "c":  # the real and the imaginary part of each number
        parts = (np.stack([array.real, array.imag], -1) for array in (actual, reference, eager))
        return compare(*parts, factor=factor, time_axis=time_axis, absolute=absolute)
    if actual.dtype.kind != "f":
        return _compare_exactly(actual, reference, eager, time_axis)
    exact, given = reference.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(exact)
    noise_floor = _noise_floor(exact, eager.astype(np.float64))
    allowed = allowed_error(exact, eager, factor=factor, absolute=absolute)
    apart = _apart(given, exact)
    first = _first(~(apart <= allowed), time_axis)
    share = _same_argmax(given, exact, allowed) if scores else None
    reason = _not_finite(given, exact, finite)
    if reason:
        return Difference(math.inf, noise_floor, math.inf, math.inf, first, share, reason)
    apart, sizes = apart[finite], np.abs(exact[finite])
    error, tolerance = _largest(apart), _largest(apart / (1 + sizes))
    relative = _largest(apart[sizes > 0] / sizes[sizes > 0])
    reason = "" if error <= allowed else f"off by {error:.1e}, {allowed:.1e} is allowed"
    return Difference(error, noise_floor, tolerance, relative, first, share, reason)


def allowed_error(
    reference: Array, eager: Array, *, factor: float = FACTOR, absolute: float = 0.0
) -> float:
    """The largest absolute error that an output may have; 0 for integers and booleans."""
    if eager.dtype.kind != "f":
        return 0.0
    exact = reference.astype(np.float64)
    noise_floor = _noise_floor(exact, eager.astype(np.float64))
    absolute = max(absolute, ABSOLUTE.get(str(eager.dtype), ABSOLUTE["float32"]))
    largest = _largest(np.abs(exact[np.isfinite(exact)]))
    return float(max(factor * noise_floor, absolute * max(1.0, largest)))


def _apart(given: Array, exact: Array) -> Array:
    """The absolute differences; 0 where both are the same infinity, or both are NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart: Array = np.asarray(np.abs(given - exact))  # of a scalar numpy gives no array
    apart[(given == exact) | (np.isnan(given) & np.isnan(exact))] = 0.0
    return apart


def _not_finite(given: Array, exact: Array, finite: Array) -> str:
    if not np.array_equal(exact[~finite], given[~finite], equal_nan=True):
        return "finite where the reference is NaN or infinite"
    if np.isfinite(given[finite]).all():
        return ""
    what = "NaN" if np.isnan(given[finite]).any() else "an infinity"
    return f"{what} where the reference is finite"


def _first(off: Array, time_axis: int | None) -> int | None:
    """The first step at which anything is off."""
    if time_axis is None or not off.any():
        return None
    others = tuple(axis for axis in range(off.ndim) if axis != time_axis)
    return int(np.argmax(off.any(others)))


def _same_argmax(given: Array, exact: Array, allowed: float) -> float | None:
    """How often the largest score is the same class's; a tie within what is allowed counts."""
    if not given.ndim or not given.size:
        return None
    chosen = np.argmax(np.nan_to_num(given, nan=-np.inf), -1)[..., None]
    there = np.take_along_axis(exact, chosen, -1)[..., 0]
    return float(np.mean(there >= exact.max(-1) - allowed))


def _noise_floor(exact: Array, eager: Array) -> float:
    both = np.isfinite(exact) & np.isfinite(eager)
    return _largest(np.abs(eager[both] - exact[both]))


def _compare_exactly(
    actual: Array, reference: Array, eager: Array, time_axis: int | None
) -> Difference:
    """Integers and booleans: equal to the reference, or to the module where rounding decides."""
    apart = np.abs(actual.astype(np.float64) - reference.astype(np.float64))
    error, noise_floor = (
        _largest(apart),
        _noise_floor(reference.astype(np.float64), eager.astype(np.float64)),
    )
    off = (actual != reference) & (actual != eager)
    wrong = int(np.count_nonzero(off))
    reason = f"{wrong} of {actual.size} values differ" if wrong else ""
    return Difference(error, noise_floor, error, error, _first(off, time_axis), None, reason)


def _unequal(reason: str) -> Difference:
    return Difference(math.inf, 0.0, math.inf, math.inf, reason=reason)


def _largest(values: Array) -> float:
    return float(values.max()) if values.size else 0.0

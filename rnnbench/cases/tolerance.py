"""When two outputs are equal: the error of one against float64, beside the noise of float32.

The rule: each element's error is at most what `allowance.py` allows it. A NaN or an infinity that
the reference has not, another shape or another dtype is never equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnbench.cases.allowance import Allowance, Rule, allowance
from rnnbench.cases.noise import error_of

Array = np.ndarray[Any, Any]
_PLAIN = Rule()
_TIES = 0.05  # of integers, in a case of unusually large numbers


@dataclass(frozen=True)
class Difference:
    """One output at one case, compared.

    Attributes:
        error: the largest absolute difference to the reference; infinite where a value is missing.
        noise_floor: the largest error of the module itself.
        tolerance: the smallest t for which `np.allclose(actual, reference, rtol=t, atol=t)`.
        relative: the largest difference as a share of the reference, where that is not 0.
        excess: the largest difference as a multiple of what is allowed there.
        first_step: the first index along the time axis at which more is off than is allowed.
        argmax: the share of equal argmax along the last axis.
        unproved_from: the step from which on float32 has no digits left, so that nothing is proved;
            0 of an output without time.
        reason: why it is not equal; empty where it is.
    """

    error: float
    noise_floor: float
    tolerance: float
    relative: float = 0.0
    excess: float = 0.0
    first_step: int | None = None
    argmax: float | None = None
    unproved_from: int | None = None
    reason: str = ""

    @property
    def proves(self) -> bool:
        """Whether equality here says anything."""
        return self.unproved_from != 0


def compare(
    actual: Array,
    reference: Array,
    eager: Array,
    noise: Array | None = None,
    rule: Rule = _PLAIN,
    limit: Allowance | None = None,
) -> Difference:
    """Compares one output with the float64 reference, given the module's own output.

    Args:
        actual: the output.
        reference: of the module in float64.
        eager: of the module in its own precision.
        noise: the largest error of several runs of it; that of `eager` alone unless given.
        rule: how it is judged.
        limit: the allowance by these, where it is known; only of floats.
    """
    if actual.shape != reference.shape:
        return _unequal(f"shape {list(actual.shape)} instead of {list(reference.shape)}")
    if actual.dtype != eager.dtype:
        return _unequal(f"dtype {actual.dtype} instead of {eager.dtype}")
    if actual.dtype.kind == "c":  # the real and the imaginary part of each number
        parts = (np.stack([array.real, array.imag], -1) for array in (actual, reference, eager))
        actual, reference, eager = parts
        return compare(actual, reference, eager, rule=replace(rule, typical=None))
    if actual.dtype.kind != "f":
        return _compare_exactly(actual, reference, eager, rule)
    apart = error_of(actual, reference)
    noise = error_of(eager, reference) if noise is None else noise
    exact = reference.astype(np.float64)
    limit = allowance(exact, eager, noise, rule) if limit is None else limit
    # Where the module itself, or a rounding beside it, has no number, an artifact owes none, and
    # nothing is proved.
    owed = (np.isfinite(eager) & np.isfinite(noise)) | ~np.isfinite(exact)
    off = ~(apart <= limit.allowed) & owed
    first = _first(off, rule.axes.time)
    share = _same_argmax(actual.astype(np.float64), exact, limit.allowed) if rule.scores else None
    noise_floor = _largest(noise[np.isfinite(noise)])
    reason = _not_finite(actual, exact, owed)
    if reason:
        return Difference(
            math.inf, noise_floor, math.inf, math.inf, math.inf, first, share, None, reason
        )
    numbers = owed & np.isfinite(apart) & np.isfinite(exact)
    apart, sizes, allowed = apart[numbers], np.abs(exact[numbers]), limit.allowed[numbers]
    with np.errstate(over="ignore"):
        excess = apart / np.maximum(allowed, 1e-300)
        relative = apart[sizes > 0] / sizes[sizes > 0]  # of what is nearly 0 it is infinite
    if off.any():
        worst = int(np.argmax(excess))
        place = [int(i[worst]) for i in np.nonzero(numbers)]
        at = f" at {place}" if place else ""
        reason = f"off by {apart[worst]:.1e}{at}, {allowed[worst]:.1e} is allowed"
    return Difference(
        _largest(apart),
        noise_floor,
        _largest(apart / (1 + sizes)),
        _largest(relative),
        _largest(excess),
        first,
        share,
        _unproved_from(limit.unproved | ~owed, rule.axes.time),
        reason,
    )


def _unproved_from(unproved: Array, time_axis: int | None) -> int | None:
    """The step from which on more than half of the elements are not proved; 0 without time."""
    if not unproved.size:
        return None
    if time_axis is None:
        return 0 if unproved.mean() > 0.5 else None
    others = tuple(axis for axis in range(unproved.ndim) if axis != time_axis)
    lost = unproved.mean(others) > 0.5  # [time]
    if not lost[-1]:
        return None
    return int(len(lost) - np.argmin(lost[::-1])) if not lost.all() else 0


def _not_finite(given: Array, exact: Array, owed: Array) -> str:
    beyond = ~np.isfinite(exact)
    if not np.array_equal(exact[beyond], given[beyond], equal_nan=True):
        return "finite where the reference is NaN or infinite"
    there = given[~beyond & owed]
    if np.isfinite(there).all():
        return ""
    return f"{'NaN' if np.isnan(there).any() else 'an infinity'} where the reference is finite"


def _first(off: Array, time_axis: int | None) -> int | None:
    """The first step at which anything is off."""
    if time_axis is None or not off.any():
        return None
    others = tuple(axis for axis in range(off.ndim) if axis != time_axis)
    return int(np.argmax(off.any(others)))


def _same_argmax(given: Array, exact: Array, allowed: Array) -> float | None:
    """How often the largest score is the same class's; a tie within what is allowed counts."""
    if not given.ndim or not given.size:
        return None
    chosen = np.argmax(np.nan_to_num(given, nan=-np.inf), -1)[..., None]
    there = np.take_along_axis(exact, chosen, -1)[..., 0]
    slack = np.take_along_axis(allowed, chosen, -1)[..., 0]
    return float(np.mean(there >= exact.max(-1) - slack))


def _compare_exactly(actual: Array, reference: Array, eager: Array, rule: Rule) -> Difference:
    """Integers and booleans: equal to the reference, or to the module where rounding decides.

    Which of two saturated values is the larger is another in a coarser runtime.
    """
    error = _largest(np.abs(actual.astype(np.float64) - reference.astype(np.float64)))
    noise_floor = _largest(np.abs(eager.astype(np.float64) - reference.astype(np.float64)))
    off = (actual != reference) & (actual != eager)
    wrong = int(np.count_nonzero(off))
    ties = rule.coarseness > 1 and rule.enlarged and wrong <= _TIES * actual.size
    reason = f"{wrong} of {actual.size} values differ" if wrong and not ties else ""
    first, excess = _first(off, rule.axes.time), math.inf if reason else 0.0
    return Difference(error, noise_floor, error, error, excess, first, reason=reason)


def _unequal(reason: str) -> Difference:
    return Difference(math.inf, 0.0, math.inf, math.inf, math.inf, reason=reason)


def _largest(values: Array) -> float:
    return float(values.max()) if values.size else 0.0

"""How far each element of an output may be from the float64 reference.

The noise of an element is the largest error of a few float32 runs of the module itself, moved by a
rounding each (`noise.py`): a forward error bound by sampling, as in Stott Parker's Monte Carlo
arithmetic and in CADNA. Few samples may agree by chance, so it is pooled over neighbours: elements
of the same channel (the last axis), of like size (within a factor of 4) and of nearby steps; and
over all channels of nearby steps as the median share of the size, and as the median noise of the
elements of like size, where that is no more than chance makes of it. An element may be off by a
multiple of that, or by a few roundings of its channel's typical size or of itself.

No element has the noise of one that is larger than it and its channel's typical size, so that a
mask of -1e9, or a channel in Pa beside one between 0 and 1, lends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.cases.noise import same_beyond

FACTOR = 10.0
"""How many times the noise an error may be: sums in another order stay well below it."""

ABSOLUTE = {"float16": 8e-3, "float32": 1e-6, "float64": 1e-12}
"""The error that is always allowed, as a share of a channel's typical size: about 8 roundings."""

_OWN = 2.0  # roundings of the element itself
_GATE = 6e-8  # the error of a function of size 1
_USUAL = 4.0  # times the typical size: up to there a value may be a function's limit
_UNPROVED = 0.5  # of the size: an error that says nothing of right and wrong
_CALM = 10.0  # times the error that is always allowed: runs that have met again
_WINDOW = 2  # steps before and after, at least
_SAMPLES = 64  # elements of one step that are enough to tell its noise by
_MANY = 2**16  # more than enough of them
_FEW = 1024  # elements of a step by which the usual noise is told
_CHANCE = 16.0  # times: four runs agree so much better than usual once in 10^5
_BLOCK = 4096  # channels at a time, of a vocabulary

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Axes:
    """Where an output has time and the batch; None: it has none.

    Its last axis beside time is that of channels, where it is not the batch.
    """

    time: int | None = None
    batch: int | None = None


@dataclass(frozen=True)
class Rule:
    """How an output is judged.

    Attributes:
        axes: where it has time and the batch.
        factor: how many times the noise an error may be.
        coarseness: how many times as coarse a runtime's functions are as PyTorch's.
        typical: (channels,) the sizes that channels have at other cases: where one is smaller here,
            roundings of what it is made of are not. None: not known.
        scores: whether the last axis may hold a score for each class.
        enlarged: the largest input of a case that has unusually large ones; 0 of others. There,
            a coarser runtime may leak some of it through a closed gate.
    """

    axes: Axes = Axes()
    factor: float = FACTOR
    coarseness: float = 1.0
    typical: Array | None = None
    scores: bool = False
    enlarged: float = 0.0


@dataclass(frozen=True)
class Allowance:
    """What an output may be off by at one case, element by element.

    Attributes:
        allowed: the absolute error, in the output's shape.
        unproved: where that is so large that nothing is proved, in the same shape.
    """

    allowed: Array
    unproved: Array


def allowance(exact: Array, eager: Array, noise: Array, rule: Rule) -> Allowance:
    """What an output may be off by.

    Args:
        exact: the reference in float64; what is infinite or NaN, or the limit of its dtype as it is
            in `eager`, is allowed nothing.
        eager: what the module gives in its own precision.
        noise: the largest error of the module's own runs, in the same shape.
        rule: how it is judged.
    """
    dtype, axes = str(eager.dtype), rule.axes
    exact = np.where(same_beyond(eager, exact), np.inf, exact.astype(np.float64))
    if not exact.size:
        return Allowance(np.zeros(exact.shape), np.zeros(exact.shape, bool))
    absolute = ABSOLUTE.get(dtype, ABSOLUTE["float32"])
    coarser = rule.coarseness  # every operation of such a runtime is
    values, errors = _steps_first(exact, axes), _steps_first(noise, axes)  # [time, rows, channels]
    finite = np.isfinite(values) & np.isfinite(errors)
    values, errors = np.where(finite, np.abs(values), 0.0), np.where(finite, errors, 0.0)
    constant = _constants(values, errors)
    usual = _typical(values, finite & ~constant, rule.typical)  # [channels]
    sizes = np.maximum(values, usual)
    pooled = np.zeros(errors.shape)
    for start in range(0, errors.shape[-1], _BLOCK):
        block = (..., slice(start, start + _BLOCK))
        pooled[block] = _pooled(errors[block], sizes[block])
    pooled = np.maximum(
        _not_by_chance(pooled, sizes, constant), _share(errors, sizes, constant) * sizes
    )
    pooled[constant] = 0.0
    allowed = np.maximum(rule.factor * pooled, absolute * usual) * coarser
    # A constant is no result of a function, so that 300 is not lost in a mask of -1e9; but for one
    # that the channel usually has: a saturated tanh, which is exact in PyTorch alone.
    mask = constant & (values > np.maximum(1.0, _USUAL * usual))
    own = np.where(mask, 1.0, coarser) * _OWN * _rounding(values, dtype)
    allowed = np.maximum(allowed, own)
    if coarser > 1 and rule.enlarged < np.inf:
        # A closed gate, sigmoid(-17.05), is 3.9e-8 in PyTorch and 1.2e-7 there, of what it stops;
        # where gates are saturated no run of the module moves, and what follows them has no noise.
        largest = np.where(mask, 0.0, values).max(initial=0.0)
        leak = max(_GATE * rule.enlarged, absolute * largest if rule.enlarged else 0.0)
        allowed = np.where(mask, allowed, np.maximum(allowed, coarser * leak))
    unproved = finite & (allowed >= _UNPROVED * sizes)
    if axes.time is not None:
        lost = _lost(unproved, np.where(constant, 0.0, errors / sizes) <= _CALM * absolute)
        allowed = np.where(lost & finite, np.maximum(allowed, allowed.max(0)), allowed)
        unproved |= lost & finite
    allowed = np.where(finite, allowed, 0.0)
    return Allowance(_as_before(allowed, exact, axes), _as_before(unproved, exact, axes))


def _lost(unproved: Array, calm: Array) -> Array:
    """[time, rows, 1] the steps of a row at which its runs have nothing to do with one another.

    Once their errors are as large as the values, they may be small by chance (a chaotic network has
    quiet stretches): the row is lost until its runs agree to roundings, which they do where inputs
    drive it. A row that is computed from its end is lost towards its start.

    Args:
        unproved: [time, rows, channels] where an error says nothing.
        calm: where the errors of the runs are roundings, in the same shape.
    """
    exploded = np.asarray(unproved.mean(2) > 0.5)  # [time, rows]
    quiet = np.asarray(calm.all(2))
    if not exploded.any():
        return np.zeros((*exploded.shape, 1), bool)
    from_end = exploded.any(0) & ~_before(quiet, exploded).any(0)  # [rows]
    after = _until_calm(exploded, quiet)
    before = _until_calm(exploded[::-1], quiet[::-1])[::-1]
    return np.asarray(after | (before & from_end))[..., None]


def _before(quiet: Array, exploded: Array) -> Array:
    """[time, rows] the quiet steps before a row's first that has exploded."""
    return np.asarray(quiet & (np.cumsum(exploded, 0) == 0))


def _until_calm(exploded: Array, quiet: Array) -> Array:
    """[time, rows] each exploded step, and those after it until a quiet one."""
    lost = np.zeros(exploded.shape, bool)
    here = np.zeros(exploded.shape[1], bool)
    for step in range(len(exploded)):
        here = exploded[step] | (here & ~quiet[step])
        lost[step] = here
    return lost


def typical_sizes(outputs: Sequence[tuple[Array, Array]], axes: Axes) -> Array | None:
    """(channels,) the median over cases of each channel's typical size; None: they do not fit.

    A case in which a channel is nothing but constants (a mask) counts where every one is so.

    Args:
        outputs: of each case, the reference and the noise.
        axes: where the output has time and the batch.
    """
    found, varies = [], []
    for exact, noise in outputs:
        if exact.size and exact.dtype.kind == "f":
            values, errors = _steps_first(exact, axes), _steps_first(noise, axes)
            finite = np.isfinite(values) & np.isfinite(errors)
            values = np.where(finite, np.abs(values), 0.0)
            which = finite & ~_constants(values, errors)
            found.append(_typical(values, which, None))
            varies.append(which.any((0, 1)))
    if not found or len({sizes.shape for sizes in found}) > 1:
        return None
    counts = np.stack(varies)
    counts |= ~counts.any(0)
    return np.asarray(np.nanmedian(np.where(counts, found, np.nan), 0))


def _steps_first(array: Array, axes: Axes) -> Array:
    """[time, rows, channels] of any shape; an axis that there is not has size 1."""
    array = array[None] if axes.time is None else np.moveaxis(array, axes.time, 0)
    batch = axes.batch
    if batch is not None and (axes.time is None or axes.time > batch):
        batch += 1  # one more axis stands before it
    last = array.ndim - 1
    channels = array.shape[-1] if last > 0 and last != batch else 1
    return array.reshape(array.shape[0], -1, channels)


def _as_before(array: Array, exact: Array, axes: Axes) -> Array:
    if axes.time is None:
        return array.reshape(exact.shape)
    return np.moveaxis(array.reshape(np.moveaxis(exact, axes.time, 0).shape), 0, axes.time)


def _constants(values: Array, errors: Array) -> Array:
    """Where a value stands that is exact in every run, and stands elsewhere too: masks, padding."""
    exact = errors == 0
    found, counts = np.unique(values[exact], return_counts=True)
    return np.asarray(exact & np.isin(values, found[counts > 1]))


def _typical(values: Array, which: Array, least: Array | None) -> Array:
    """[channels] the median size of those elements; of a channel without any, a small one.

    Args:
        values: [time, rows, channels]
        which: the elements that count, in the same shape.
        least: [channels] of other cases.
    """
    rows = np.where(which, values, np.inf).reshape(-1, values.shape[-1])
    counts = which.reshape(rows.shape).sum(0)  # [channels]
    middle = np.take_along_axis(np.sort(rows, 0), np.maximum(counts - 1, 0)[None] // 2, 0)[0]
    # Of nothing but constants: what other cases have, or the least of them, which is no mask.
    least_of_all = np.where(values > 0, values, 1.0).reshape(rows.shape).min(0)
    usual = np.where(counts > 0, middle, 0.0)
    if least is not None and least.shape == usual.shape:
        usual = np.maximum(usual, least)
    usual = np.where((usual == 0) & values.any((0, 1)), least_of_all, usual)
    known = usual[usual > 0]
    # A channel of nothing but zeros: some of what the others have.
    return np.where(usual > 0, usual, 1e-3 * known.min() if known.size else 1.0)


def _share(errors: Array, sizes: Array, constant: Array) -> Array:
    """[time, 1, 1] the median noise of nearby steps, as a share of the size.

    Args:
        errors: [time, rows, channels]
        sizes: in the same shape.
        constant: the elements that do not count.
    """
    every = -(-errors[0].size // _MANY)  # as many of a step as are enough
    pick = (slice(None), slice(None, None, every))
    shares = errors.reshape(len(errors), -1)[pick] / sizes.reshape(len(errors), -1)[pick]
    shares[constant.reshape(len(errors), -1)[pick]] = np.nan
    if shares.shape[1] < _SAMPLES:
        shares = _windows(shares, _width(len(errors)))
    counts = np.isfinite(shares).sum(1)
    middle = np.sort(shares, 1)[np.arange(len(shares)), np.maximum(counts - 1, 0) // 2]
    return np.where(counts > 0, middle, 0.0)[:, None, None]


def _windows(rows: Array, width: int) -> Array:
    """[time, elements * (2 * width + 1)] each step with those around it; beyond the ends is NaN."""
    padded = np.pad(rows, ((width, width), (0, 0)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1, 0)
    return around.reshape(len(rows), -1)


def _width(steps: int) -> int:
    return max(_WINDOW, steps // 64)


def _pooled(errors: Array, sizes: Array) -> Array:
    """The largest noise in the channel, at nearby steps, of elements of like size.

    Args:
        errors: [time, rows, channels]
        sizes: in the same shape, above 0.
    """
    classes = np.floor(np.log2(sizes) / 2)  # 4 times as large is the next one
    pooled = np.zeros(errors.shape)
    for number in np.unique(classes):
        like = np.abs(classes - number) <= 1
        most = np.where(like, errors, 0.0).max(1)  # [time, channels]
        most = _largest_around(most, _width(len(errors)))
        pooled = np.where(classes == number, most[:, None], pooled)
    return pooled


def _not_by_chance(noise: Array, sizes: Array, constant: Array) -> Array:
    """The noise, and where it is small by chance the usual one of the step's elements of like size.

    Of thousands of channels with one element each (scores, samples of a sound), four runs of which
    each is judged by its own, a few agree ten times as well as others. One that agrees better than
    chance would have it is computed otherwise, as a copy of an input, and is lent nothing.

    Args:
        noise: [time, rows, channels]
        sizes: in the same shape, above 0.
        constant: the elements that do not count.
    """
    flat = noise.reshape(len(noise), -1)
    every = max(flat.shape[1] // _FEW, 1)
    if flat.shape[1] < _SAMPLES:
        return noise
    classes = np.floor(np.log2(sizes) / 2).reshape(flat.shape)
    picked, known = classes[:, ::every], ~constant.reshape(flat.shape)[:, ::every]
    found = flat.copy()
    for number in np.unique(picked[known]):
        like = np.where(known & (picked == number), flat[:, ::every], np.inf)
        counts = np.isfinite(like).sum(1)  # [time]
        middle = np.sort(like, 1)[np.arange(len(like)), np.maximum(counts - 1, 0) // 2]
        middle = np.where(counts >= _SAMPLES, middle, 0.0)[:, None]
        chance = (classes == number) & (flat < middle) & (flat * _CHANCE >= middle)
        found = np.where(chance, middle, found)
    return np.where(constant, noise, found.reshape(noise.shape))


def _largest_around(most: Array, width: int) -> Array:
    """[time, channels] the largest of each step and those around it."""
    padded = np.pad(most, ((width, width), (0, 0)))
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1, 0)
    return np.asarray(around.max(-1))


def _rounding(values: Array, dtype: str) -> Array:
    """The distance from each size to the next one that the dtype has."""
    kind: Any = np.dtype(dtype if dtype in ABSOLUTE else "float32").type
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = np.minimum(values, np.finfo(kind).max / 2).astype(kind)
        return np.asarray(np.spacing(narrow), np.float64)

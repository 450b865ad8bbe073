"""How sure a ratio of two medians is, from the samples of both.

The bootstrap resamples blocks of neighbouring samples (Kuensch 1989, without overlap), not single
ones: what disturbs a machine lasts for many samples, and intervals over single ones are too narrow.
Two latencies that were not measured in turns may still differ by what the machine did in between,
which no bootstrap can see: a paired ratio is to be preferred where there is one.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.benchmarking.measuring.paired import MARGIN
from rnnbench.benchmarking.results import Latency, Ratio

BLOCKS = 40
RESAMPLES = 1000
CANDIDATES = 160
MIDDLE = 0.7
"""The part of many samples in which the median of a resample is looked for."""
ENOUGH = 5
"""Samples below which an interval means nothing."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Interval:
    """A ratio with the bounds that hold it in 95 of 100 runs, and where it comes from.

    Attributes:
        ratio: the estimate.
        low: the lower bound.
        high: the upper bound.
        how: `paired, 60 rounds` or `bootstrap over 50 and 80 samples`.
        paired: whether the two were measured in turns.
    """

    ratio: float
    low: float
    high: float
    how: str
    paired: bool = False

    @property
    def tells(self) -> bool:
        """Whether it is clear of 1; what is nearer may be otherwise in the next process."""
        return self.low > 1 + MARGIN or self.high < 1 - MARGIN

    def inverse(self) -> Interval:
        """Of the other over this."""
        return Interval(1 / self.ratio, 1 / self.high, 1 / self.low, self.how, self.paired)


def of_pair(ratio: Ratio) -> Interval:
    """What was measured in turns."""
    how = f"paired, {ratio.rounds} rounds"
    return Interval(ratio.ratio, ratio.low, ratio.high, how, paired=True)


def chained(parts: Sequence[Interval]) -> Interval:
    """The product of ratios that were each measured in turns: their logarithms are added up.

    Args:
        parts: a / b, b / c, ...: one at least.
    """
    if len(parts) == 1:
        return parts[0]
    ratio = math.prod(part.ratio for part in parts)
    below = math.hypot(*(math.log(part.ratio / part.low) for part in parts))
    above = math.hypot(*(math.log(part.high / part.ratio) for part in parts))
    how = f"by {len(parts)} pairs ({'; '.join(part.how for part in parts)})"
    return Interval(ratio, ratio * math.exp(-below), ratio * math.exp(above), how, paired=True)


def of_medians(this: Latency, medians: Array, other: Latency, others: Array) -> Interval:
    """The ratio of two medians that were measured one after the other, from both resampled."""
    low, high = (float(bound) for bound in np.percentile(medians / others, (2.5, 97.5)))
    ratio = this.p50 / other.p50
    how = f"bootstrap over {this.count} and {other.count} samples"
    return Interval(ratio, min(low, ratio), max(high, ratio), how)


def resampled_medians(latency: Latency, salt: str = "") -> Array:
    """Medians of resampled blocks: [RESAMPLES], the same in each run for the same entry.

    Args:
        latency: whose samples.
        salt: what tells two entries of the same name apart, so that they are drawn apart.
    """
    rng = np.random.default_rng(zlib.crc32(f"{latency.name} {salt}".encode()))
    if latency.summary is not None:  # drawn already, without salt: another order is another draw
        stored = np.array(latency.summary.medians)
        return rng.permutation(stored) if salt else stored
    samples = np.asarray(latency.samples, dtype=np.float64)
    blocks = [np.sort(block) for block in np.array_split(samples, min(len(samples), BLOCKS))]
    # A median is one of the samples; of many, evenly spaced ones in the middle are enough.
    last, middle = len(samples) - 1, MIDDLE if len(samples) > CANDIDATES else 1.0
    bounds = (last * (1 - middle) / 2, last * (1 + middle) / 2)
    ranks = np.linspace(*bounds, min(len(samples), CANDIDATES)).round().astype(int)
    candidates = np.sort(samples)[ranks]
    below = np.array([np.searchsorted(block, candidates, side="right") for block in blocks])
    drawn = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), RESAMPLES)
    drawn = drawn.astype(np.float32)  # exact, and products of integers are slow
    counts = 2 * drawn @ below.astype(np.float32)
    sizes = (drawn @ np.array([len(block) for block in blocks], dtype=np.float32))[:, None]
    counts[:, -1] = np.inf
    lower, upper = np.argmax(counts >= sizes, axis=1), np.argmax(counts > sizes, axis=1)
    medians: Array = (candidates[lower] + candidates[upper]) / 2
    return medians


def apart(faster: Latency, slower: Latency) -> bool:
    """Whether nearly all samples of one are below nearly all of the other's.

    Then one is faster whatever the machine did in between, also where a measurement is unstable.
    """
    return faster.percentile(95) < slower.percentile(5)


def halves_apart(faster: Latency, slower: Latency) -> bool:
    """Whether the middle half of the samples of one is below that of the other."""
    return faster.percentile(75) < slower.percentile(25)

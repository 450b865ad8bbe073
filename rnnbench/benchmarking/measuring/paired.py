"""Two callables, interleaved: which one is faster, by how much, and whether that can be told.

A machine changes while it measures: its clock, its caches, its other users. So both are timed in
every round, several short blocks each in turn, the first of them drawn; a round gives one ratio.
A block is timed as a whole: what disturbs a machine every few tens of microseconds (3 us of every
35, on one) is in few calls of 14 us and in most of 28, and by medians of calls twice the work took
2.2 times as long.
What is reported is the median over rounds, with a percentile-bootstrap interval over them (Efron,
Bootstrap methods: another look at the jackknife, 1979): the rounds are drawn anew with replacement
4,000 times, and 95 % of the medians lie in the interval.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns

import numpy as np

from rnnbench.benchmarking.measuring.sampling import (
    FULL,
    Clock,
    Effort,
    Run,
    calls_for,
    doubts_about,
    time_calls,
    undisturbed_by_garbage,
    warm_up,
)

TURNS = 6
"""Blocks of each subject in a round."""
BLOCK_S = 0.4e-3
LEVEL = 0.95
MARGIN = 0.01
"""What differs by less may differ the other way in the next process: its memory lies elsewhere."""
RESAMPLES = 4000


@dataclass(frozen=True)
class Compared:
    """Two subjects, round by round.

    Attributes:
        first: seconds of a call in each round.
        second: of the other.
        ratio: first / second, the median over rounds.
        low: of the 95 % interval.
        high: of it.
        why_unstable: in words; empty where the rounds agree.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]
    ratio: float
    low: float
    high: float
    why_unstable: str

    @property
    def rounds(self) -> int:
        """How many there were."""
        return len(self.first)

    @property
    def verdict(self) -> str:
        """Whether the first is `faster` or `slower`, or one `cannot tell` (within 1 % of 1)."""
        if self.high < 1 - MARGIN:
            return "faster"
        return "slower" if self.low > 1 + MARGIN else "cannot tell"


def interleave(
    first: Run,
    second: Run,
    effort: Effort = FULL,
    *,
    seed: int = 0,
    clock: Clock = perf_counter_ns,
) -> Compared:
    """Warms both up, and times them in turns."""
    draw = random.Random(seed)
    runs = (first, second)
    with undisturbed_by_garbage():
        warmups = [warm_up(run, effort.warmup_s, clock=clock) for run in runs]
        calls = [calls_for(BLOCK_S, w.call_s) for w in warmups]
        round_s = TURNS * sum(n * w.call_s for n, w in zip(calls, warmups, strict=True))
        count = int(effort.rounds_s / round_s) if round_s else effort.max_rounds
        count = max(effort.min_rounds, min(effort.max_rounds, count))
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(count):
            found = _round(runs, calls, draw.random() < 0.5, clock)
            for collected, value in zip(times, found, strict=True):
                collected.append(value)
    doubts = [] if all(w.steady for w in warmups) else ["not steady after the warm-up"]
    return compared(times[0], times[1], doubts)


def compared(
    first: Sequence[float], second: Sequence[float], doubts: Sequence[str] = ()
) -> Compared:
    """The ratio of what was timed round by round."""
    ratios = tuple(a / b for a, b in zip(first, second, strict=True))
    low, high = interval(ratios)
    why = "; ".join([*doubts, *doubts_about(ratios)])
    return Compared(tuple(first), tuple(second), median(ratios), low, high, why)


def interval(ratios: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """The bootstrap's interval for the median of the rounds."""
    values = np.asarray(ratios)
    rng = np.random.default_rng(seed)
    drawn = values[rng.integers(0, len(values), (RESAMPLES, len(values)))]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(np.median(drawn, axis=1), (tail, 100 - tail))
    return float(low), float(high)


def _round(
    runs: Sequence[Run],
    calls: Sequence[int],
    swap: bool,
    clock: Clock,
) -> tuple[float, float]:
    """The median of each subject's blocks; who comes first changes from turn to turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(TURNS):
        for which in (0, 1) if swap == bool(turn % 2) else (1, 0):
            run = runs[which]
            run()  # refills the caches that the other one took
            times[which].append(time_calls(run, calls[which], clock))
    return median(times[0]), median(times[1])

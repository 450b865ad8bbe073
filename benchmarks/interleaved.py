"""Two callables timed round by round in random order, so that both meet the same machine."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter_ns
from typing import Any


@dataclass(frozen=True)
class Compared:
    """Microseconds per call, and the ratios first / second of the rounds."""

    first: list[float]
    second: list[float]

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.first, self.second, strict=True)]

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        low, _, high = quantiles(self.ratios, n=4)
        return low, high


def interleave(
    first: Callable[[], Any], second: Callable[[], Any], *, rounds: int, calls: int, seed: int = 0
) -> Compared:
    """Times `calls` calls of each in every round; which one comes first is drawn."""
    generator = random.Random(seed)
    times: dict[str, list[float]] = {"first": [], "second": []}
    for _ in range(rounds):
        order = [("first", first), ("second", second)]
        generator.shuffle(order)
        for name, run in order:
            times[name].append(_time(run, calls))
    return Compared(times["first"], times["second"])


def _time(run: Callable[[], Any], calls: int) -> float:
    start = perf_counter_ns()
    for _ in range(calls):
        run()
    return (perf_counter_ns() - start) / calls / 1000

"""Whether a node can be believed: who else is busy there, and how fast its clock runs.

A fixed piece of work is timed before and behind each group of measurements. It says how fast the
clock runs at that moment, also where the system does not (in virtual machines it never does); what
others of the same kind take for it says how fast it should.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import psutil

from rnnbench.core.cpu_clock import cpu_seconds

BUSY_CORES = 0.5
"""So many cores, kept busy by processes that are not ours, disturb."""

SLOWER = 0.10
"""A clock that is so much slower than that of its kind is not the same machine's."""

_LOOPS, _ROUNDS = 50_000, 5


@dataclass(frozen=True)
class Steadiness:
    """What is known of a node while it measured a group.

    Attributes:
        pace_s: seconds of the fixed piece of work, the slower of before and behind.
        others: cores that other processes kept busy.
        cores: that there are.
    """

    pace_s: float
    others: float
    cores: int

    def doubts(self, best_s: float) -> list[str]:
        """What speaks against the numbers, in words.

        Args:
            best_s: the least that the work took on a node of this kind.
        """
        found = []
        if self.others > BUSY_CORES:
            found.append(f"other processes kept {self.others:.1f} of {self.cores} cores busy")
        if self.pace_s > (1 + SLOWER) * best_s:
            found.append(f"its clock ran at {best_s / self.pace_s:.0%} of the best of its kind")
        return found


class Watch:
    """Looks from its start to its end."""

    def __init__(self) -> None:
        self._pace = pace()
        self._start, self._all, self._own = time.perf_counter(), _busy_s(), cpu_seconds(os.getpid())

    def end(self) -> Steadiness:
        """What it saw."""
        seconds = max(time.perf_counter() - self._start, 1e-3)
        others = (_busy_s() - self._all) - (cpu_seconds(os.getpid()) - self._own)
        return Steadiness(
            max(self._pace, pace()), max(others, 0.0) / seconds, psutil.cpu_count() or 1
        )


def pace() -> float:
    """Seconds of a fixed piece of work: the least of some rounds."""
    return min(_round() for _ in range(_ROUNDS))


def _round() -> float:
    start = time.perf_counter()
    total = 0
    for n in range(_LOOPS):
        total += n & 7
    return time.perf_counter() - start


def _busy_s() -> float:
    """Seconds for which cores of this machine were busy."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))

"""How long one call takes: warm-up until steady, then samples, and whether they can be trusted.

The rules, which every number of `bench` follows:

* Calls are warm when the medians of three blocks in a row, each of 5 calls or more and of
  `BLOCK_S` or more, lie within `STEADY` of one another. What is not warm after `warmup_s` is
  measured all the same, and marked.
* A sample is one call, or as many in a row as take `SAMPLE_S`, so that reading the clock (some
  60 ns) does not count.
* Samples are unstable where their middle half spreads over more than `SPREAD` of the median, or
  the medians of their first and second half differ by more than `DRIFT`.
* Garbage is not collected meanwhile.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter_ns
from typing import Any

Run = Callable[[], Any]
Clock = Callable[[], int]

BLOCK_S = 0.003
SAMPLE_S = 10e-6
STEADY = 0.05
SPREAD = 0.10
DRIFT = 0.05


@dataclass(frozen=True)
class Effort:
    """How much time a measurement may take.

    Attributes:
        samples_s: seconds to take samples for.
        min_samples: so many at least, however long they take.
        max_samples: so many at most.
        warmup_s: seconds after which the warm-up is given up.
        rounds_s: seconds to compare two subjects for.
        min_rounds: so many rounds at least.
        max_rounds: so many rounds at most.
    """

    samples_s: float = 0.5
    min_samples: int = 20
    max_samples: int = 1000
    warmup_s: float = 2.0
    rounds_s: float = 1.5
    min_rounds: int = 20
    max_rounds: int = 200


FULL = Effort()
QUICK = Effort(samples_s=0.1, max_samples=400, warmup_s=0.5, rounds_s=0.3)


@dataclass(frozen=True)
class Warmup:
    """How the calls became steady.

    Attributes:
        seconds: until they were.
        call_s: of one call then.
        recompile_s: what the calls after the first took beyond steady ones.
        steady: whether they became so.
    """

    seconds: float
    call_s: float
    recompile_s: float
    steady: bool


@dataclass(frozen=True)
class Samples:
    """Seconds of a call.

    Attributes:
        seconds: of one call, each the mean of `calls` in a row.
        calls: in one sample.
        warmup: what came before.
        why_unstable: in words; empty where the samples agree.
    """

    seconds: tuple[float, ...]
    calls: int
    warmup: Warmup
    why_unstable: str

    @property
    def median(self) -> float:
        """Half of the samples are at most this."""
        return median(self.seconds)


def sample(run: Run, effort: Effort = FULL, *, clock: Clock = perf_counter_ns) -> Samples:
    """Warms a callable up and times it."""
    with undisturbed_by_garbage():
        warmup = warm_up(run, effort.warmup_s, clock=clock)
        calls = calls_for(SAMPLE_S, warmup.call_s)
        count = int(effort.samples_s / max(calls * warmup.call_s, 1e-9))
        count = max(effort.min_samples, min(effort.max_samples, count))
        seconds = tuple(time_calls(run, calls, clock) for _ in range(count))
    doubts = [] if warmup.steady else [f"not steady after {effort.warmup_s:g} s of warm-up"]
    return Samples(seconds, calls, warmup, "; ".join(doubts + doubts_about(seconds)))


def warm_up(run: Run, limit_s: float, *, clock: Clock = perf_counter_ns) -> Warmup:
    """Calls until three blocks in a row agree, or until the limit."""
    times: list[float] = []
    blocks: list[float] = []
    steady = False
    start = clock()
    while not steady:
        block: list[float] = []
        while len(block) < 5 or (sum(block) < BLOCK_S and len(block) < 1000):
            block.append(time_calls(run, 1, clock))
        times += block
        blocks.append(median(block))
        last = blocks[-3:]
        steady = len(last) == 3 and max(last) <= (1 + STEADY) * min(last)
        if (clock() - start) / 1e9 > limit_s and len(last) == 3:
            break
    call_s = median(blocks[-3:])
    return Warmup(sum(times), call_s, _excess(times[1:11], call_s), steady)


def time_calls(run: Run, calls: int, clock: Clock = perf_counter_ns) -> float:
    """Seconds of one call, the mean of several in a row."""
    if calls == 1:
        start = clock()
        run()
        return (clock() - start) / 1e9
    repeat = range(calls)
    start = clock()
    for _ in repeat:
        run()
    return (clock() - start) / calls / 1e9


def calls_for(seconds: float, call_s: float) -> int:
    """How many calls in a row take at least so long."""
    return max(1, -int(-seconds // max(call_s, 1e-9)))


def doubts_about(values: tuple[float, ...], spread: float = SPREAD) -> list[str]:
    """What speaks against these values, in words."""
    if len(values) < 4:
        return ["fewer than 4 samples"]
    middle = median(values)
    low, _, high = quantiles(values, n=4)
    doubts = []
    if high - low > spread * middle:
        doubts.append(f"the middle half spreads over {(high - low) / middle:.0%} of the median")
    half = len(values) // 2
    drift = median(values[half:]) / median(values[:half]) - 1
    if abs(drift) > DRIFT:
        word = "slower" if drift > 0 else "faster"
        doubts.append(f"the second half is {abs(drift):.0%} {word} than the first")
    return doubts


@contextmanager
def undisturbed_by_garbage() -> Iterator[None]:
    """No garbage is collected in the block."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _excess(times: list[float], steady: float) -> float:
    """What the first calls took beyond steady ones, where they were clearly slower."""
    return sum(t - steady for t in times if t > 2 * steady)

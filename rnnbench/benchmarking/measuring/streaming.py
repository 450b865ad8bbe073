"""Streams held in several ways, timed by turns.

A caller takes the next inputs of its streams, calls, and hands their states on; each is in a thread
of its own, and all begin together. In a round each way runs for a while, in random order. A call
takes what lies between its return and that of the call before, so waiting for a core, and what
Python does between two calls, are in it. No caller is ever idle: what is measured is how much a
core can do, and what a call takes then.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import Any, TypeVar

import numpy as np
import torch

from rnnbench.benchmarking.measuring.paired import interval
from rnnbench.benchmarking.measuring.sampling import (
    STEADY,
    Effort,
    doubts_about,
    undisturbed_by_garbage,
)
from rnnbench.core.hardware import usable_cores
from rnnbench.core.model import Arrays
from rnnbench.runtimes.opened import Opened, Values

BLOCK_S = 0.1
"""Of one way in a round: several time slices of a scheduler."""
TURNS = 4
"""Calls of every caller that a block has room for, where they take long."""
MIN_ROUNDS = 6

T = TypeVar("T")
Array = np.ndarray[Any, Any]


class Caller:
    """Who holds streams, and calls a session with all of them as rows.

    Args:
        session: which others may call as well.
        streams: their numbers.
        calls: the inputs of one call after the other, again from the first behind the last; those
            of the first hold the states at the start.
        states: input -> the output to hand on as it.
    """

    def __init__(
        self,
        session: Opened,
        streams: Sequence[int],
        calls: Sequence[Arrays],
        states: Mapping[str, str],
    ) -> None:
        self.streams = tuple(streams)
        self._session, self._given = session, calls
        self._handed_on = tuple(states.items())
        self._begin()

    def _begin(self) -> None:
        """At the start of the streams."""
        self._calls = [self._session.give(arrays) for arrays in self._given]
        self._state = {name: self._calls[0][name] for name, _ in self._handed_on}
        self._next = 0

    def from_start(self) -> list[Arrays]:
        """What its calls give, each once."""
        self._begin()
        return [self._session.take(self._step()) for _ in self._calls]

    def go_on(self, start: int, stop: int) -> list[int]:
        """Calls on until a time, once at least; when it began, and when each call returned (ns)."""
        step, clock = self._step, perf_counter_ns
        stamps = [start]
        while True:
            step()
            stamps.append(clock())
            if stamps[-1] >= stop:
                return stamps

    def _step(self) -> Values:
        outputs = self._session.call({**self._calls[self._next], **self._state})
        self._state = {name: outputs[target] for name, target in self._handed_on}
        self._next = (self._next + 1) % len(self._calls)
        return outputs


@dataclass(frozen=True)
class Way:
    """Streams, held in one way.

    Attributes:
        callers: a thread each.
        steps: of a stream in one call.
        threads: inside one operation.
    """

    callers: tuple[Caller, ...]
    steps: int
    threads: int

    @property
    def rows(self) -> int:
        """Streams in one call."""
        return len(self.callers[0].streams)

    @property
    def cores(self) -> int:
        """One for each thread that computes, as far as there are so many."""
        return min(len(self.callers) * self.threads, usable_cores())


@dataclass(frozen=True)
class Times:
    """What one way took.

    Attributes:
        seconds: of a call, the median of each round.
        p50: of all calls.
        p99: of them.
        steps_per_s: of all streams, in each round.
        cores: that were used.
        why_unstable: in words; empty where the rounds agree.
    """

    seconds: tuple[float, ...]
    p50: float
    p99: float
    steps_per_s: tuple[float, ...]
    cores: int
    why_unstable: str

    def to_info(self, frames_per_second: float | None) -> dict[str, object]:
        """The statistics of an entry of kind `streams`."""
        low, high = interval(self.steps_per_s)
        of_all = median(self.steps_per_s)
        a_core = of_all / self.cores
        return {
            "p50": self.p50,
            "p99": self.p99,
            "steps_per_s": of_all,
            "low": low,
            "high": high,
            "cores": self.cores,
            "steps_per_core": a_core,
            "streams_per_core": a_core / frames_per_second if frames_per_second else None,
            "rounds": len(self.steps_per_s),
            "stable": not self.why_unstable,
            "why_unstable": self.why_unstable,
        }


def time_by_turns(ways: Mapping[str, Way], effort: Effort, *, seed: int = 0) -> dict[str, Times]:
    """Warms all ways up, and times them in turns.

    Args:
        ways: by name.
        effort: how long.
        seed: of the order in each round.
    """
    draw = random.Random(seed)
    blocks: dict[str, list[list[list[int]]]] = {name: [] for name in ways}
    with undisturbed_by_garbage():
        warm = {name: _warm_up(way, effort) for name, way in ways.items()}
        rounds = max(MIN_ROUNDS, min(effort.max_rounds, int(effort.rounds_s / BLOCK_S)))
        for _ in range(rounds):
            for name in draw.sample(sorted(ways), len(ways)):
                blocks[name].append(_block(ways[name], warm[name][0]))
    return {name: _times(way, blocks[name], warm[name][1]) for name, way in ways.items()}


def all_at_once(
    callers: Sequence[Caller], work: Callable[[Caller, threading.Barrier], T]
) -> list[T]:
    """What each caller gives for the same work, each in a thread of its own.

    Args:
        callers: one or more.
        work: gets a barrier at which all can meet.

    Raises:
        Exception: what the first that failed raised.
    """
    found: dict[int, T] = {}
    failed: list[BaseException] = []
    barrier = threading.Barrier(len(callers))
    inside = torch.get_num_threads()  # OpenMP and MKL have a number of each thread's own

    def body(number: int) -> None:
        try:
            torch.set_num_threads(inside)
            with torch.inference_mode():
                found[number] = work(callers[number], barrier)
        except BaseException as error:  # raised again, by who waits
            failed.append(error)
            barrier.abort()

    threads = [threading.Thread(target=body, args=(n,), daemon=True) for n in range(len(callers))]
    try:
        for thread in threads:
            thread.start()
    except BaseException:
        barrier.abort()
        raise
    for thread in threads:
        thread.join()
    broken = threading.BrokenBarrierError  # of those that waited for the one that failed
    for error in sorted(failed, key=lambda error: isinstance(error, broken)):
        raise error
    return [found[number] for number in range(len(callers))]


def _warm_up(way: Way, effort: Effort) -> tuple[float, bool]:
    """How long a block is to be, and whether three in a row agreed, before time was up."""
    seconds, rates = min(BLOCK_S, effort.samples_s), []
    start = perf_counter_ns()
    while True:
        rates.append(_rate(way, _block(way, seconds)))
        seconds = max(seconds, TURNS * len(way.callers) * way.rows * way.steps / rates[-1])
        last = rates[-3:]
        steady = len(last) == 3 and max(last) <= (1 + STEADY) * min(last)
        if steady or (len(last) == 3 and (perf_counter_ns() - start) / 1e9 > effort.warmup_s):
            return seconds, steady


def _block(way: Way, seconds: float) -> list[list[int]]:
    """For each caller, when all began and when each of its calls returned."""
    begun: list[int] = []

    def work(caller: Caller, barrier: threading.Barrier) -> list[int]:
        caller.go_on(0, 0)  # what a new thread needs is not timed
        if barrier.wait() == 0:
            begun.append(perf_counter_ns())
        barrier.wait()
        return caller.go_on(begun[0], begun[0] + int(1e9 * seconds))

    return all_at_once(way.callers, work)


def _rate(way: Way, stamps: Sequence[Sequence[int]]) -> float:
    """Steps a second of all streams: of each caller over its own time, which ends with a call."""
    return sum(way.rows * way.steps * (len(s) - 1) / (s[-1] - s[0]) * 1e9 for s in stamps)


def _times(way: Way, blocks: Sequence[Sequence[Sequence[int]]], steady: bool) -> Times:
    seconds = [np.concatenate([_steps(s) for s in block]) / 1e9 for block in blocks]
    p50, p99 = np.percentile(np.concatenate(seconds), (50, 99))
    rates = tuple(_rate(way, block) for block in blocks)
    doubts = [] if steady else ["not steady after the warm-up"]
    why = "; ".join([*doubts, *doubts_about(rates)])
    medians = tuple(float(np.median(each)) for each in seconds)
    return Times(medians, float(p50), float(p99), rates, way.cores, why)


def _steps(stamps: Sequence[int]) -> Array:
    """What each call took; not the first where there are others, for which all begin at once."""
    found = np.diff(stamps)
    return found[1:] if len(found) > 1 else found

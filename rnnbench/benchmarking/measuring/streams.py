"""Streams of one model in one runtime, in every way to hold them: judged, timed, judged again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from rnnbench import runtimes
from rnnbench.benchmarking.machine import usable_cores
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.benchmarking.measuring.stream_cases import StreamTrial
from rnnbench.benchmarking.measuring.streaming import (
    Stream,
    Times,
    Way,
    all_at_once,
    time_by_turns,
)
from rnnbench.benchmarking.plan import (
    Conditions,
    Implementation,
    streamers,
    timing_of,
)
from rnnbench.benchmarking.streams import ONE_BATCH, ONE_SESSION, SESSIONS, ways_to_hold
from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.runtimes.opened import Opened
from rnnbench.runtimes.timed import Source

if TYPE_CHECKING:
    from rnnbench.benchmarking.measuring.artifacts import Artifacts

_ROOM = 0.5  # of the memory that is free, for the weights of all sessions


def measure_held(
    artifacts: Artifacts,
    target: str,
    way: Implementation,
    conditions: Conditions,
    count: int,
    effort: Effort,
) -> dict[str, Times | Exception]:
    """What each way to hold so many streams took, or why there is nothing of it.

    Args:
        artifacts: makes what runs.
        target: the model.
        way: its form and what runs it.
        conditions: the sizes; the batch is that of a stream, 1.
        count: how many streams.
        effort: how long.

    Raises:
        Unavailable: the runtime is not here, or is not timed with streams.
        RnnbenchError: the model has no states, or cannot be exported.
    """
    open_session = timing_of(way.runtime).open
    if open_session is None:
        raise Unavailable(
            f"{way.runtime} is not timed with streams: choose from {', '.join(streamers())}"
        )
    trial = artifacts.stream_trial(target, way.form, conditions)
    source = artifacts.source(target, way, conditions)
    weights = _weights(artifacts, source, target, way, conditions)
    source = artifacts.fit(source, way, trial.inputs(1)[0][0])
    coarseness = runtimes.get(way.runtime).coarseness
    found: dict[str, Times | Exception] = {}
    ways: dict[str, Way] = {}
    for held in ways_to_hold(count):
        try:
            sessions = count if held == SESSIONS else 1
            _refuse_too_many(sessions, weights)
            at_once = min(count, usable_cores()) if held == ONE_SESSION else 1
            opened = [open_session(source, conditions.threads, at_once) for _ in range(sessions)]
            made = _make(held, opened, conditions, trial, count)
            _assert_right(made, trial, count, coarseness)
        except Exception as error:  # each runtime raises types of its own
            found[held] = error
        else:
            ways[held] = made
    times = time_by_turns(ways, effort)
    for held, made in ways.items():
        try:
            _assert_right(made, trial, count, coarseness)
        except Exception as error:
            found[held] = error
        else:
            found[held] = times[held]
    return found


def _weights(
    artifacts: Artifacts,
    source: Source,
    target: str,
    way: Implementation,
    conditions: Conditions,
) -> int:
    """Bytes that each session holds at least."""
    if source.path is not None:
        return artifacts.file(target, way, conditions).bytes
    assert source.module is not None, "a trial has refused a model without its code"
    return sum(p.numel() * p.element_size() for p in source.module.parameters())


def _refuse_too_many(sessions: int, weights: int) -> None:
    """Refuses sessions that would not fit, before the machine is out of memory."""
    if sessions * weights > _ROOM * psutil.virtual_memory().available:
        raise RnnbenchError(
            f"{sessions} sessions of {1e-6 * weights:.0f} MB each have no room in the memory here: "
            "give fewer --streams"
        )


def _make(
    held: str, opened: list[Opened], conditions: Conditions, trial: StreamTrial, count: int
) -> Way:
    """Streams at their start, each with its session.

    Raises:
        RnnbenchError: they cannot be rows of one batch.
    """
    calls = [trial.batched(count)] if held == ONE_BATCH else trial.inputs(count)
    sessions = opened * (len(calls) // len(opened))
    states = trial.model.states
    callers = [Stream(s, c, states) for s, c in zip(sessions, calls, strict=True)]
    return Way(tuple(callers), count // len(callers), conditions.time, conditions.threads)


def _assert_right(way: Way, trial: StreamTrial, count: int, coarseness: float) -> None:
    """All streams at once give what the module alone gives for each.

    Raises:
        WrongOutput: one does not.
    """
    outputs = all_at_once(way.callers, lambda stream, _: stream.from_start())
    if way.rows > 1:
        outputs = trial.rows(outputs[0], count)
    trial.assert_right(outputs, coarseness)

"""Streams of one model in one runtime, in every way to hold them: judged, timed, judged again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from rnnbench import runtimes
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.benchmarking.measuring.stream_cases import StreamTrial
from rnnbench.benchmarking.measuring.streaming import (
    Caller,
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
from rnnbench.benchmarking.streams import ONE_BATCH, SESSIONS, ways_to_hold
from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.core.hardware import usable_cores
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
        WrongOutput: a file that rounds values is another than it was.
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
    source = artifacts.fit(source, way, trial.inputs([0])[0])
    coarseness = runtimes.get(way.runtime).coarseness
    rounds = artifacts.rounds(target, way, conditions)
    if rounds:  # streams are judged by the file itself, and that by what was exported
        artifacts.assert_elsewhere(target, way, conditions)
    found: dict[str, Times | Exception] = {}
    ways: dict[str, Way] = {}
    for held in ways_to_hold(count):
        try:
            numbers = _numbers(held, count, conditions.threads)
            sessions = count if held == SESSIONS else 1
            _refuse_too_many(sessions, weights)
            at_once = min(len(numbers) // sessions, usable_cores())
            opened = [open_session(source, conditions.threads, at_once) for _ in range(sessions)]
            made = _make(opened, numbers, conditions, trial)
            _assert_right(made, trial, coarseness, rounds)
        except Exception as error:  # each runtime raises types of its own
            found[held] = error
        else:
            ways[held] = made
    times = time_by_turns(ways, effort)
    for held, made in ways.items():
        try:
            _assert_right(made, trial, coarseness, rounds)
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


def _numbers(held: str, count: int, threads: int) -> list[tuple[int, ...]]:
    """The streams that each caller holds.

    A batch is on each core, so that all are at work as they are with many threads: two that share
    a physical core share its speed. No two batches have the same streams in the same rows.
    """
    if held != ONE_BATCH:
        return [(stream,) for stream in range(count)]
    batches = max(1, usable_cores() // threads)
    every = max(count, batches)
    return [tuple((first + row) % every for row in range(count)) for first in range(batches)]


def _make(
    opened: list[Opened], numbers: list[tuple[int, ...]], conditions: Conditions, trial: StreamTrial
) -> Way:
    """Streams at their start, and which session each of their callers calls.

    Raises:
        RnnbenchError: they cannot be rows of one batch.
    """
    sessions = opened * (len(numbers) // len(opened))
    callers = [
        Caller(session, streams, trial.inputs(streams), trial.model.states)
        for session, streams in zip(sessions, numbers, strict=True)
    ]
    return Way(tuple(callers), conditions.time, conditions.threads)


def _assert_right(way: Way, trial: StreamTrial, coarseness: float, rounds: bool) -> None:
    """All streams at once give what is right of each alone.

    Raises:
        WrongOutput: one does not.
    """
    found = all_at_once(way.callers, lambda caller, _: caller.from_start())
    for caller, outputs in zip(way.callers, found, strict=True):
        trial.assert_right(caller.streams, outputs, coarseness, rounds)

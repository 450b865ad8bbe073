"""Many streams at once, each a step behind the other: what a results file says of them."""

from __future__ import annotations

from dataclasses import dataclass

from rnnbench.benchmarking.entry import Entry

ONE_BATCH, ONE_SESSION, SESSIONS = "one batch", "one session", "N sessions"
HELD = (ONE_BATCH, ONE_SESSION, SESSIONS)
"""How streams can be held: as rows of one call (each core has such a batch), as threads that share
a session, or each with a session of its own."""


@dataclass(frozen=True, kw_only=True)
class Streams(Entry):
    """Independent streams, each of which hands its states on from call to call.

    Attributes:
        streams: how many are held so: in a batch, or in all.
        held: one of `HELD`.
        p50: seconds of a call as a stream sees it: half of them take at most this.
        p99: 99 % do.
        steps_per_s: on all cores together, the median over rounds.
        low: of its 95 % interval (bootstrap over rounds).
        high: of it.
        cores: that are used: one for each thread that computes, as far as the process may use them.
        steps_per_core: steps a second of one of those.
        streams_per_core: that keep up with real time on one core; None where the model declares no
            `frames_per_second`.
        rounds: how many.
        stable: whether the rounds agree with one another.
        why_unstable: in words; empty where they do.
    """

    streams: int
    held: str
    p50: float
    p99: float
    steps_per_s: float
    low: float
    high: float
    cores: int
    steps_per_core: float
    streams_per_core: float | None
    rounds: int
    stable: bool
    why_unstable: str

    @property
    def call_lasts(self) -> float | None:
        """Seconds of real time in a call; None where the model declares no rate."""
        return self.time / self.frames_per_second if self.frames_per_second else None

    @property
    def keeps_up(self) -> bool:
        """Whether all are done with a call before the next is due, on the whole."""
        if self.streams_per_core is None:
            return True
        batches = max(1, self.cores // self.threads) if self.held == ONE_BATCH else 1
        return self.streams_per_core * self.cores >= self.streams * batches


def held_text(streams: int, held: str) -> str:
    """`one batch of 8`, `8 threads of one session`, `8 sessions`, `one stream at a time`."""
    if streams == 1:
        return "one stream at a time"
    return {
        ONE_BATCH: f"one batch of {streams}",
        ONE_SESSION: f"{streams} threads of one session",
        SESSIONS: f"{streams} sessions",
    }.get(held, held)


def ways_to_hold(streams: int) -> tuple[str, ...]:
    """Those that differ for so many: one stream alone is a batch, a thread and a session."""
    return HELD if streams > 1 else (ONE_BATCH,)

"""Gives each node one job after the other, alone, and outlives what dies meanwhile.

    Group (jobs that belong on one node) ──▶ a node of its kind ──▶ job ─▶ job ─▶ ... ─▶ close
                    ▲                               │
                    └── what is left of it ◀── the node died

A worker is an actor that holds the slot and all cores of its node, so that nothing of ours is
beside a job; the next job is sent when the answer of the one before was taken. Where a worker ends
or hangs, its job is tried on another node of the kind, and the rest of the group goes on there.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rnnbench.cluster.engine import SLOT
from rnnbench.cluster.jobs import Group, Job, Listener, Worker
from rnnbench.cluster.nodes import Node, pinned
from rnnbench.core.errors import RnnbenchError, one_line

TRIES = 3
"""How often a job may take its worker or its node with it, before it is given up."""

_STARTS = 2  # of a worker that ends before its first job, until the node is given up
_CLOSE_S = 10
_PATIENCE_S = 30  # until it is said that a node is not free
_LOOK_S = 1.0  # between two looks at what is overdue


@dataclass
class _Seat:
    """A node at work: its worker, and what that was asked last."""

    node: Node
    kind: str
    worker: Any = None
    asked: str = ""  # "", "waiting", "begin" or "job"
    answer: Any = None  # Ray's reference
    since: float = 0.0
    group: Group | None = None
    job: Job | None = None
    began: bool = False
    failures: int = 0
    gone: str = ""
    told: bool = False


@dataclass
class Sweep:
    """All of it.

    Attributes:
        ray: the module, connected.
        nodes: those that work.
        kinds: name of a node -> its kind.
        make: makes a worker there; it travels.
        listener: is told what happens.
        deadline_s: of one job, and of a worker's beginning.
        slot: the resource that a worker holds.
    """

    ray: Any
    nodes: Sequence[Node]
    kinds: Mapping[str, str]
    make: Callable[[], Worker]
    listener: Listener
    deadline_s: float
    slot: str = SLOT
    _queues: dict[str, deque[Group]] = field(default_factory=dict)
    _faults: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _changed: bool = True  # whether a group may have no node any more

    def run(self, groups: Iterable[Group]) -> None:
        """Until every job has an answer, or is given up.

        Raises:
            RnnbenchError: the cluster itself is gone.
        """
        seats = [_Seat(node, self.kinds[node.name]) for node in self.nodes]
        for group in groups:
            self._queues.setdefault(group.kind, deque()).append(group)
        try:
            while self._step(seats):
                pass
            self._close(seats)
        except self.ray.exceptions.RayError as error:
            raise RnnbenchError(
                f"the cluster is gone ({one_line(error)}): start it, and go on with --resume"
            ) from error
        finally:
            for seat in seats:
                self._kill(seat)

    def _step(self, seats: list[_Seat]) -> bool:
        """Asks who is free, and takes what is answered; False where nothing is left."""
        if self._changed:
            self._changed = False
            self._strand(seats)
        for seat in seats:
            if not seat.asked and not seat.gone:
                self._ask(seat)
        asked = {seat.answer: seat for seat in seats if seat.asked}
        if not asked:
            return False
        waits = [*asked]
        ready, _ = self.ray.wait(waits, num_returns=len(waits), timeout=0)
        if not ready:
            ready, _ = self.ray.wait(waits, num_returns=1, timeout=_LOOK_S)
        for answer in ready:
            self._take(asked[answer])
        for seat in asked.values():
            waited = time.monotonic() - seat.since
            if seat.asked == "waiting" and waited > _PATIENCE_S and not seat.told:
                seat.told = True
                self.listener.on_wait(seat.node)
            late = waited > self.deadline_s
            if late and seat.asked in ("begin", "job"):
                self._fail(seat, f"no answer in {self.deadline_s:g} s")
        return True

    # ---- what a seat is asked, and what it says

    def _ask(self, seat: _Seat) -> None:
        """The next of: a worker, its beginning, a job."""
        seat.group = seat.group or self._next(seat)
        if seat.group is None:
            return
        if seat.worker is None:
            seat.worker = self._make(seat.node)
            self._send(seat, "waiting", seat.worker.ready.remote())
        elif not seat.began:
            self._send(seat, "begin", seat.worker.begin.remote())
        else:
            seat.job = seat.group.jobs.popleft()
            last = not seat.group.jobs
            self._send(seat, "job", seat.worker.run.remote(seat.job.payload, last))

    def _send(self, seat: _Seat, what: str, answer: Any) -> None:
        seat.asked, seat.answer, seat.since = what, answer, time.monotonic()

    def _take(self, seat: _Seat) -> None:
        """An answer, or what became of it."""
        errors = self.ray.exceptions
        try:
            said = self.ray.get(seat.answer)
        except errors.RayTaskError as error:
            self._fail(seat, one_line(error.cause or error))
            return
        except errors.LocalRayletDiedError:
            raise
        except errors.RayError as error:
            self._fail(seat, _ended(seat.asked, error))
            return
        asked, job, seat.asked = seat.asked, seat.job, ""
        if asked == "begin":
            seat.began = True
            self.listener.on_begin(seat.node, said)
        elif asked == "job":
            assert job is not None
            seat.job, seat.failures = None, 0
            answer, ended = said
            self.listener.on_answer(seat.node, job, answer)
            if seat.group is not None and not seat.group.jobs:
                group, seat.group = seat.group, None
                self._end_group(seat, group, ended)

    def _end_group(self, seat: _Seat, group: Group, said: Any) -> None:
        jobs = deque(self.listener.on_end_group(seat.node, group, said))
        not_on = group.not_on | {seat.node.name}
        if jobs and any(kind == group.kind and name not in not_on for name, kind in self._alive()):
            again = Group(group.name, group.kind, jobs, not_on, again=True)
            self._queues[group.kind].append(again)

    # ---- faults

    def _fail(self, seat: _Seat, reason: str) -> None:
        """A worker ended, hangs or raised: what it held goes elsewhere."""
        self._kill(seat)
        job, asked, group = seat.job, seat.asked, seat.group
        seat.job, seat.asked, seat.began = None, "", False
        alive = self._is_alive(seat.node)
        if asked in ("waiting", "begin"):
            seat.failures += 1
        if not alive or seat.failures >= _STARTS:
            seat.gone = reason if alive else "the node died"
        self.listener.on_fault(seat.node, seat.gone or reason)
        self._changed = True
        if group is None:
            return
        if job is not None:
            self._again(seat, group, job, seat.gone or reason)
        if seat.gone or not group.jobs:
            seat.group = None
        if seat.gone and group.jobs:
            self._queue(group.kind).appendleft(group)

    def _again(self, seat: _Seat, group: Group, job: Job, reason: str) -> None:
        """A job that was running: on another node, unless it has taken enough of them with it."""
        faults = self._faults.setdefault((group.kind, job.id), [])
        faults.append(f"{reason}, on {seat.node.name}")
        if len(faults) >= TRIES:
            self._lose(group, seat.node.name, job, tried=True)
        elif seat.gone:
            group.jobs.appendleft(job)
        else:
            not_on = group.not_on | {seat.node.name}
            alone = Group(group.name, group.kind, deque([job]), not_on, group.again)
            self._queue(group.kind).appendleft(alone)

    def _strand(self, seats: Sequence[_Seat]) -> None:
        """Gives up what no node that is left may run."""
        for kind, queue in self._queues.items():
            there = {seat.node.name for seat in seats if seat.kind == kind and not seat.gone}
            for group in [g for g in queue if not there - g.not_on]:
                queue.remove(group)
                last = next((s for s in seats if s.kind == kind and s.gone), None)
                for job in group.jobs:
                    if last is not None:
                        why = f"{last.gone}, on {last.node.name}"
                        self._faults.setdefault((kind, job.id), [why])
                    self._lose(group, last.node.name if last else "", job, tried=bool(there))

    def _lose(self, group: Group, node: str, job: Job, *, tried: bool) -> None:
        """It gets a row with its reason; unless it has a result already."""
        if group.again:
            return
        reason = "; ".join(self._faults[group.kind, job.id])
        if not tried:
            reason += ", and no node of its kind is left"
        self.listener.on_lost(group.kind, node, job, reason, tried=tried)

    # ---- nodes and workers

    def _next(self, seat: _Seat) -> Group | None:
        """The first group that may run there."""
        queue = self._queue(seat.kind)
        for group in queue:
            if seat.node.name not in group.not_on:
                queue.remove(group)
                return group
        return None

    def _queue(self, kind: str) -> deque[Group]:
        return self._queues.setdefault(kind, deque())

    def _make(self, node: Node) -> Any:
        """A worker that has the node to itself: its slot, its cores and its GPUs."""
        actor = self.ray.remote(_Actor).options(
            num_cpus=node.resources.get("CPU", 0),
            num_gpus=node.resources.get("GPU", 0),
            resources={self.slot: 1},
            scheduling_strategy=pinned(self.ray, node.id),
            max_restarts=0,
            max_task_retries=0,
        )
        return actor.remote(self.make)

    def _kill(self, seat: _Seat) -> None:
        """So that it does not measure beside the next."""
        worker, seat.worker = seat.worker, None
        if worker is not None:
            with contextlib.suppress(Exception):
                self.ray.kill(worker, no_restart=True)

    def _close(self, seats: Sequence[_Seat]) -> None:
        """Workers that have nothing left to do clear up after themselves."""
        closing = [seat.worker.close.remote() for seat in seats if seat.worker is not None]
        if closing:
            self.ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_S)

    def _is_alive(self, node: Node) -> bool:
        return node.name in {name for name, _ in self._alive()}

    def _alive(self) -> list[tuple[str, str]]:
        """Names and kinds of the nodes that live, as far as Ray knows."""
        ids = {each["NodeID"] for each in self.ray.nodes() if each["Alive"]}
        return [(node.name, self.kinds[node.name]) for node in self.nodes if node.id in ids]


def _ended(asked: str, error: Exception) -> str:
    """Why there is no answer: of a worker that could not be made, what it raised there."""
    last = str(error).strip().splitlines()[-1:]
    return last[0].strip() if asked == "waiting" and last else "the process that ran it ended"


class _Actor:
    """A worker, made in its process."""

    def __init__(self, make: Callable[[], Worker]) -> None:
        self._worker = make()

    def ready(self) -> None:
        """Its process is there, and holds the slot."""

    def begin(self) -> Any:
        return self._worker.begin()

    def run(self, payload: Any, last: bool) -> tuple[Any, Any]:
        """A job's answer; behind the last of a group, what is to be known of that as well."""
        answer = self._worker.run(payload)
        return answer, self._worker.end_group() if last else None

    def close(self) -> None:
        self._worker.close()

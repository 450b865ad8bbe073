"""What a sweep is made of: jobs in groups, who does them, and who is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from rnnbench.cluster.nodes import Node


class Worker(Protocol):
    """What runs on a node, in a process of its own."""

    def begin(self) -> Any:
        """Once, before the first job: what is to be known of the node."""

    def run(self, payload: Any) -> Any:
        """A job; what goes wrong with it is in the answer."""

    def end_group(self) -> Any:
        """Behind the last job of a group: what is to be known of how it went."""

    def close(self) -> None:
        """Nothing follows."""


@dataclass(frozen=True)
class Job:
    """One thing to do; `payload` travels."""

    id: str
    payload: Any


@dataclass
class Group:
    """Jobs that run on one node, in their order, as long as it lives.

    Attributes:
        name: of it.
        kind: of the nodes on which it may run.
        jobs: what is left of it.
        not_on: names of nodes on which it is not tried again.
        again: whether it ran before, and this is to see whether another node is steadier.
    """

    name: str
    kind: str
    jobs: deque[Job]
    not_on: frozenset[str] = frozenset()
    again: bool = False


class Listener(Protocol):
    """Who is told what happens."""

    def on_begin(self, node: Node, said: Any) -> None:
        """A node's worker has begun; again, where it was started anew."""

    def on_wait(self, node: Node) -> None:
        """A node is not free: somebody else holds its slot or a core."""

    def on_answer(self, node: Node, job: Job, answer: Any) -> None:
        """It is done."""

    def on_lost(self, kind: str, node: str, job: Job, reason: str, *, tried: bool) -> None:
        """It is given up: `tried` where it was the job's fault, as far as can be told."""

    def on_end_group(self, node: Node, group: Group, said: Any) -> Iterable[Job]:
        """A group is done; the jobs of it that are to be tried on another node, if there is one."""

    def on_fault(self, node: Node, reason: str) -> None:
        """A worker or a node is gone, and the sweep goes on."""

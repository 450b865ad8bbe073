"""What runs on a node, in a process of Ray's: the same functions as the plain bench."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rnnbench.benchmarking.cluster.steadiness import Steadiness, Watch
from rnnbench.benchmarking.driver import limits_of, measure_line
from rnnbench.benchmarking.machine import describe_machine
from rnnbench.benchmarking.measuring.artifacts import Artifacts
from rnnbench.benchmarking.plan import Item, Plan
from rnnbench.benchmarking.record import describe_for_pytest
from rnnbench.cluster.engine import import_ray
from rnnbench.cluster.parcels import Parcel, unpack
from rnnbench.core import trust
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.temporary import temporary_folder

_ENVIRONMENT = Path("/proc/self/environ")


@dataclass(frozen=True)
class Work:
    """What a worker has to know; called, it makes one (`sweep.Worker`).

    Attributes:
        plan: what is measured.
        parcels: target -> what has to travel for it.
    """

    plan: Plan
    parcels: Mapping[str, Parcel]

    def __call__(self) -> BenchWorker:
        """On the node."""
        return BenchWorker(self.plan, self.parcels)


class BenchWorker:
    """Measures on one node; what it makes for that stays there."""

    def __init__(self, plan: Plan, parcels: Mapping[str, Parcel]) -> None:
        _as_if_by_hand()
        self._plan, self._parcels = plan, parcels
        self._open = ExitStack()
        self._folder = self._open.enter_context(temporary_folder())
        os.environ[trust.FOLDER] = str(self._folder / "state")  # the record of this run alone
        self._artifacts = self._open.enter_context(Artifacts())
        self._places: dict[str, str] = {}
        self._watch: Watch | None = None

    def begin(self) -> dict[str, Any]:
        """The facts of the machine; what it can do at most is measured."""
        machine = {**describe_machine(), "limits": limits_of(self._plan)}
        return {"machine": machine, "machine_info": describe_for_pytest()}

    def run(self, payload: Item) -> dict[str, Any]:
        """A line of the journal."""
        self._watch = self._watch or Watch()
        try:
            here = replace(payload, target=self._place(payload.target))
        except RnnbenchError as error:
            skipped = {"what": payload.label, "reason": one_line(error)}
            return {"id": payload.label, "skipped": skipped, "wrong": False}
        return {**measure_line(here, self._artifacts, self._plan.quick), "id": payload.label}

    def end_group(self) -> Steadiness | None:
        """How the node was meanwhile."""
        watch, self._watch = self._watch, None
        return watch.end() if watch is not None else None

    def close(self) -> None:
        """Removes what it made."""
        self._open.close()

    def _place(self, target: str) -> str:
        """A target as it is called on this node."""
        if target not in self._parcels:
            return target
        if target not in self._places:
            path = unpack(self._parcels[target], self._folder, import_ray().get)
            _, colon, function = target.rpartition(".py:")
            self._places[target] = f"{path}:{function}" if colon else str(path)
        return self._places[target]


def _as_if_by_hand() -> None:
    """A process of Ray's becomes as one that somebody started.

    Ray sets `OMP_NUM_THREADS` where nobody else did, and lets its workers give way to others.
    Nothing is written beside a source, whose folder is known by its content.
    """
    with suppress(OSError):
        if b"OMP_NUM_THREADS=" not in _ENVIRONMENT.read_bytes():
            os.environ.pop("OMP_NUM_THREADS", None)
    if hasattr(os, "setpriority"):
        with suppress(OSError):  # only root may
            os.setpriority(os.PRIO_PROCESS, 0, 0)
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

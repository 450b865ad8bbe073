"""Runs a plan on a cluster: once on each kind of node that is chosen, spread over its nodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnbench.benchmarking.cluster.kinds import describe, kinds_of
from rnnbench.benchmarking.cluster.records import Record, Records
from rnnbench.benchmarking.cluster.work import Work
from rnnbench.benchmarking.driver import (
    count_measured,
    in_words,
    nothing_measured,
    wrong_in,
)
from rnnbench.benchmarking.plan import Plan, items
from rnnbench.benchmarking.refusals import check_plan
from rnnbench.cluster.engine import connected
from rnnbench.cluster.jobs import Group, Job, Worker
from rnnbench.cluster.nodes import Node, choose, find_nodes, rules_of
from rnnbench.cluster.parcels import Parcel, pack
from rnnbench.cluster.sweep import Sweep
from rnnbench.core.interrupts import taken_up

DEADLINE_S = 1800.0
UNSTEADY = 0.5
"""Where more than this part of a group is unstable, its node cannot be believed."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class ClusterRun:
    """Where to run, and how.

    Attributes:
        address: `local`, or that of a cluster.
        on: which nodes, as `--on` says it; all where it is empty.
        deadline_s: of one measurement.
        make: what makes a worker; it travels. The plain bench's, unless given.
        describe: what a node is; it travels.
    """

    address: str
    on: tuple[str, ...] = ()
    deadline_s: float = DEADLINE_S
    make: Callable[[Plan, dict[str, Parcel]], Callable[[], Worker]] = Work
    describe: Callable[[], dict[str, Any]] = describe


@dataclass(frozen=True)
class NodeOutcome:
    """What came of one node: its name, its results file, and how many entries that has."""

    node: str
    path: Path
    measured: int


@dataclass(frozen=True)
class ClusterOutcome:
    """How a run ended.

    Attributes:
        nodes: those that measured something.
        total: how many measurements there are, over all kinds of nodes.
        wrong: what computed something else than the module in float64.
        interrupted: whether it was stopped before its end.
        lost: how many could not be measured since no node of their kind was left; `--resume` tries
            them again.
    """

    nodes: tuple[NodeOutcome, ...]
    total: int
    wrong: tuple[str, ...]
    interrupted: bool
    lost: int


def run_on_cluster(
    plan: Plan,
    out: Path,
    how: ClusterRun,
    *,
    name: str | None = None,
    resume: bool = False,
    on_line: Tell = lambda _: None,
) -> ClusterOutcome:
    """Measures a plan on every kind of node that is chosen; a results file for each node.

    Args:
        plan: what to measure.
        out: the folder of the results; one for each sort of machine is made in it.
        how: where.
        name: of the files, after their numbers.
        resume: goes on with the newest run of this plan that was stopped.
        on_line: is called with a line for all that happens.

    Raises:
        RnnbenchError: the plan asks for what does not exist, no node can be used, or nothing could
            be measured.
    """
    check_plan(plan)
    rules_of(how.on)
    todo = list(items(plan))
    with connected(how.address) as ray:
        found = find_nodes(ray, how.describe, measuring=True, on_refused=on_line)
        nodes = choose(found, how.on)
        kinds = kinds_of(nodes)
        records = Records(plan, todo, out, name)
        if resume:
            records.resume(kinds.values())
        make = how.make(plan, _parcels(plan, ray))
        listener = _Listener(records, kinds, len(todo) * len({*kinds.values()}), on_line)
        listener.say_nodes(nodes)
        interrupted = False
        try:
            sweep = Sweep(ray, nodes, kinds, make, listener, how.deadline_s)
            sweep.run(_groups(records, kinds))
        except KeyboardInterrupt:
            taken_up()
            interrupted = True
        except BaseException:
            records.end(finished=False)
            raise
    return _outcome(records, listener, interrupted)


def _outcome(records: Records, listener: _Listener, interrupted: bool) -> ClusterOutcome:
    """Writes the results files."""
    found: list[NodeOutcome] = []
    wrong: list[str] = []
    skipped, lost = list(records.unplaced), len(records.unplaced)
    for record in records.every:
        path, lines = records.save(record)
        wrong += wrong_in(lines)
        skipped += [line for line in lines if "skipped" in line]
        lost += sum(bool(line.get("gone")) for line in lines)
        if path is not None:
            found.append(NodeOutcome(record.node, path, count_measured(lines)))
    records.end(finished=not interrupted and not lost)
    if not found and not interrupted:
        raise nothing_measured(skipped)
    return ClusterOutcome(tuple(found), listener.total, tuple(wrong), interrupted, lost)


def _parcels(plan: Plan, ray: Any) -> dict[str, Parcel]:
    """What has to travel: bundles, and files of code. Variants and packages are there already."""
    from rnnbench.models import variants
    from rnnbench.models.sources import file_of

    found = {}
    for target in dict.fromkeys(plan.targets):
        path = Path(file_of(target))
        if target not in variants.names() and path.exists():
            found[target] = pack(path, ray.put)
    return found


def _groups(records: Records, kinds: dict[str, str]) -> Iterable[Group]:
    """What is left to do on each kind, the groups in the order of the plan."""
    for kind in dict.fromkeys(kinds.values()):
        done = records.done(kind)
        for name, members in records.groups.items():
            left = deque(Job(i.label, i) for i in members if i.label not in done)
            if left:
                yield Group(name, kind, left)


@dataclass
class _Listener:
    """Writes journals, and says what happens."""

    records: Records
    kinds: dict[str, str]
    total: int
    on_line: Tell
    best: dict[str, float] = field(default_factory=dict)  # kind -> seconds of the fixed work
    told: int = 0

    def say_nodes(self, nodes: Sequence[Node]) -> None:
        """What is measured where."""
        for kind in dict.fromkeys(self.kinds.values()):
            names = ", ".join(node.text for node in nodes if self.kinds[node.name] == kind)
            self.on_line(f"{self.total // len({*self.kinds.values()})} measurements on {names}")
        self.told = sum(len(self.records.done(kind)) for kind in {*self.kinds.values()})

    def on_begin(self, node: Node, said: Any) -> None:
        """A node's journal is there from now on."""
        self.records.begin(node, self.kinds[node.name], said)

    def on_wait(self, node: Node) -> None:
        """It is said once."""
        self.on_line(f"{node.name}: waits for its slot or a core, which somebody else has")

    def on_answer(self, node: Node, job: Job, answer: Any) -> None:
        """To the disk, and in words."""
        self._record(node).add(answer)
        self.told += 1
        self.on_line(f"[{self.told}/{self.total}] {node.name}: {job.id}: {in_words(answer)}")

    def on_lost(self, kind: str, node: str, job: Job, reason: str, *, tried: bool) -> None:
        """A row with its reason."""
        line = {"id": job.id, "skipped": {"what": job.id, "reason": reason}, "wrong": False}
        record = self.records.of(node, kind)
        if record is None:
            self.records.unplaced.append(line)
        else:
            record.add(line if tried else line | {"gone": True})
        self.told += 1
        self.on_line(f"[{self.told}/{self.total}] {job.id}: not measured, {reason}")

    def on_end_group(self, node: Node, group: Group, said: Any) -> Iterable[Job]:
        """Marks a node that cannot be believed; what it measured is tried on another."""
        record = self._record(node)
        doubts = self._doubts(record, group, said)
        if not doubts:
            return ()
        record.add({"id": "", "doubtful": group.name, "why": doubts})
        self.on_line(f"{node.name}: {group.name}: doubtful, {'; '.join(doubts)}")
        if group.again:
            return ()
        own = record.briefs[group.name]
        items = self.records.groups[group.name]
        return [Job(item.label, item) for item in items if item.label in own]

    def on_fault(self, node: Node, reason: str) -> None:
        """What is gone."""
        self.on_line(f"{node.name}: {reason}")

    def _doubts(self, record: Record, group: Group, said: Any) -> list[str]:
        doubts: list[str] = []
        if said is not None:
            best = min(said.pace_s, self.best.get(record.kind, said.pace_s))
            self.best[record.kind] = best
            doubts += said.doubts(best)
        part = record.unsteady_part(group.name)
        if part > UNSTEADY:
            doubts.append(f"{part:.0%} of its measurements are unstable")
        return doubts

    def _record(self, node: Node) -> Record:
        record = self.records.of(node.name, self.kinds[node.name])
        assert record is not None, "a node has begun before it measures"
        return record

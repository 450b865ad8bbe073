"""The journals of a sweep, one for each node, and the results files that come of them.

A journal is that of the plain bench; its head has `cluster` as well: which run, which node. A line
`{"id": "", "doubtful": GROUP, "why": [...]}` marks a group whose node cannot be believed: what that
node measured of it counts where no other has all of it, or none that is better.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rnnbench.benchmarking.cluster.groups import in_groups
from rnnbench.benchmarking.driver import save_lines
from rnnbench.benchmarking.plan import Item, Plan
from rnnbench.benchmarking.record import JOURNAL, Journal, next_file
from rnnbench.cluster.nodes import Node
from rnnbench.core.errors import RnnbenchError

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Brief:
    """What is remembered of a line: all of it is on the disk, and may be much.

    Attributes:
        stable: whether its samples agree with one another; None where it has none.
        gone: whether it says only that no node was left.
    """

    stable: bool | None
    gone: bool


@dataclass
class Record:
    """The journal of a node.

    Attributes:
        node: its name.
        kind: of it.
        journal: where lines go.
        head: its first line.
        groups: label -> the name of its group.
        briefs: group -> label -> what is remembered of its line, the last of a label.
        doubtful: group -> why this node cannot be believed in it.
    """

    node: str
    kind: str
    journal: Journal
    head: Line
    groups: Mapping[str, str]
    briefs: dict[str, dict[str, Brief]] = field(default_factory=dict)
    doubtful: dict[str, list[str]] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        """To the disk, before anything else is measured there."""
        self.journal.add(line)
        self.take(line)

    def take(self, line: Line) -> None:
        """A line that is on the disk."""
        if "doubtful" in line:
            self.doubtful[line["doubtful"]] = line["why"]
            return
        stable = line.get("entry", {}).get("extra_info", {}).get("stable")
        of_group = self.briefs.setdefault(self.groups.get(line["id"], ""), {})
        of_group[line["id"]] = Brief(stable, bool(line.get("gone")))

    def done(self) -> Iterator[str]:
        """Labels of what needs no second try: what had no node left may have one."""
        for of_group in self.briefs.values():
            yield from (label for label, brief in of_group.items() if not brief.gone)

    def unsteady_part(self, group: str) -> float:
        """Of what was timed, that whose samples do not agree with one another."""
        timed = [b.stable for b in self.briefs.get(group, {}).values() if b.stable is not None]
        return timed.count(False) / len(timed) if timed else 0.0


class Records:
    """All journals of one run.

    Attributes:
        groups: of the plan: name -> items, in their order.
        unplaced: lines of kinds none of whose nodes has begun.
        every: the journals, of nodes that are there and of those that were.
    """

    def __init__(self, plan: Plan, items: Sequence[Item], out: Path, name: str | None) -> None:
        self._plan, self._out = plan, out
        self._name = name or ("quick" if plan.quick else "full")
        self._given = name
        self._run = f"{datetime.now(UTC).isoformat()}-{secrets.token_hex(4)}"
        self.groups = in_groups(items)
        self._labels = {i.label: name for name, its in self.groups.items() for i in its}
        self.unplaced: list[Line] = []
        self.every: list[Record] = []

    # ---- a run that was stopped

    def resume(self, kinds: Iterable[str]) -> None:
        """Takes the journals of the newest run of this plan that was stopped.

        Args:
            kinds: of the nodes that are there.

        Raises:
            RnnbenchError: there is none, another driver writes it still, or it is of
                other machines.
        """
        found = self._stopped()
        if not found:
            called = f" of the name {self._given!r}" if self._given else ""
            raise RnnbenchError(
                f"no run of this plan{called} on a cluster in {self._out} was stopped: start one "
                "without --resume"
            )
        self._run = max(record.head["cluster"]["run"] for record in found)
        self.every = [r for r in found if r.head["cluster"]["run"] == self._run]
        for record in found:
            if record not in self.every:
                record.journal.end(finished=False)
        if not {record.kind for record in self.every} & {*kinds}:
            names = ", ".join(record.node for record in self.every)
            self.end(finished=False)
            raise RnnbenchError(
                f"the run that was stopped is of other machines or versions ({names}): start anew "
                "without --resume"
            )

    def _stopped(self) -> list[Record]:
        """Of this plan, on a cluster, with the lock of each."""
        found: list[Record] = []
        for path in sorted(self._out.glob(f"*/[0-9][0-9][0-9][0-9]_{self._given or '*'}{JOURNAL}")):
            journal = Journal(path.with_suffix(".json"))
            if not journal.hold():
                continue
            head, lines = journal.read()
            of_run = head.get("cluster")
            if of_run is None or head.get("plan") != self._plan.to_json():
                journal.end(finished=False)
                continue
            record = Record(of_run["node"], of_run["kind"], journal, head, self._labels)
            for line in lines:
                record.take(line)
            found.append(record)
        return found

    # ---- what is measured

    def begin(self, node: Node, kind: str, said: Mapping[str, Any]) -> Record:
        """The journal of a node: its own, or a new one."""
        for record in self.every:
            if (record.node, record.kind) == (node.name, kind):
                return record
        head = {
            "plan": self._plan.to_json(),
            "machine": {**said["machine"], "node": node.name, "host": node.facts["host"]},
            "machine_info": said["machine_info"],
            "cluster": {"run": self._run, "node": node.name, "kind": kind},
        }
        folder = self._out / node.facts["machine_id"]
        while True:
            journal = Journal(next_file(folder, self._name))
            if journal.begin(head):
                break
        record = Record(node.name, kind, journal, head, self._labels)
        self.every.append(record)
        return record

    def of(self, node: str, kind: str) -> Record | None:
        """The journal of a node; of any of its kind where it has none itself."""
        of_kind = [record for record in self.every if record.kind == kind]
        return next((r for r in of_kind if r.node == node), of_kind[0] if of_kind else None)

    def done(self, kind: str) -> set[str]:
        """Labels of what nodes of a kind have measured, whether or not they can be believed."""
        of_kind = (record for record in self.every if record.kind == kind)
        return {label for record in of_kind for label in record.done()}

    # ---- what counts

    def save(self, record: Record) -> tuple[Path | None, list[Line]]:
        """Its results file, None where nothing of it counts; and the lines that do."""
        doubts = [{"what": group, "why": "; ".join(why)} for group, why in record.doubtful.items()]
        machine = record.head["machine"] | ({"doubts": doubts} if doubts else {})
        lost = self._lost(record)
        lines = {x["id"]: x for x in record.journal.read()[1] if x["id"] and x["id"] not in lost}
        head = record.head | {"machine": machine}
        return save_lines(record.journal, head, [*lines.values()]), [*lines.values()]

    def _lost(self, record: Record) -> set[str]:
        """Labels for which another node of the kind has the better line."""
        others = [each for each in self.every if each.kind == record.kind and each != record]
        lost = set()
        for group, of_group in record.briefs.items():
            for other in (each for each in others if group in each.briefs):
                both = of_group.keys() & other.briefs[group].keys()
                lost |= {x for x in both if self._rank(other, x) < self._rank(record, x)}
        return lost

    def _rank(self, record: Record, label: str) -> tuple[bool, bool, bool, float, int]:
        """How a node's line compares with another's of the same label: the least is the best.

        A group counts as a whole, so that what is held against one another is of one node.
        """
        group = self._labels.get(label, "")
        of_group = record.briefs[group]
        whole = len(of_group) == len(self.groups.get(group, ()))
        unsteady, place = record.unsteady_part(group), self.every.index(record)
        return of_group[label].gone, not whole, group in record.doubtful, unsteady, place

    def end(self, *, finished: bool) -> None:
        """No journal is written any more."""
        for record in self.every:
            record.journal.end(finished=finished)

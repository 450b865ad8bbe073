"""Files -> Material: what a report is made of, sorted by machine.

Rows of one machine come together, whichever file they are from; of the same row measured twice, the
newest counts. Rows of different machines are never compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from rnnbench.benchmarking.entry import Entry
from rnnbench.benchmarking.report.checks import Checked, Drift, is_check, read_checks
from rnnbench.benchmarking.report.documents import (
    Conformed,
    Inspected,
    is_conformance,
    is_inspection,
    read_conformance,
    read_inspection,
)
from rnnbench.benchmarking.results import (
    FOLDER,
    MATRIX,
    Cost,
    Latency,
    Ratio,
    Results,
    Skipped,
    name_of_machine,
    read_results,
)
from rnnbench.benchmarking.store.folder import is_store
from rnnbench.benchmarking.store.runs import newest_runs
from rnnbench.benchmarking.streams import Streams
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.runtimes.training import TRAINING

E = TypeVar("E", bound=Entry)
_GIVE = (
    "give results of `rnnbench bench`, or what `rnnbench check --json`, `inspect --json` or "
    "`conform --json` printed"
)


@dataclass(frozen=True)
class Machine:
    """Everything that was measured on one machine.

    Attributes:
        name: processor, cores and GPU.
        results: the files, oldest first.
        latencies: the newest of each.
        ratios: the newest of each.
        costs: the newest of each.
        training: the newest of forward and backward, which are in none of those.
        streams: the newest of many streams at once.
        skipped: what could not run.
        replaced: how many rows a newer one stands for.
    """

    name: str
    results: tuple[Results, ...]
    latencies: tuple[Latency, ...]
    ratios: tuple[Ratio, ...]
    costs: tuple[Cost, ...]
    skipped: tuple[Skipped, ...]
    replaced: int = 0
    training: tuple[Latency | Ratio, ...] = ()
    streams: tuple[Streams, ...] = ()


@dataclass(frozen=True)
class Material:
    """What a report is made of.

    Attributes:
        machines: with what was measured on each.
        checks: verdicts of `check`.
        drifts: errors over a sequence.
        inspected: files, with their recurrences and hazards.
        conformed: what engines and targets computed.
        documents: the files that these are from, beside those of results.
    """

    machines: tuple[Machine, ...]
    checks: tuple[Checked, ...] = ()
    drifts: tuple[Drift, ...] = ()
    inspected: tuple[Inspected, ...] = ()
    conformed: tuple[Conformed, ...] = ()
    documents: tuple[Path, ...] = ()


def read_material(paths: Sequence[str | Path] = (), where: str | None = None) -> Material:
    """Reads results of `bench`, and what other commands print with `--json`, whichever it is.

    Args:
        paths: files, or folders of results; of a store the newest run on each machine; the newest
            results of this machine where there are none, of any machine where this one has none.
        where: an SQL condition on the rows of stores.

    Raises:
        RnnbenchError: a file is damaged or something else, or nothing was measured.
    """
    results: list[Results] = []
    stored: list[Results] = []
    said = Material(())
    for path in [Path(p) for p in paths]:
        if is_store(path):
            stored += newest_runs(path, where)
            continue
        data = _peek(path)
        try:
            more = _read_document(data)
        except ValueError as error:
            verb = data["schema"].split("-")[1] if "schema" in data else "check"
            raise RnnbenchError(f"{path} is damaged ({error}): {verb} again") from None
        if more is None:
            results += read_results([path])
        else:
            said = _both(said, replace(more, documents=(path,)))
    newest_of = {machine_key(one): one for one in sorted(stored, key=lambda r: r.created)}
    results += newest_of.values()  # of one run each: no ratio is formed of two
    if not results:
        results = _default(optional=said != Material(()))
    if not any(map(_count, results)) and said == Material(()):
        names = ", ".join(str(r.path) for r in results)
        raise RnnbenchError(f"nothing was measured in {names}: run `rnnbench bench`")
    return replace(said, machines=by_machine(results))


def _read_document(data: Any) -> Material | None:
    """What a command printed with `--json`; None where it is something else."""
    if is_check(data):
        checks, drifts = read_checks(data)
        return Material((), checks, drifts)
    if is_inspection(data):
        return Material((), inspected=read_inspection(data))
    if is_conformance(data):
        return Material((), conformed=read_conformance(data))
    return None


def _both(one: Material, other: Material) -> Material:
    """What two documents say, in order."""
    names = ("checks", "drifts", "inspected", "conformed", "documents")
    return Material((), *(getattr(one, name) + getattr(other, name) for name in names))


def newest(folder: Path = FOLDER) -> Results:
    """The newest results of this machine in a folder, or of any where there are none of this one.

    Raises:
        RnnbenchError: there are none.
    """
    last: dict[Path, Path] = {}  # a machine has a folder, and its files are numbered
    for path in sorted(f for f in folder.glob("**/*.json") if f.name != MATRIX):
        last[path.parent] = path
    if not last:
        raise RnnbenchError(
            f"there are no results in {folder}: make some with `rnnbench bench`, or give a file"
        )
    found = read_results(last.values())
    here = [r for r in found if machine_key(r) == _this_machine()]
    return max(here or found, key=lambda r: r.created)


def by_machine(results: Iterable[Results]) -> tuple[Machine, ...]:
    """One `Machine` each, in the order of their first file."""
    found: dict[tuple[object, ...], list[Results]] = {}
    for one in results:
        found.setdefault(machine_key(one), []).append(one)
    return tuple(_machine(sorted(files, key=lambda r: r.created)) for files in found.values())


def machine_key(results: Results) -> tuple[object, ...]:
    """What makes two machines the same: processor, cores and GPU; host names change too often."""
    return tuple(results.facts.get(name) for name in ("cpu", "cores", "gpu"))


def machine_name(results: Results) -> str:
    """`AMD EPYC 7B13, 2 cores`."""
    return name_of_machine(results.facts)


def _default(*, optional: bool) -> list[Results]:
    if optional and not any(FOLDER.glob("**/*.json")):
        return []
    return [newest()]


def _machine(files: list[Results]) -> Machine:
    latencies = _last([one for r in files for one in r.latencies])
    ratios = _last([one for r in files for one in r.ratios])
    costs = _last([one for r in files for one in r.costs])
    streams = _last([one for r in files for one in r.streams])
    kept = len(latencies) + len(ratios) + len(costs) + len(streams)
    rows: tuple[Latency | Ratio, ...] = (*latencies, *ratios)
    training = tuple(row for row in rows if row.mode == TRAINING)
    return Machine(
        machine_name(files[-1]),
        tuple(files),
        tuple(row for row in latencies if row not in training),
        tuple(row for row in ratios if row not in training),
        costs,
        tuple(dict.fromkeys(one for r in files for one in r.skipped)),
        sum(map(_count, files)) - kept,
        training,
        streams,
    )


def _count(results: Results) -> int:
    """How many rows a file has."""
    return sum(map(len, (results.latencies, results.ratios, results.costs, results.streams)))


def _last(entries: Iterable[E]) -> tuple[E, ...]:
    return tuple({entry.name: entry for entry in entries}.values())


def _peek(path: Path) -> Any:
    if not path.is_file():
        return None  # a folder, or nothing: `read_results` knows what to say
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RnnbenchError(f"{path} cannot be read ({one_line(error)}): {_GIVE}") from None
    known = any(is_one(data) for is_one in (is_check, is_inspection, is_conformance))
    if not known and not (isinstance(data, dict) and "machine_info" in data):
        raise RnnbenchError(f"{path} is something else: {_GIVE}")
    return data


def _this_machine() -> tuple[object, ...]:
    from rnnbench.benchmarking.machine import describe_machine

    here = describe_machine()
    return tuple(here.get(name) for name in ("cpu", "cores", "gpu"))

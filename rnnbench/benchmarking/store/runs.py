"""Rows of a store -> results, as a report and a comparison read them: one for each run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnbench.benchmarking.results import Results, read_data
from rnnbench.benchmarking.store.asking import Store, ask
from rnnbench.benchmarking.store.rows import to_results
from rnnbench.core.errors import RnnbenchError

MOST = 2_000
"""Rows that a report shows one by one; of more there are sums alone."""
_NEWEST = """
    select machine, arg_max(run, (created, run)) as run, max(created) as created from chosen
    group by machine order by created, machine
"""


def newest_runs(folder: Path, where: str | None = None) -> list[Results]:
    """The newest run on each machine, of the rows that a condition picks.

    Raises:
        RnnbenchError: there is no such row, there are too many, or the store cannot be read.
    """

    def question(store: Store) -> list[Results]:
        runs = [row["run"] for row in store.rows(_NEWEST)]
        if not runs:
            raise nothing_chosen(folder, where)
        return _results(folder, _rows_of(store, folder, runs))

    return ask(folder, where, question)


def too_many(folder: Path, where: str | None = None) -> bool:
    """Whether the newest runs have more rows than a report shows one by one."""
    sql = f"select count(*) from chosen where run in (select run from ({_NEWEST}))"
    return ask(folder, where, lambda store: store.number(sql)) > MOST


def machines_of(folder: Path, commit: str | None = None, where: str | None = None) -> list[str]:
    """The machines that have measured something, at a commit or at all; the last one first.

    Raises:
        RnnbenchError: there is no such row, or the store cannot be read.
    """

    def question(store: Store) -> list[str]:
        at, values = _at(store, folder, commit, where)
        last = "max(created) desc, machine"
        sql = f"select machine from chosen where {at} group by machine order by {last}"
        return [row["machine"] for row in store.rows(sql, values)]

    return ask(folder, where, question)


def results_of_commit(
    folder: Path, commit: str | None, where: str | None = None, machine: str | None = None
) -> Results:
    """What one machine measured: at a commit, or in its newest run.

    Of a row that was measured again at that commit, the newest counts; each is of one run.

    Args:
        folder: of the store.
        commit: the beginning of its id; None for the newest run.
        where: a condition on the rows.
        machine: its name; the one that was measured last where it is None.

    Raises:
        RnnbenchError: there is no such row, or the store cannot be read.
    """
    on = machine or machines_of(folder, commit, where)[0]

    def question(store: Store) -> Results:
        at, values = _at(store, folder, commit, where)
        sql = f"select run from chosen where {at} and machine = ? group by run order by "
        found = store.rows(f"{sql} max(created), run", [*values, on])
        runs = [row["run"] for row in found]
        rows = _rows_of(store, folder, runs if commit is not None else runs[-1:])
        last = {(row["kind"], row["name"]): row for row in rows}
        name = folder if commit is None else Path(f"{folder} at {commit}")
        return read_data(name, to_results(list(last.values())))

    return ask(folder, where, question)


def _at(store: Store, folder: Path, commit: str | None, where: str | None) -> tuple[str, list[str]]:
    """The condition for a commit, with its values.

    Raises:
        RnnbenchError: nothing is of it, or several begin so.
    """
    at, values = ("true", []) if commit is None else ("starts_with(commit, ?)", [commit])
    found = store.rows(f"select distinct commit from chosen where {at}", values)
    if not found:
        raise _no_commit(store, folder, commit, where)
    if commit is not None and len(found) > 1:
        raise RnnbenchError(f"--commit {commit}: {len(found)} commits begin so: give more of it")
    return at, values


def nothing_chosen(folder: Path, where: str | None) -> RnnbenchError:
    """The error for a condition that no row meets."""
    condition = f" with {where}" if where is not None else ""
    return RnnbenchError(f"there is nothing in {folder}{condition}: give another condition")


def _rows_of(store: Store, folder: Path, runs: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of some runs, with their samples, the oldest first.

    Raises:
        RnnbenchError: there are too many.
    """
    marks = ", ".join("?" * len(runs))
    found = store.rows(
        f"select * from chosen where run in ({marks}) order by created, kind, name limit ?",
        [*runs, MOST + 1],
    )
    if len(found) > MOST:
        raise RnnbenchError(
            f"{folder} has more than {MOST} rows in its newest runs: choose some with --where, or "
            "sum them up with --by machine"
        )
    return found


def _results(folder: Path, rows: Sequence[dict[str, Any]]) -> list[Results]:
    """One for each run, in the order in which they began."""
    by_run: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_run.setdefault(row["run"], []).append(row)
    return [read_data(folder / run[:8], to_results(of_run)) for run, of_run in by_run.items()]


def _no_commit(store: Store, folder: Path, commit: str | None, where: str | None) -> RnnbenchError:
    if commit is None:
        return nothing_chosen(folder, where)
    sql = "select commit, max(created) as last from chosen where commit is not null group by all"
    known = [row["commit"][:8] for row in store.rows(f"{sql} order by last desc, commit limit 8")]
    return RnnbenchError(
        f"--commit {commit}: nothing of it in {folder}: choose from {', '.join(known) or 'none'}"
    )

"""What a store holds, summed up by DuckDB: machines side by side, what is fastest, history.

Times of different runs stand beside one another, each as it was measured; a ratio is formed of two
of one run alone, which is of one node. Raw samples are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rnnbench.benchmarking.store.asking import Store, ask
from rnnbench.benchmarking.store.runs import nothing_chosen
from rnnbench.runtimes.training import TRAINING

Row = dict[str, Any]

COMMITS = 8
"""The newest commits, which a history has."""
SIZES = ("model", "device", "threads", "layers", "hidden", "batch", "time")
"""What has to be the same before two latencies stand beside one another."""
WAY = ("form", "runtime", "mode")
_OTHER = ("what", "versus_form", "versus_runtime", "versus_mode", "precision", "versus_precision")
BY = {"machine": ("best", "side_by_side"), "commit": ("history", "ratio_history")}
"""What a report is by -> its views."""
_ORDER = "model, device, threads, layers nulls first, hidden nulls first, batch, time"


@dataclass(frozen=True)
class Rows:
    """Some rows of a view, and how many there are.

    Attributes:
        rows: by the names of their columns.
        total: of the view.
    """

    rows: tuple[Row, ...] = ()
    total: int = 0

    @property
    def more(self) -> int:
        """How many are left out."""
        return self.total - len(self.rows)


@dataclass(frozen=True)
class Sums:
    """What is said of the rows that were chosen.

    Attributes:
        folder: of the store.
        where: the condition; None for all rows.
        records: how many there are.
        runs: of how many runs.
        commits: the newest, the oldest of these first: `commit`, `began`, `dirty`.
        machines: `machine`, `nodes`, `runs`, `records`, `last`, `versions`.
        best: for each size on each machine: `SIZES`, `machine`, `WAY`, `p50_s`, `stable`, `run`,
            `commit`, `next` (`WAY`, `p50_s`; None where there is one alone), and `times`, how many
            times as long that takes; None where the two are of different runs.
        side_by_side: for each size and way: `SIZES`, `WAY`, `by_machine` -> p50 in seconds; what
            most machines have measured first.
        history: of the latency of each size and way on each machine: `machine`, `SIZES`, `WAY`,
            `kind`, and `points`: `commit`, `created`, `run`, `value`; those of many commits first.
        ratio_history: the same of ratios, with `what`, the other's `versus_form`, `versus_runtime`,
            `versus_mode`, both precisions, and the bounds `low` and `high` of a point.
    """

    folder: Path
    where: str | None
    records: int
    runs: int
    commits: tuple[Row, ...]
    machines: tuple[Row, ...]
    best: Rows = Rows()
    side_by_side: Rows = Rows()
    history: Rows = Rows()
    ratio_history: Rows = Rows()


def sum_up(
    folder: Path,
    where: str | None = None,
    *,
    views: Sequence[str] = ("best", "side_by_side", "history", "ratio_history"),
    most: int | None = None,
) -> Sums:
    """Sums up the rows that a condition picks.

    Args:
        folder: of the store.
        where: an SQL condition; None for all rows.
        views: those that are wanted, some of `BY`.
        most: rows of each view; all of them where it is None.

    Raises:
        RnnbenchError: there is no such row, or the store cannot be read.
    """

    def question(store: Store) -> Sums:
        counted = store.rows("select count(*) as n, count(distinct run) as runs from chosen")[0]
        if not counted["n"]:
            raise nothing_chosen(folder, where)
        commits = store.rows(_COMMITS, [COMMITS])
        sums = Sums(
            *(folder, where, counted["n"], counted["runs"]),
            commits=tuple(commits),
            machines=tuple(_machine(row) for row in store.rows(_MACHINES)),
        )
        found: dict[str, Any] = {view: _some(store, view, commits, most) for view in views}
        return replace(sums, **found)

    return ask(folder, where, question)


def _some(store: Store, view: str, commits: Sequence[Row], most: int | None) -> Rows:
    """The first rows of a view, each with the number of all of them."""
    limit = "" if most is None else f" limit {most}"
    values = [[row["commit"] or "" for row in commits]] if view in BY["commit"] else []
    found = store.rows(_VIEWS[view].format(limit=limit), values)
    total = found[0]["total"] if found else 0
    return Rows(tuple({k: v for k, v in row.items() if k != "total"} for row in found), total)


def _machine(row: Row) -> Row:
    versions = row["versions"] or {}
    return row | {"versions": dict(versions), "last": _date(row["last"])}


def _date(when: datetime) -> str:
    return when.isoformat(timespec="seconds")


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)


_MACHINES = """
    select machine, list(distinct node order by node) filter (node is not null) as nodes,
        count(distinct run) as runs, count(*) as records, max(created) as last,
        arg_max(versions, created) as versions
    from chosen group by machine order by machine
"""
_COMMITS = """
    select * from (
        select commit, min(coalesce(commit_time, created)) as began, bool_or(dirty) as dirty
        from chosen group by commit order by began desc, commit desc limit ?
    ) order by began, commit
"""
_NEWEST = f"""
    select machine, {_names(SIZES)}, {_names(WAY)},
        arg_max(
            struct_pack(p50 := p50, run := run, commit := commit, stable := stable), created
        ) as last
    from chosen where kind = 'latency' group by all
"""
_BEST = f"""
    with ranked as (
        select *, row_number() over alike as place, lead(struct_pack(
            form := form, runtime := runtime, mode := mode, p50_s := last.p50, run := last.run
        )) over alike as behind
        from ({_NEWEST}) where mode <> '{TRAINING}'
        window alike as (
            partition by machine, {_names(SIZES)} order by last.p50, {_names(WAY)}
        )
    )
    select {_names(SIZES)}, machine, {_names(WAY)}, last.p50 as p50_s, last.stable as stable,
        last.run as run, last.commit as commit, behind as next,
        case when behind.run = last.run then behind.p50_s / last.p50 end as times,
        count(*) over () as total
    from ranked where place = 1 order by {_ORDER}, machine{{limit}}
"""
_SIDE_BY_SIDE = f"""
    select {_names(SIZES)}, {_names(WAY)},
        map(list(machine order by machine), list(last.p50 order by machine)) as by_machine,
        count(*) over () as total
    from ({_NEWEST}) group by {_names(SIZES)}, {_names(WAY)}
    order by cardinality(by_machine) desc, {_ORDER}, {_names(WAY)}{{limit}}
"""


def _history(kind: str, names: Sequence[str], value: str) -> str:
    """Of one kind, by commit; which rows are shown is known before their values are looked for.

    Args:
        kind: `latency` or `ratio`.
        names: what tells two rows apart, beside the machine.
        value: the fields of a point, beside when and in which run.
    """
    key = ("machine", *names)
    order = f"{_ORDER}, {_names(names)}, machine"
    same = " and ".join(f"kept.{name} is not distinct from first.{name}" for name in key)
    return f"""
    with kept as (
        select * from chosen where kind = '{kind}' and list_contains(?, coalesce(commit, ''))
    ), first as (
        select {_names(key)}, count(distinct coalesce(commit, '')) as many,
            count(*) over () as total
        from kept group by {_names(key)} order by many desc, {order}{{limit}}
    ), newest as (
        select first.*, kept.commit as commit, arg_max(
            struct_pack(created := kept.created, run := kept.run, {value}), kept.created
        ) as last, min(coalesce(kept.commit_time, kept.created)) as began
        from kept join first on {same} group by all
    )
    select machine, '{kind}' as kind, {_names(names)}, list(
        struct_concat(struct_pack(commit := commit), last) order by began, commit
    ) as points, total
    from newest group by machine, {_names(names)}, many, total order by many desc, {order}
"""


_VIEWS = {
    "best": _BEST,
    "side_by_side": _SIDE_BY_SIDE,
    "history": _history("latency", (*SIZES, *WAY), "value := kept.p50"),
    "ratio_history": _history(
        "ratio", (*SIZES, *WAY, *_OTHER), "value := kept.ratio, low := kept.low, high := kept.high"
    ),
}

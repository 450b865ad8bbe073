"""What a store sums up, as tables: machines side by side, what is fastest on each, history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnbench.benchmarking.plan import Implementation, runtime_name
from rnnbench.benchmarking.precisions import PLAIN
from rnnbench.benchmarking.precisions import WHAT as PRECISIONS
from rnnbench.benchmarking.report import units
from rnnbench.benchmarking.report.names import implementation_name
from rnnbench.benchmarking.report.table import Table, make_table
from rnnbench.benchmarking.store.views import BY, SIZES, Row, Sums, sum_up
from rnnbench.core.documents import document
from rnnbench.core.shown import Part, Shown
from rnnbench.core.shown import Table as ShownTable

ROWS, MOST = 40, 2_000
"""Rows of a table, and of a list in JSON: SQL has them all."""
_SHORT = 7  # letters of a commit
_LEAST = ("nodes", "runs", "records", "onnxruntime", "torch", "next", "note")


@dataclass(frozen=True, repr=False)
class StoreReport(Shown):
    """What a store sums up.

    Attributes:
        sums: over the rows that were chosen.
        by: `machine`, `commit`; both where it is None.
    """

    sums: Sums
    by: str | None = None

    def parts(self) -> Iterable[Part]:
        """What there is, and the tables that were asked for."""
        yield headline(self.sums)
        for table, more in store_tables(self.sums):
            yield from ("", table.title, ShownTable(table.headers, table.rows, _LEAST))
            if more:
                yield f"{more:,} more rows: choose some with --where"

    def to_markdown(self) -> str:
        """The same for a pull request."""
        return f"### rnnbench report\n\n{super().to_markdown()}"

    def to_json(self) -> dict[str, Any]:
        """What `report --by --json` prints."""
        found: dict[str, Any] = document("report-store", to_json(self.sums))
        return found


def make_store_report(
    folder: Path, *, by: str | None = None, where: str | None = None, whole: bool = False
) -> StoreReport:
    """Sums up a store.

    Args:
        folder: of the store.
        by: `machine` or `commit`; both where it is None.
        where: an SQL condition on its columns.
        whole: as many rows as JSON has, in place of the first.

    Raises:
        RnnbenchError: there is no store, no such row, or the condition is none.
    """
    views = BY if by is None else {by: BY[by]}
    chosen = tuple(view for some in views.values() for view in some)
    return StoreReport(sum_up(folder, where, views=chosen, most=MOST if whole else ROWS), by)


def headline(sums: Sums) -> str:
    """`results: 1,207 records of 4 runs on 2 machines`."""
    counts = {"record": sums.records, "run": sums.runs, "machine": len(sums.machines)}
    said = [f"{count:,} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items()]
    where = f" with {sums.where}" if sums.where is not None else ""
    return f"{sums.folder}: {said[0]} of {said[1]} on {said[2]}{where}"


def store_tables(sums: Sums) -> Iterator[tuple[Table, int]]:
    """Every table that has rows, with the number of rows that it leaves out."""
    yield _machines(sums.machines), 0
    for view, table in (
        (sums.best, _best),
        (sums.side_by_side, _side_by_side),
        (sums.history, _history),
        (sums.ratio_history, _ratio_history),
    ):
        if view.rows:
            yield table(sums, view.rows), view.more


def _machines(machines: Sequence[Row]) -> Table:
    columns: dict[str, Iterable[str]] = {
        "machine": [m["machine"] for m in machines],
        "nodes": [str(len(m["nodes"])) for m in machines],
        "runs": [f"{m['runs']:,}" for m in machines],
        "records": [f"{m['records']:,}" for m in machines],
        "last": [m["last"][:10] for m in machines],
        "torch": [m["versions"].get("torch", "") for m in machines],
        "onnxruntime": [m["versions"].get("onnxruntime", "") for m in machines],
    }
    return make_table("Machines, with the versions of the newest run", columns)


def _best(sums: Sums, rows: Sequence[Row]) -> Table:
    nexts = [row["next"] for row in rows]
    columns: dict[str, Iterable[str]] = {
        **_sizes(rows),
        "machine": _machine_names(sums, rows),
        "fastest": [_way(row) for row in rows],
        "p50 (us)": [units.us(row["p50_s"]) for row in rows],
        "next": ["" if other is None else _way(other) for other in nexts],
        "its p50 (us)": ["" if other is None else units.us(other["p50_s"]) for other in nexts],
        "next/fastest": ["" if row["times"] is None else f"{row['times']:.2f}" for row in rows],
        "note": ["" if row["stable"] else "unstable" for row in rows],
    }
    return make_table("What is fastest on each machine", columns)


def _side_by_side(sums: Sums, rows: Sequence[Row]) -> Table:
    columns: dict[str, Iterable[str]] = {**_sizes(rows), "what": [_way(row) for row in rows]}
    for machine in sums.machines:
        name = machine["machine"]
        columns[name] = [units.us(row["by_machine"].get(name)) for row in rows]
    return make_table("Machines side by side, p50 of a call (us)", columns)


def _history(sums: Sums, rows: Sequence[Row]) -> Table:
    title = "History: p50 of a call (us) at each commit"
    return _by_commit(title, sums, rows, lambda point: units.us(point["value"]))


def _ratio_history(sums: Sums, rows: Sequence[Row]) -> Table:
    title = "History: measured in turns, time of this / time of the other, at each commit"
    return _by_commit(
        title, sums, rows, lambda at: units.interval(at["value"], at["low"], at["high"])
    )


def _by_commit(title: str, sums: Sums, rows: Sequence[Row], shown: Callable[[Row], str]) -> Table:
    columns: dict[str, Iterable[str]] = {
        **_sizes(rows),
        "machine": _machine_names(sums, rows),
        "what": [_compared(row) for row in rows],
    }
    points = [{point["commit"]: point for point in row["points"]} for row in rows]
    for commit in sums.commits:
        key = commit["commit"]
        columns[_commit(commit)] = [shown(at[key]) if key in at else "" for at in points]
    return make_table(title, columns)


def _commit(commit: Row) -> str:
    """`4f8ef5e 11-25`, with a `+` where files were changed since."""
    name = (commit["commit"] or "no commit")[: _SHORT if commit["commit"] else None]
    return f"{name}{'+' if commit['dirty'] else ''}\n{commit['began']:%m-%d}"


def _machine_names(sums: Sums, rows: Sequence[Row]) -> list[str]:
    """Empty where there is one alone, which is in the table of machines."""
    several = len(sums.machines) > 1
    return [row["machine"] if several else "" for row in rows]


def _sizes(rows: Sequence[Row]) -> dict[str, list[str]]:
    named = {name: "time (steps)" if name == "time" else name for name in SIZES}
    return {
        named[name]: ["" if row[name] is None else str(row[name]) for row in rows]
        for name in ("model", "device", "batch", "time", "hidden", "layers", "threads")
    }


def _way(row: Row) -> str:
    return implementation_name(Implementation(row["form"], row["runtime"], row["mode"]))


def _compared(row: Row) -> str:
    """What a row is of; of a ratio both."""
    if row["kind"] != "ratio":
        return _way(row)
    other = {name: row[f"versus_{name}"] for name in ("form", "runtime", "mode")}
    if row["what"] == PRECISIONS:
        where = runtime_name(row["runtime"], row["mode"])
        return f"{row['precision']} / {row['versus_precision'] or PLAIN} in {where}"
    same = (row["runtime"], row["mode"]) == (other["runtime"], other["mode"])
    if same and row["form"] != other["form"]:
        where = runtime_name(row["runtime"], row["mode"])
        return f"{row['form']} / {other['form']} in {where}"
    return f"{_way(row)} / {_way(other)}"


def to_json(sums: Sums) -> dict[str, Any]:
    """Everything, as JSON values: times in seconds, dates in UTC."""
    return {
        "store": str(sums.folder),
        "where": sums.where,
        "records": sums.records,
        "runs": sums.runs,
        "machines": [_plain(row) for row in sums.machines],
        "commits": [_plain(row) for row in sums.commits],
        "best": [_plain(row) for row in sums.best.rows],
        "side_by_side": [_plain(row) for row in sums.side_by_side.rows],
        "history": [_plain(row) for row in sums.history.rows],
        "ratio_history": [_plain(row) for row in sums.ratio_history.rows],
        "totals": {view: getattr(sums, view).total for views in BY.values() for view in views},
    }


def _plain(value: Any) -> Any:
    """Times as text."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value.isoformat() if hasattr(value, "isoformat") else value

"""Tables of what `inspect` and `conform` found: recurrences, hazards, the matrix of engines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rnnbench.benchmarking.report import units
from rnnbench.benchmarking.report.documents import Conformed, Hazard, Inspected
from rnnbench.benchmarking.report.material import Material
from rnnbench.benchmarking.report.table import Table, make_table
from rnnbench.core.verdicts import Verdict

SHOWN: dict[str, str] = {Verdict.SAME: "right", Verdict.DIFFERS: "WRONG"}
"""As `conform` says it in its matrix."""
_NONE = Hazard("none found", "", "", "", "")
_NAMED = 4  # models in a row of what is not right
_NUMBERS = re.compile(r"[\d.]+(e-?\d+)?")
_GRAVE = (Verdict.DIFFERS, Verdict.FAILED, Verdict.DIED, Verdict.REFUSED, Verdict.NOT_RUN)


def file_tables(material: Material) -> Iterator[Table]:
    """Those that have rows."""
    files, rows = material.inspected, material.conformed
    for table in (_hazards(files), _recurrences(files), _engines(rows), _not_right(rows)):
        if table.rows:
            yield table


def _hazards(files: Sequence[Inspected]) -> Table:
    found = [(file, hazard) for file in files for hazard in file.hazards or (_NONE,)]
    columns: dict[str, Iterable[str]] = {
        "file": [file.path for file, _ in found],
        "severity": [hazard.severity for _, hazard in found],
        "hazard": [hazard.name for _, hazard in found],
        "where": [hazard.where for _, hazard in found],
        "what": [hazard.what for _, hazard in found],
        "remedy": [hazard.remedy for _, hazard in found],
    }
    return make_table("Hazards of the files", columns, "severity", ("file",))


def _recurrences(files: Sequence[Inspected]) -> Table:
    found = [(file, one) for file in files for one in file.recurrences]
    columns: dict[str, Iterable[str]] = {
        "file": [file.path for file, _ in found],
        "recurrence": [one.where for _, one in found],
        "form": [one.form for _, one in found],
        "kind": [one.kind for _, one in found],
        "input size": [one.input_size for _, one in found],
        "hidden size": [one.hidden_size for _, one in found],
        "layers": [one.num_layers for _, one in found],
        "direction": [one.direction for _, one in found],
    }
    return make_table("Recurrences in the files", columns, "form", ("file",))


def _engines(rows: Sequence[Conformed]) -> Table:
    """Of one model, what each engine said; of several, a column for each."""
    models = list(dict.fromkeys(row.model for row in rows))
    if len(models) > 1:
        return _matrix(rows, models)
    columns: dict[str, Iterable[str]] = {
        "engine": [row.target for row in rows],
        "profile": [row.profile for row in rows],
        "verdict": [SHOWN.get(row.verdict, row.verdict) for row in rows],
        "worst error": [_error(row.worst_error) for row in rows],
        "allowed": [_error(row.allowed) for row in rows],
        "a call (us)": [units.us(row.step_s) for row in rows],
        "versions": [", ".join(" ".join(pair) for pair in row.versions) for row in rows],
    }
    title = f"Which engine runs {models[0]} right, in which form" if models else ""
    return make_table(title, columns, "verdict", ("engine", "profile"))


def _matrix(rows: Sequence[Conformed], models: Sequence[str]) -> Table:
    cells = {(r.target, r.profile, r.model): SHOWN.get(r.verdict, r.verdict) for r in rows}
    ran = [row for row in rows if row.verdict != Verdict.NOT_RUN]
    engines = list(dict.fromkeys((row.target, row.profile) for row in ran))
    body = tuple((*e, *(cells.get((*e, model), "") for model in models)) for e in engines)
    heads = ("engine", "profile", *models)
    title = "Which engine runs which model right, in which form"
    return Table(title, heads, body, names=("engine", "profile"), is_matrix=True)


def _not_right(rows: Sequence[Conformed]) -> Table:
    """What is not right, the gravest first; models of which the same is said in one row."""
    groups: dict[tuple[str, ...], list[Conformed]] = {}
    for row in rows:
        if row.verdict != Verdict.SAME:
            alike = "" if row.verdict == Verdict.DIFFERS else _NUMBERS.sub("N", row.reason)
            groups.setdefault((row.target, row.profile, row.verdict, alike), []).append(row)
    found = sorted(groups.values(), key=lambda group: _gravity(group[0]))
    columns: dict[str, Iterable[str]] = {
        "engine": [group[0].target for group in found],
        "profile": [group[0].profile for group in found],
        "verdict": [SHOWN.get(group[0].verdict, group[0].verdict) for group in found],
        "models": [_models(group) for group in found],
        "reason": [group[0].reason for group in found],
    }
    return make_table(
        "Engines: what is not right, and why", columns, "verdict", ("engine", "profile")
    )


def _gravity(row: Conformed) -> int:
    return next((n for n, verdict in enumerate(_GRAVE) if row.verdict == verdict), len(_GRAVE))


def _models(group: Sequence[Conformed]) -> str:
    names = [row.model for row in group]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return "; ".join(names[:_NAMED]) + more


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"

"""A CheckReport as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnbench.commands._console import narrow_table, reasons

if TYPE_CHECKING:
    from rnnbench.checking.report import CheckReport


def format_report(report: CheckReport) -> str:
    """The report as a table, then the reasons, and the cases that could not be compared."""
    headers = ["model", "format", "runtime", "output", "cases", "max abs", "max rel"]
    headers += ["tolerance needed", "noise floor", "worst case", "first step off"]
    headers += ["same argmax", "verdict"]
    models = {row.model for row in report.rows}
    table = [
        [
            "" if len(models) == 1 else row.model,
            *(row.format, row.runtime + (" (pinned)" if row.pinned else "")),
            *(row.output, str(row.cases)),
            *map(
                _number,
                (row.worst_error, row.relative_error, row.tolerance_needed, row.noise_floor),
            ),
            row.worst_case,
            "" if row.first_step is None else str(row.first_step),
            "" if row.same_argmax is None else f"{100 * row.same_argmax:.5g} %",
            row.verdict,
        ]
        for row in report.rows
    ]
    title = [f"model {models.pop()}"] if len(models) == 1 else []
    notes = reasons(report.rows, fitting=0)
    notes += [f"not compared at {case}: {why}" for case, why in report.skipped.items()]
    return "\n".join([*title, narrow_table(headers, table), *notes, *report.notes])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"

"""Comparison -> text, Markdown for a pull request, JSON values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from statistics import geometric_mean
from typing import Any

from rnnbench.benchmarking.report import units
from rnnbench.benchmarking.report.comparison import Change, Comparison
from rnnbench.benchmarking.report.names import (
    implementation_name,
    implementation_of,
    ratio_name,
)
from rnnbench.benchmarking.report.table import Table, format_report_table, make_table
from rnnbench.benchmarking.report.tables import sizes
from rnnbench.benchmarking.results import Ratio
from rnnbench.core.markdown import code
from rnnbench.core.tables import Style
from rnnbench.core.text import harmless, in_html, in_markdown

NAMED = 8
"""Rows that appeared or vanished are named up to so many; JSON has them all."""


def format_comparison(comparison: Comparison, threshold: float, style: Style = "text") -> str:
    """The summary, the rows that changed, and what appeared or vanished."""
    markdown = style == "markdown"
    lines = [
        f"### {summary(comparison, threshold)}" if markdown else summary(comparison, threshold)
    ]
    lines += ([""] if markdown else []) + _mean_lines(comparison)
    shown_as = in_markdown if markdown else harmless
    mark = "* **doubt:** " if markdown else "doubt: "
    lines += [mark + shown_as(line) for line in comparison.doubts]
    if markdown and comparison.doubts:
        lines.insert(-len(comparison.doubts), "")
    changed = sorted(
        (c for c in comparison.changes if c.verdict != "cannot tell"),
        key=lambda c: -c.interval.ratio,
    )
    same = [c for c in comparison.changes if c.verdict == "cannot tell"]
    if changed:
        lines += ["", *_block(change_table("Changed", changed, threshold), style)]
    if same:
        table = change_table("Cannot be told from no change", same, threshold)
        lines += ["", *(_folded(table) if markdown else _block(table, style))]
    for title, names in (("Appeared", comparison.appeared), ("Vanished", comparison.vanished)):
        if names:
            shown = [code(name) if markdown else harmless(name) for name in names[:NAMED]]
            shown += [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
            lines += ["", f"{title}: {', '.join(shown)}"]
    return "\n".join(lines)


def summary(comparison: Comparison, threshold: float) -> str:
    """`2 of 36 rows are slower by more than 5.0 %; ...`."""
    regressions = len(comparison.regressions(threshold))
    total = len(comparison.changes)
    counts = Counter(change.verdict for change in comparison.changes)
    told = [f"{n} {word}" for word, n in sorted(counts.items()) if word != "cannot tell"]
    told.append(f"{counts['cannot tell']} that cannot be told from no change")
    parts = [
        f"{regressions or 'none'} of {total} rows regressed by more than "
        f"{units.percent(threshold)}",
        ", ".join(told),
    ]
    if comparison.appeared or comparison.vanished:
        parts.append(f"{len(comparison.appeared)} appeared, {len(comparison.vanished)} vanished")
    return "; ".join(parts)


def mean_change(comparison: Comparison) -> tuple[float, int] | None:
    """The geometric mean of new/old over the latencies, and their number; None without any."""
    found = [c.interval.ratio for c in comparison.changes if not isinstance(c.row, Ratio)]
    return (geometric_mean(found), len(found)) if found else None


def _mean_lines(comparison: Comparison) -> list[str]:
    mean = mean_change(comparison)
    if mean is None:
        return []
    ratio, count = mean
    return [f"geometric mean of new/old: {ratio:.3f} ({count} latencies; below 1 is faster)"]


def change_table(title: str, changes: Sequence[Change], threshold: float) -> Table:
    """A row for each change."""
    columns: dict[str, Iterable[str]] = {
        "what": [_what(c) for c in changes],
        **sizes([c.row for c in changes]),
        "old": [_value(c, c.before) for c in changes],
        "new": [_value(c, c.after) for c in changes],
        "new/old (95 % interval)": [
            units.interval(c.interval.ratio, c.interval.low, c.interval.high) for c in changes
        ],
        "verdict": [
            f"{c.verdict}: REGRESSION" if c.regressed(threshold) else c.verdict for c in changes
        ],
        "note": [c.note for c in changes],
    }
    return make_table(title, columns)


def to_json(comparison: Comparison, threshold: float) -> dict[str, Any]:
    """The comparison as JSON values."""
    return {
        "old": str(comparison.old),
        "new": str(comparison.new),
        "summary": summary(comparison, threshold),
        "geometric_mean": mean[0] if (mean := mean_change(comparison)) else None,
        "same_machine": comparison.same_machine,
        "regressions": [c.row.name for c in comparison.regressions(threshold)],
        "doubts": list(comparison.doubts),
        "changes": [
            {
                "name": c.row.name,
                "kind": "ratio" if isinstance(c.row, Ratio) else "latency",
                "old": c.before,
                "new": c.after,
                "change": asdict(c.interval),
                "verdict": c.verdict,
                "note": c.note,
            }
            for c in comparison.changes
        ],
        "appeared": list(comparison.appeared),
        "vanished": list(comparison.vanished),
    }


def _what(change: Change) -> str:
    row = change.row
    return (
        ratio_name(row) if isinstance(row, Ratio) else implementation_name(implementation_of(row))
    )


def _value(change: Change, value: float) -> str:
    """A latency has a unit, a ratio has none."""
    return f"{value:.3f}" if isinstance(change.row, Ratio) else units.seconds(value)


def _block(table: Table, style: Style) -> list[str]:
    gap = [""] if style == "markdown" else []
    title = f"#### {in_markdown(table.title)}" if style == "markdown" else harmless(table.title)
    return [title, *gap, format_report_table(table, style)]


def _folded(table: Table) -> list[str]:
    head = f"<details><summary>{in_html(table.title)} ({len(table.rows)} rows)</summary>"
    return [head, "", format_report_table(table, "markdown"), "", "</details>"]

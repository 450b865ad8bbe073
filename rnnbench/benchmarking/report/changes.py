"""Comparison -> text, Markdown for a pull request, JSON values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import geometric_mean
from typing import Any

from rnnbench.benchmarking.report import units
from rnnbench.benchmarking.report.comparison import Change, Comparison, looks_slower
from rnnbench.benchmarking.report.names import (
    implementation_name,
    implementation_of,
    ratio_name,
)
from rnnbench.benchmarking.report.table import Table, format_report_table, make_table
from rnnbench.benchmarking.report.tables import sizes
from rnnbench.benchmarking.results import Ratio
from rnnbench.core.documents import document
from rnnbench.core.markdown import code
from rnnbench.core.shown import Part, Shown
from rnnbench.core.shown import Table as ShownTable
from rnnbench.core.tables import Style
from rnnbench.core.text import harmless, in_html, in_markdown

NAMED = 8
"""Rows that appeared or vanished are named up to so many; JSON has them all."""


@dataclass(frozen=True, repr=False)
class CompareReport(Shown):
    """What `compare` found.

    Attributes:
        comparison: the rows of both results.
        threshold: the part by which a row is slower that regressed.
    """

    comparison: Comparison
    threshold: float

    @property
    def ok(self) -> bool:
        """Whether nothing regressed."""
        return not self.comparison.regressions(self.threshold)

    def parts(self) -> Iterable[Part]:
        """The summary, the rows that changed, and what appeared or vanished."""
        yield summary(self.comparison, self.threshold)
        yield from _mean_lines(self.comparison)
        yield from (f"doubt: {line}" for line in _doubts(self.comparison, self.threshold))
        for title, changes in _grouped(self.comparison):
            table = change_table(title, changes, self.threshold)
            yield from ("", table.title, ShownTable(table.headers, table.rows))
        for title, names in _names(self.comparison):
            yield from ("", f"{title}: {', '.join(names)}")

    def to_markdown(self) -> str:
        """What `compare --markdown` prints."""
        return format_comparison(self.comparison, self.threshold, "markdown")

    def to_json(self) -> dict[str, Any]:
        """What `compare --json` prints."""
        found: dict[str, Any] = document(
            "compare", to_json(self.comparison, self.threshold), ok=self.ok
        )
        return found


def format_comparison(comparison: Comparison, threshold: float, style: Style = "text") -> str:
    """The summary, the rows that changed, and what appeared or vanished."""
    markdown = style == "markdown"
    lines = [
        f"### {summary(comparison, threshold)}" if markdown else summary(comparison, threshold)
    ]
    lines += ([""] if markdown else []) + _mean_lines(comparison)
    shown_as = in_markdown if markdown else harmless
    mark = "* **doubt:** " if markdown else "doubt: "
    doubts = _doubts(comparison, threshold)
    lines += [mark + shown_as(line) for line in doubts]
    if markdown and doubts:
        lines.insert(-len(doubts), "")
    for title, changes in _grouped(comparison):
        table = change_table(title, changes, threshold)
        folded = markdown and title == _SAME
        lines += ["", *(_folded(table) if folded else _block(table, style))]
    for title, names in _names(comparison, code if markdown else harmless):
        lines += ["", f"{title}: {', '.join(names)}"]
    return "\n".join(lines)


def _doubts(comparison: Comparison, threshold: float) -> list[str]:
    """What a reader should know first: what may have regressed, then what may be the machine's."""
    return [line for line in (looks_slower(comparison, threshold), *comparison.doubts) if line]


_SAME = "Cannot be told from no change"


def _grouped(comparison: Comparison) -> Iterator[tuple[str, list[Change]]]:
    """The rows that changed, the largest first, and the others."""
    changed = [c for c in comparison.changes if c.verdict != "cannot tell"]
    same = [c for c in comparison.changes if c.verdict == "cannot tell"]
    if changed:
        yield "Changed", sorted(changed, key=lambda c: -c.interval.ratio)
    if same:
        yield _SAME, same


def _names(
    comparison: Comparison, shown_as: Callable[[str], str] = str
) -> Iterator[tuple[str, list[str]]]:
    """What appeared and what vanished, by name."""
    for title, names in (("Appeared", comparison.appeared), ("Vanished", comparison.vanished)):
        if names:
            more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
            yield title, [*map(shown_as, names[:NAMED]), *more]


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
        "doubts": _doubts(comparison, threshold),
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

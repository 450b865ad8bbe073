"""What a check found: a row for each output of each artifact in each runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rnnbench.checking.verdicts import ALONE, STREAMED, CaseResult
from rnnbench.core.documents import document, plain
from rnnbench.core.errors import one_line
from rnnbench.core.shown import Part, Shown, Table
from rnnbench.core.verdicts import Row, Verdict

WEIGHTS = "(weights)"
"""Stands for an output, and for a case, in the rows and results about weights."""

VALUES = "(values)"
"""The same of the values that a file rounds to whole numbers."""

SHORT = 30
"""Characters of a reason that fits into a table."""
_FEW = 3  # cases that a line names
_WAYS = (STREAMED, ALONE, f"{STREAMED} and {ALONE}")


@dataclass(frozen=True)
class OutputRow(Row):
    """One output of one artifact in one runtime, over all cases.

    Attributes:
        format: of the artifact; `eager` is the module itself, `twin` its other form.
        runtime: what ran it, with its mode and device: `onnxruntime:basic`.
        output: its name; `*` where no output came into being, WEIGHTS of a row about them.
        noise_floor: the largest error that the module itself has in its own precision. This and
            the other numbers are those of what is wrong; else of the cases whose inputs and states
            are not enlarged, where there are any.
        tolerance_needed: the smallest rtol = atol with which `np.allclose` agrees everywhere.
        worst_case: where `worst_error` is, or where the reason was seen first; of weights, how many
            were found in which way.
        relative_error: the largest difference as a share of the reference.
        first_step: the first time step that is off, where one is.
        same_argmax: the share of equal argmax along the last axis, where it may hold scores.
        pinned: the runtime got a file for each shape, with that shape fixed.
    """

    format: str
    runtime: str
    output: str = "*"
    noise_floor: float | None = None
    tolerance_needed: float | None = None
    worst_case: str = ""
    relative_error: float | None = None
    first_step: int | None = None
    same_argmax: float | None = None
    pinned: bool = False

    @property
    def is_about_weights(self) -> bool:
        """Whether it says what became of the module's weights, not of an output."""
        return self.output == WEIGHTS


@dataclass(frozen=True, repr=False)
class CheckReport(Shown):
    """What `check` found.

    Attributes:
        rows: one for each output of each artifact in each runtime.
        ok: something was compared, and nothing differs or failed.
        skipped: case -> why the module itself cannot run it.
        results: one for each case of each artifact in each runtime.
        notes: what else is to be known, a line each.
    """

    rows: tuple[OutputRow, ...]
    ok: bool
    skipped: dict[str, str]
    results: tuple[CaseResult, ...] = ()
    notes: tuple[str, ...] = ()

    def parts(self) -> Iterable[Part]:
        """The table of verdicts, what is wrong, and what was not compared."""
        rows = summarise(self.rows)
        return (verdict_table(rows), *reasons(rows), *self.not_compared(), *self.notes)

    def to_markdown(self) -> str:
        """A summary for a pull request: how many are the same, and the table."""
        rows = summarise(self.rows)
        same = sum(row.verdict == Verdict.SAME for row in rows)
        wrong = [row for row in rows if row.verdict.is_wrong]
        said = f"{same} of {len(rows)} the same as the module in float64"
        said += f", {len(wrong)} not" if wrong else ""
        return f"### rnnbench check: {said}\n\n{super().to_markdown()}"

    def not_compared(self) -> list[str]:
        """A line for each reason why cases were skipped."""
        reasons: dict[str, list[str]] = {}
        for case, why in self.skipped.items():
            reasons.setdefault(why, []).append(case)
        return [
            f"not compared at {', '.join(cases[:_FEW])}"
            + (f" and {len(cases) - _FEW} more" if len(cases) > _FEW else "")
            + f": {why}"
            for why, cases in reasons.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values; an infinite error is the string "inf"."""
        return document("check", plain(self), ok=self.ok)


def verdict_table(rows: Sequence[OutputRow]) -> Table:
    """A row for each, with its reason where that is short."""
    headers = ("model", "format", "runtime", "worst error", "tolerance needed", "verdict")
    numbers = [
        ["" if n is None else f"{n:.1e}" for n in (row.worst_error, row.tolerance_needed)]
        for row in rows
    ]
    return Table(
        headers,
        [
            (row.model, row.format, row.runtime, *cells, _verdict(row))
            for row, cells in zip(rows, numbers, strict=True)
        ],
    )


def reasons(rows: Iterable[OutputRow], fitting: int = SHORT) -> list[str]:
    """A line for each row whose reason is too long for a table."""
    return [
        f"{row.model}: {row.format} in {row.runtime}"
        + (f", {row.output}" if row.output != "*" else "")
        + f": {_with_reason(row)}"
        for row in rows
        if len(row.reason) > fitting
    ]


def _verdict(row: OutputRow) -> str:
    if 0 < len(row.reason) <= SHORT:
        return _with_reason(row)
    way = row.reason.partition(": ")[0]
    return f"{row.verdict} {way}" if way in _WAYS else str(row.verdict)


def _with_reason(row: OutputRow) -> str:
    """`DIFFERS: why`, or `DIFFERS when streamed: why`."""
    way = row.reason.partition(": ")[0] in _WAYS
    return f"{row.verdict}{' ' if way else ': '}{row.reason}"


def merge(reports: Sequence[CheckReport]) -> CheckReport:
    """The reports of several bundles as one; its cases' names get those of the bundles."""
    skipped = {
        f"{report.rows[0].model}/{case}" if report.rows else case: why
        for report in reports
        for case, why in report.skipped.items()
    }
    return CheckReport(
        tuple(row for report in reports for row in report.rows),
        all(report.ok for report in reports),
        skipped,
        tuple(result for report in reports for result in report.results),
        tuple(dict.fromkeys(note for report in reports for note in report.notes)),
    )


def failed(name: str, error: BaseException) -> CheckReport:
    """The report about a model that there is no bundle of."""
    row = OutputRow("-", "-", model=name, verdict=Verdict.FAILED, reason=one_line(error))
    return CheckReport((row,), ok=False, skipped={})


def summarise(rows: Iterable[OutputRow]) -> list[OutputRow]:
    """One row for each model, format and runtime: the worst of its outputs, without limits."""
    groups: dict[tuple[str, str, str], list[OutputRow]] = {}
    for row in rows:
        if row.verdict != Verdict.LIMIT:
            groups.setdefault((row.model, row.format, row.runtime), []).append(row)
    return [_worst(group) for group in groups.values()]


def _worst(group: list[OutputRow]) -> OutputRow:
    gravest = max(group, key=lambda row: row.verdict.severity)
    return replace(
        gravest,
        worst_error=_largest(row.worst_error for row in group),
        tolerance_needed=_largest(row.tolerance_needed for row in group),
    )


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)

"""What a check found: a row for each output of each artifact in each runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rnnbench.checking.verdicts import CaseResult
from rnnbench.core.documents import document, plain
from rnnbench.core.errors import one_line
from rnnbench.core.verdicts import Row, Verdict

WEIGHTS = "(weights)"
"""Stands for an output, and for a case, in the rows and results about weights."""

_FEW = 3  # cases that a line names


@dataclass(frozen=True)
class OutputRow(Row):
    """One output of one artifact in one runtime, over all cases.

    Attributes:
        format: of the artifact; `eager` is the module itself, `twin` its other form.
        runtime: what ran it, with its mode and device: `onnxruntime:basic`.
        output: its name; `*` where no output came into being, WEIGHTS of a row about them.
        noise_floor: the largest error that the module itself has in its own precision.
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


@dataclass(frozen=True)
class CheckReport:
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

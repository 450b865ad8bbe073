"""The results of one job, case by case, as the rows of a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from rnnbench.checking.report import OutputRow
from rnnbench.checking.runner import RunResult
from rnnbench.checking.verdicts import ALONE, NOT_PROVED, STREAMED, CaseResult
from rnnbench.core.bundle import Bundle
from rnnbench.core.verdicts import Verdict
from rnnbench.runtimes import get
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.known_gaps import known_gaps, with_gaps


def output_rows(bundle: Bundle, ran: RunResult, results: Sequence[CaseResult]) -> list[OutputRow]:
    """A row for each output of one job, or one that says why there is none."""
    job = ran.job
    pinned = not job.missing and get(job.runtime).pins(job.mode)
    row = OutputRow(
        _format(bundle, job),
        job.label.removesuffix(":twin"),
        model=bundle.name,
        verdict=Verdict.SAME,
        pinned=pinned,
    )
    if ran.unavailable:
        return [replace(row, verdict=Verdict.NOT_RUN, reason=ran.unavailable)]
    if not ran.outputs:
        first = next(r for r in results if r.verdict == Verdict.FAILED)
        row = replace(row, verdict=first.verdict, reason=first.reason, worst_case=first.case)
        return [_as_shown(bundle, row, job)]
    ordinary = [result for result in results if result.verdict != Verdict.LIMIT]
    limits = [result for result in results if result.verdict == Verdict.LIMIT]
    rows = [
        _as_shown(bundle, _output_row(replace(row, output=output), ordinary), job)
        for output in bundle.outputs
    ]
    return rows + [
        replace(row, verdict=found.verdict, reason=found.reason, worst_case=found.case)
        for found in limits
    ]


def not_exported(bundle: Bundle) -> list[OutputRow]:
    """A row for each format that the bundle was to have, and could not."""
    failed: dict[str, str] = bundle.manifest.get("failed") or {}
    return [
        OutputRow(
            format,
            "-",
            model=bundle.name,
            verdict=Verdict.FAILED,
            reason=f"not exported: {why}",
        )
        for format, why in failed.items()
    ]


def _output_row(row: OutputRow, results: Sequence[CaseResult]) -> OutputRow:
    """The row over all cases in which there is something to say of its output."""
    compared = {r.case: r.outputs[row.output] for r in results if row.output in r.outputs}
    failed = {r.case: r.reason for r in results if row.output not in r.outputs}
    wrong = {case: d for case, d in compared.items() if d.reason}
    if compared:
        usual = {r.case: compared[r.case] for r in results if r.case in compared and not r.enlarged}
        # Errors at inputs of 300 are those of numbers that nobody has.
        numbers = wrong or usual or compared
        worst = max(numbers, key=lambda case: compared[case].excess)
        shares = [d.argmax for d in compared.values() if d.argmax is not None]
        row = replace(
            row,
            cases=len(compared),
            worst_error=max(d.error for d in numbers.values()),
            noise_floor=max(d.noise_floor for d in numbers.values()),
            tolerance_needed=max(d.tolerance for d in numbers.values()),
            relative_error=max(d.relative for d in numbers.values()),
            first_step=compared[worst].first_step,
            same_argmax=min(shares, default=None),
            worst_case=worst,
        )
    if failed:
        name, why = next(iter(failed.items()))
        where = f"{len(failed)} of {len(results)} cases, first {name}"
        return replace(row, worst_case=name, verdict=Verdict.FAILED, reason=f"{where}: {why}")
    if wrong:
        where = f"{len(wrong)} of {len(results)} cases, at {row.worst_case}"
        ways = {r.fed for r in results if r.case in wrong}
        if "" not in ways:  # which are right with everything at once
            where = f"{' and '.join(way for way in (STREAMED, ALONE) if way in ways)}: {where}"
        why = wrong[row.worst_case].reason
        step = "" if row.first_step is None else f", first at step {row.first_step}"
        return replace(row, verdict=Verdict.DIFFERS, reason=f"{where}: {why}{step}")
    lost = {case: d.unproved_from for case, d in compared.items() if d.unproved_from is not None}
    if lost and len(lost) == len(compared) and not any(lost.values()):
        return replace(row, verdict=Verdict.NOT_JUDGED, reason=NOT_PROVED)
    if lost:
        first = min(lost, key=lambda name: lost[name] or math.inf)
        step = f" from step {lost[first]} on" if lost[first] else ""
        said = f"nothing is proved{step} at {first} and {len(lost) - 1} more: {NOT_PROVED}"
        return replace(row, reason=said.replace(" and 0 more", ""))
    return row


def _as_shown(bundle: Bundle, row: OutputRow, job: Job) -> OutputRow:
    """The row of a runtime that is no judge decides nothing, and says what it lacks;
    one that is wrong says what of the file is known to make it so.
    """
    runtime = get(job.runtime)
    if runtime.judge:
        wrong = row.verdict in (Verdict.DIFFERS, Verdict.FAILED)
        return replace(row, reason=with_gaps(row.reason, job.runtime, job.path)) if wrong else row
    said: list[str] = [row.verdict, row.reason]
    if row.verdict != Verdict.FAILED:  # else the reason says it already
        said += known_gaps(job.runtime, job.path)
    return replace(row, verdict=Verdict.SHOWN, reason=": ".join(filter(None, said)))


def _format(bundle: Bundle, job: Job) -> str:
    if job.mode != "twin":
        return job.format
    from rnnbench.models.rebuild import twin_of

    return f"twin ({twin_of(bundle)})"

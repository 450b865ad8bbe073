"""A file that rounds values to whole numbers is the module, but for that rounding.

Its outputs are compared with those of its own graph in float64 (`rnnbench.cases.rounded`), which
says nothing of whose graph it is. So the rounding is taken out of the file, and what is left is
judged as any other file is: by the module in float64, in the same runtime, at the same cases. Of C
the program that it was written of is proved so, as its reference is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rnnbench.cases.cases import Case
from rnnbench.cases.feeding import StreamLayout
from rnnbench.cases.rounded import moved
from rnnbench.checking.report import VALUES, OutputRow
from rnnbench.checking.rows import output_rows
from rnnbench.checking.runner import run_jobs
from rnnbench.checking.verdicts import NO_REFERENCE, CaseResult, Judge
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.temporary import temporary_folder
from rnnbench.core.verdicts import Verdict
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.pool import Isolation

Found = list[tuple[Job, OutputRow, CaseResult]]


def prove_values(
    bundle: Bundle,
    jobs: Sequence[Job],
    work: Mapping[Job, Sequence[Case]],
    layout: StreamLayout,
    isolation: Isolation | None,
    judge: Judge,
) -> Found:
    """A row and a result for each file that rounds values, at the first of its jobs.

    Args:
        bundle: what is judged.
        jobs: those that ran.
        work: the cases of each.
        layout: how they are fed in chunks.
        isolation: the limits of the processes; None: in this one.
        judge: compares with the module.
    """
    first: dict[str, Job] = {}
    for job in jobs:
        artifact = bundle.artifacts.get(job.format)
        if artifact is not None and artifact.rounds and job.device == "cpu":
            first.setdefault(job.format, job)
    found: Found = []
    for job in first.values():
        with temporary_folder() as folder:
            try:
                verdict, reason = _proved(
                    bundle, job, work[job], layout, isolation, judge, Path(folder) / "floats.onnx"
                )
            except RnnbenchError as error:
                verdict, reason = Verdict.NOT_JUDGED, one_line(error)
        row = OutputRow(
            job.format,
            job.label,
            VALUES,
            model=bundle.name,
            verdict=verdict,
            reason=reason,
            cases=len(work[job]),
        )
        result = CaseResult(bundle.name, job.format, job.label, VALUES, 0, verdict, reason)
        found.append((job, row, result))
    return found


def _proved(
    bundle: Bundle,
    job: Job,
    cases: Sequence[Case],
    layout: StreamLayout,
    isolation: Isolation | None,
    judge: Judge,
    path: Path,
) -> tuple[Verdict, str]:
    from rnnbench.inspection.unrounded import save_unrounded

    assert job.path is not None
    if job.path.suffix != ".onnx":
        return _as_written(bundle, cases)
    held = sum(save_unrounded(job.path, path).values())
    said = int(bundle.artifacts[job.format].details["whole"])
    if held != said:
        reason = f"{held:,} weights multiply whole numbers in the file, which says {said:,}"
        return Verdict.DIFFERS, reason
    other = replace(job, path=path)
    (ran,) = run_jobs(bundle, {other: cases}, layout, isolation)
    rows = output_rows(bundle, ran, judge.judge(ran))
    wrong = next((row for row in rows if row.verdict.is_wrong), None)
    if wrong is not None:
        name = f"{wrong.output}: " if wrong.output != "*" else ""
        return wrong.verdict, f"without its rounding it is not the module: {name}{wrong.reason}"
    return Verdict.SAME, f"the module but for its rounding of values{_above(bundle, cases)}"


def _as_written(bundle: Bundle, cases: Sequence[Case]) -> tuple[Verdict, str]:
    """Of C, whose reference is the program that it was written of: proved as each case was made."""
    lacking = [case for case in cases if case.rounded is None and not case.empty]
    if lacking:
        return Verdict.NOT_JUDGED, f"{NO_REFERENCE}, as at {lacking[0].name}"
    above = _above(bundle, cases)
    return Verdict.SAME, f"its program is the module but for its rounding of values{above}"


def _above(bundle: Bundle, cases: Sequence[Case]) -> str:
    far = ", ".join(f"{name} by {db:.1f} dB" for name, db in moved(cases, bundle.outputs).items())
    return f", above which is {far} at least" if far else ""

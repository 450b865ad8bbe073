"""Bundle -> CheckReport: does every artifact compute what the module computes?

The reference is the module in float64; each artifact runs over all cases, at once and in chunks, in
a process of its own. Nothing is printed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rnnbench.cases.cases import layout_of
from rnnbench.cases.tolerance import FACTOR
from rnnbench.checking.case_selection import Sweep, gather
from rnnbench.checking.runner import (
    Isolation,
    Ran,
    Task,
    cases_for,
    find_tasks,
    live_module,
    run_tasks,
)
from rnnbench.checking.verdicts import Judge, Result
from rnnbench.core.bundle import Bundle
from rnnbench.models.calls import on_cpu
from rnnbench.runtimes import get

if TYPE_CHECKING:
    from rnnbench.cases.feeding import Run
    from rnnbench.core.model import Model

__all__ = ["CheckReport", "Checking", "Isolation", "Row", "check", "merge"]

Verdict = Literal["same", "DIFFERS", "failed", "limit", "shown", "not run"]

_NO_CODE = (
    "the bundle does not say where the code of its model is: give check(bundle, model=...) what "
    "was exported, or export a FILE.py or package.module:function"
)


@dataclass(frozen=True)
class Row:
    """One output of one artifact in one runtime, over all cases.

    Attributes:
        model: the bundle's name.
        format: of the artifact; `eager` is the module itself, `twin` its other form.
        runtime: what ran it, with its mode and device: `onnxruntime:basic`.
        output: its name; `*` where no output came into being.
        cases: how many cases were compared.
        worst_error: the largest absolute difference to the float64 reference.
        floor: the largest that the module itself has in its own precision.
        tolerance_needed: the smallest rtol = atol with which `np.allclose` agrees everywhere.
        worst_case: where `worst_error` is, or where the reason was seen first.
        verdict: `same`, `DIFFERS`, `failed` (no output), `limit` (at no rows or no steps at all),
            `shown` (a runtime that is no judge) or `not run` (something is not installed).
        reason: what is wrong, in one line.
        relative_error: the largest difference as a share of the reference.
        first_step: the first time step that is off, where one is.
        same_argmax: the share of equal argmax along the last axis, where it may hold scores.
        pinned: the runtime got a file for each shape, with that shape fixed.
    """

    model: str
    format: str
    runtime: str
    output: str
    cases: int
    worst_error: float | None
    floor: float | None
    tolerance_needed: float | None
    worst_case: str
    verdict: Verdict
    reason: str = ""
    relative_error: float | None = None
    first_step: int | None = None
    same_argmax: float | None = None
    pinned: bool = False


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

    rows: tuple[Row, ...]
    ok: bool
    skipped: dict[str, str]
    results: tuple[Result, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values; an infinite error is the string "inf"."""
        return {
            "ok": self.ok,
            "rows": [_finite(asdict(row)) for row in self.rows],
            "skipped": self.skipped,
            "results": [_finite(asdict(result)) for result in self.results],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Checking:
    """How thorough a check is.

    Attributes:
        sweep: the cases.
        factor: how many times the noise floor an error may be.
        isolation: the limits of the processes; None: everything in this process.
        save_failures: a folder that gets an .npz for each case that fails.
        done: called with the rows of one artifact in one runtime as soon as they are there.
        begin: called with the number of runs that there will be.
        tell: called with the number of runs that are done, from any thread.
    """

    sweep: Sweep = field(default_factory=Sweep)
    factor: float = FACTOR
    isolation: Isolation | None = field(default_factory=Isolation)
    save_failures: Path | None = None
    done: Callable[[list[Row]], object] = lambda _: None
    begin: Callable[[int], object] = lambda _: None
    tell: Callable[[int], object] = lambda _: None


def check(
    bundle: Bundle | str | Path,
    runtimes: Sequence[str] | None = None,
    *,
    cases: str = "quick",
    isolate: bool = True,
    how: Checking | None = None,
    model: Model | None = None,
) -> CheckReport:
    """Compares each artifact in each runtime with the module in float64.

    Args:
        bundle: what `export` returned, or its folder.
        runtimes: which to use (`NAME`, `NAME:MODE`, `NAME:DEVICE`); the usual ones unless given.
            One that is asked for and missing is an error.
        cases: `quick`, or `full`: a sweep over sizes, states and values, and every mode.
        isolate: each artifact in each runtime in a process of its own. Otherwise all in this one,
            which is faster, and ends where a runtime aborts.
        how: everything else; it overrides `cases` and `isolate`.
        model: what was exported, where the bundle does not say where its code is: its module takes
            part, in this process.

    Raises:
        RnnbenchError: the bundle is damaged, a runtime is unknown or missing, or the model is
            another than the exported one.
    """
    if how is None:
        how = Checking(Sweep(cases), isolation=Isolation() if isolate else None)
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    if model is None:
        return _check(bundle, runtimes, how)
    live = live_module(bundle, model)
    with on_cpu(model.module):  # where the bundle was made and is judged
        return _check(bundle, runtimes, how, model, live)


def _check(
    bundle: Bundle,
    runtimes: Sequence[str] | None,
    how: Checking,
    model: Model | None = None,
    live: Run | None = None,
) -> CheckReport:
    tasks = find_tasks(bundle, runtimes, full=how.sweep.kind == "full")
    if live is None and not bundle.source:
        tasks = [replace(t, missing=_NO_CODE) if t.format == "eager" else t for t in tasks]
    found = gather(bundle, how.sweep, model)
    layout = layout_of(bundle, found.cases)
    judge = Judge(bundle, {case.name: case for case in found.cases}, layout, how.factor)
    how.begin(sum(len(cases_for(task, found.cases, layout)) for task in tasks))
    rows: dict[Task, list[Row]] = {}
    results: dict[Task, list[Result]] = {}
    for ran in run_tasks(bundle, tasks, found.cases, layout, how.isolation, how.tell, live):
        results[ran.task] = judge.judge(ran)
        pinned = not ran.task.missing and get(ran.task.runtime).pins(ran.task.mode)
        rows[ran.task] = [
            replace(row, pinned=pinned) for row in _rows(bundle, ran, results[ran.task])
        ]
        if how.save_failures is not None:
            judge.save_failures(ran, results[ran.task], how.save_failures)
        how.done(rows[ran.task])
    every = [row for task in tasks for row in rows[task]]
    for format, why in (bundle.manifest.get("failed") or {}).items():
        every.append(_row(bundle.name, format, "-", "failed", f"not exported: {why}"))
    return CheckReport(
        tuple(every),
        _ok(every),
        found.skipped,
        tuple(result for task in tasks for result in results[task]),
        (*_replaced(bundle, {task.format for task in tasks}), *found.notes),
    )


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


def _replaced(bundle: Bundle, formats: Collection[str]) -> list[str]:
    """A line for each artifact that is no longer the exported one; the verdicts decide still."""
    return [
        f"warning: {bundle.name}: {artifact.path.name} is not the file that was exported (its "
        "sha256 is not the one in manifest.json): the verdicts are of the file that is there"
        for name, artifact in bundle.artifacts.items()
        if name in formats and artifact.replaced
    ]


def _rows(bundle: Bundle, ran: Ran, results: Sequence[Result]) -> list[Row]:
    name, task = bundle.name, ran.task
    format, label = _format(bundle, task), task.label.removesuffix(":twin")
    if ran.unavailable:
        return [_row(name, format, label, "not run", ran.unavailable)]
    if not ran.outputs:
        first = next(r for r in results if r.verdict == "failed")
        row = _row(name, format, label, "failed", first.reason)
        return [_as_shown(bundle, replace(row, worst_case=first.case), task)]
    ordinary = [result for result in results if result.verdict != "limit"]
    rows = [
        _as_shown(bundle, _output_row(_row(name, format, label, "same", "", out), ordinary), task)
        for out in bundle.outputs
    ]
    for result in results:
        if result.verdict == "limit":
            limit = _row(name, format, label, "limit", result.reason)
            rows.append(replace(limit, worst_case=result.case))
    return rows


def _output_row(row: Row, results: Sequence[Result]) -> Row:
    compared = {r.case: r.outputs[row.output] for r in results if row.output in r.outputs}
    failed = {r.case: r.reason for r in results if row.output not in r.outputs}
    wrong = {case: d for case, d in compared.items() if d.reason}
    if compared:
        worst = max(wrong or compared, key=lambda case: compared[case].error)
        shares = [d.argmax for d in compared.values() if d.argmax is not None]
        row = replace(
            row,
            cases=len(compared),
            worst_error=max(d.error for d in compared.values()),
            floor=max(d.floor for d in compared.values()),
            tolerance_needed=max(d.tolerance for d in compared.values()),
            relative_error=max(d.relative for d in compared.values()),
            first_step=compared[worst].first_step,
            same_argmax=min(shares, default=None),
            worst_case=worst,
        )
    if failed:
        name, why = next(iter(failed.items()))
        where = f"{len(failed)} of {len(results)} cases, first {name}"
        return replace(row, worst_case=name, verdict="failed", reason=f"{where}: {why}")
    if wrong:
        where = f"{len(wrong)} of {len(results)} cases, at {row.worst_case}"
        why = wrong[row.worst_case].reason
        step = "" if row.first_step is None else f", first at step {row.first_step}"
        return replace(row, verdict="DIFFERS", reason=f"{where}: {why}{step}")
    return row


def _as_shown(bundle: Bundle, row: Row, task: Task) -> Row:
    """The row of a runtime that is no judge decides nothing, and says what it ignores."""
    runtime = get(task.runtime)
    if runtime.judge:
        return row
    said = [row.verdict, row.reason]
    if row.verdict != "failed":  # else the reason says it already
        said += [
            f"it ignores {what}" for what in runtime.caveats(bundle.artifacts[task.format].path)
        ]
    return replace(row, verdict="shown", reason=": ".join(filter(None, said)))


def _format(bundle: Bundle, task: Task) -> str:
    if task.mode != "twin":
        return task.format
    from rnnbench.models.rebuild import twin_of

    return f"twin ({twin_of(bundle)})"


def _ok(rows: Sequence[Row]) -> bool:
    verdicts = {row.verdict for row in rows}
    return "same" in verdicts and not {"DIFFERS", "failed"} & verdicts


def _row(
    model: str, format: str, runtime: str, verdict: Verdict, reason: str, output: str = "*"
) -> Row:
    return Row(model, format, runtime, output, 0, None, None, None, "", verdict, reason)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(element) for key, element in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value

"""Bundle -> CheckReport: does every artifact compute what the module computes?

The reference is the module in float64; each artifact runs over all cases, at once and in chunks, in
a process of its own. Nothing is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.cases.allowance import FACTOR
from rnnbench.cases.cases import layout_of
from rnnbench.cases.standard import standard_of
from rnnbench.checking.case_selection import CaseSelection, gather
from rnnbench.checking.price import MaxPrice, price_notes, price_rows
from rnnbench.checking.report import CheckReport, OutputRow
from rnnbench.checking.rows import not_exported, output_rows
from rnnbench.checking.runner import cases_for, live_module, rounded_as, run_jobs
from rnnbench.checking.verdicts import CaseResult, Judge
from rnnbench.checking.weights import AtHand, not_judged_notes, prove_weights
from rnnbench.checking.whole import prove_values
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import choices
from rnnbench.core.verdicts import all_well
from rnnbench.exporting.lone_file import opened
from rnnbench.models.calls import on_cpu
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.pool import Isolation
from rnnbench.runtimes.selection import FULL, QUICK, find_jobs

if TYPE_CHECKING:
    from rnnbench.core.model import Model, Run

_NO_CODE = (
    "the bundle does not say where the code of its model is: give check(bundle, model=...) what "
    "was exported, or export a FILE.py or package.module:function"
)


@dataclass(frozen=True)
class CheckOptions:
    """How thorough a check is.

    Attributes:
        selection: the cases.
        factor: how many times the noise floor an error may be.
        isolation: the limits of the processes; None: everything in this process.
        trust_code: run code that the bundle names or holds though this user did not export it here.
        save_failures: a folder that gets an .npz for each case that fails.
        on_rows: called with the rows of one artifact in one runtime as soon as they are there.
        on_start: called with the number of runs that there will be.
        on_progress: called with the number of runs that are done, from any thread.
        at_hand: gives what was exported, where it may answer about its weights and take no other
            part.
        formats: only artifacts of these; all unless given.
        max_price: what the rounding of the weights may cost; None: it is not judged.
        show_price: say what it costs.
    """

    selection: CaseSelection = field(default_factory=CaseSelection)
    factor: float = FACTOR
    isolation: Isolation | None = field(default_factory=Isolation)
    trust_code: bool = False
    save_failures: Path | None = None
    on_rows: Callable[[list[OutputRow]], object] = lambda _: None
    on_start: Callable[[int], object] = lambda _: None
    on_progress: Callable[[int], object] = lambda _: None
    at_hand: AtHand | None = None
    formats: tuple[str, ...] = ()
    max_price: MaxPrice | None = None
    show_price: bool = True


def check(
    bundle: Bundle | str | Path,
    runtimes: Sequence[str] | None = None,
    *,
    cases: str = "quick",
    isolate: bool = True,
    options: CheckOptions | None = None,
    model: Model | None = None,
) -> CheckReport:
    """Compares each artifact in each runtime with the module in float64.

    Args:
        bundle: what `export` returned, its folder, or a file that somebody wrote.
        runtimes: which to use (`NAME`, `NAME:MODE`, `NAME:DEVICE`); the usual ones unless given.
            One that is asked for and missing is an error.
        cases: `quick`, or `full`: a sweep over sizes, states and values, and every mode.
        isolate: each artifact in each runtime in a process of its own. Otherwise all in this one,
            which is faster, and ends where a runtime aborts.
        options: everything else; it overrides `cases` and `isolate`.
        model: what was exported, where the bundle does not say where its code is: its module takes
            part, in this process.

    Raises:
        RnnbenchError: the bundle is damaged, a runtime is unknown or missing, or the model is
            another than the exported one.
    """
    if options is None:
        options = CheckOptions(CaseSelection(cases), isolation=Isolation() if isolate else None)
    with opened(bundle, trust_code=options.trust_code) as found:
        if model is None:
            return _check(found, runtimes, options)
        model = rounded_as(found, model)
        live = live_module(found, model)
        with on_cpu(model.module):  # where the bundle was made and is judged
            return _check(found, runtimes, options, model, live)


def _check(
    bundle: Bundle,
    runtimes: Sequence[str] | None,
    options: CheckOptions,
    model: Model | None = None,
    live: Run | None = None,
) -> CheckReport:
    jobs = find_jobs(bundle, runtimes, costs=FULL if options.selection.kind == "full" else QUICK)
    jobs = _of_formats(bundle, jobs, options.formats)
    if live is None and not bundle.source:
        jobs = [replace(j, missing=_NO_CODE) if j.format == "eager" else j for j in jobs]
    found = gather(bundle, options.selection, model, options.isolation)
    layout = layout_of(bundle, (*found.usual, *found.cases))
    standard = standard_of(layout, found.usual, options.factor)
    judge = Judge(bundle, {case.name: case for case in found.cases}, standard)
    work = {job: cases_for(job, found.cases, layout) for job in jobs}
    options.on_start(sum(map(len, work.values())))
    rows: dict[Job, list[OutputRow]] = {}
    results: dict[Job, list[CaseResult]] = {}
    for ran in run_jobs(bundle, work, layout, options.isolation, options.on_progress, live):
        job = ran.job
        results[job] = judge.judge(ran)
        rows[job] = output_rows(bundle, ran, results[job])
        if options.save_failures is not None:
            judge.save_failures(ran, results[job], options.save_failures)
        options.on_rows(rows[job])
    compared = all_well({row.verdict for job in work for row in rows[job]})
    ran_well = [job for job in work if any(row.cases for row in rows[job])]
    judged = [] if options.selection.only else ran_well
    at_hand = options.at_hand if model is None else lambda: nullcontext(model)
    proofs = prove_weights(bundle, judged, options.isolation, at_hand)
    for job, row, result in proofs:
        rows[job].append(row)
        results[job].append(result)
        options.on_rows([row])
    plain = Judge(bundle, judge.cases, standard, unrounded=True)
    for job, row, result in prove_values(bundle, judged, work, layout, options.isolation, plain):
        rows[job].append(row)
        results[job].append(result)
        options.on_rows([row])
    every = [row for job in work for row in rows[job]]
    every += price_rows(bundle, options.max_price)
    failed = not_exported(bundle)
    every += [row for row in failed if not options.formats or row.format in options.formats]
    return CheckReport(
        tuple(every),
        compared and not any(row.verdict.is_wrong for row in every),
        found.skipped,
        tuple(result for job in work for result in results[job]),
        (
            *_replaced(bundle, {job.format for job in work}),
            *(price_notes(bundle) if options.show_price else ()),
            *found.notes,
            *not_judged_notes(every),
        ),
    )


def _of_formats(bundle: Bundle, jobs: list[Job], formats: Sequence[str]) -> list[Job]:
    """The jobs of the formats that are asked for.

    Raises:
        RnnbenchError: the bundle has none of one.
    """
    for name in formats:
        if name not in (*bundle.artifacts, *bundle.manifest["failed"], "eager"):
            raise choices("artifact", name, (*bundle.artifacts, "eager"))
    return [job for job in jobs if not formats or job.format in formats]


def _replaced(bundle: Bundle, formats: Collection[str]) -> list[str]:
    """A line for each artifact that is no longer the exported one; the verdicts decide still."""
    return [
        f"warning: {bundle.name}: {artifact.path.name} is not the file that was exported (its "
        "sha256 is not the one in manifest.json): the verdicts are of the file that is there"
        for name, artifact in bundle.artifacts.items()
        if name in formats and artifact.replaced
    ]

"""Runs the engines over a bundle's golden cases, in each form of the file that they read.

An engine is a runtime (a file in runtimes/adapters/) that is an `engine`: it reads files that other
tools read as well. The forms follow from its `formats`. `plain` is `model.onnx` as `export` writes
it, for those that run `onnx`; the engine's own profile (`export --for ENGINE`) and `portable` are
for those that run `portable`; any other format, as `pt2`, is a form of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rnnbench import runtimes
from rnnbench.cases.cases import Case, layout_of
from rnnbench.cases.feeding import StreamLayout
from rnnbench.cases.golden import golden_cases, judged_by
from rnnbench.cases.standard import Standard, standard_of
from rnnbench.cases.stored import read_cases
from rnnbench.checking.conformance.rows import Compared, ConformanceRow, judged, name_of
from rnnbench.checking.runner import LOADING, RunResult, fits, run_jobs
from rnnbench.core import plugins
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, choices, one_line
from rnnbench.core.model import Arrays
from rnnbench.core.temporary import temporary_folder
from rnnbench.core.verdicts import Verdict
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.known_gaps import with_gaps
from rnnbench.runtimes.pool import Isolation
from rnnbench.runtimes.selection import parse

ALL, PLAIN, PORTABLE = "all", "plain", "portable"
LIMITS = Isolation(seconds=300.0)  # for loading, and for each call: some compile for minutes

_SHAPES, _SHORT = 3, 50  # how many, and their steps, where each new shape costs seconds
_REASON = 240
_WRAPPED = re.compile(r"^.* is not .*? that .*? \((.*)\): .*$")
"""What a runtime says of a file that it refuses: only the cause differs."""


def find_engine_jobs(engines: Sequence[str], profiles: Sequence[str] = ()) -> list[Job]:
    """What there is to run, of any bundle: no job has its file yet.

    Args:
        engines: `NAME`, `NAME:MODE`, or `all` for each in each of its modes.
        profiles: only these forms; every one unless given.

    Raises:
        RnnbenchError: there is no such engine or mode, or none of the engines has such a profile.
    """
    known = runtimes.engines()
    found: list[tuple[str, str]] = []
    for text in engines:
        if text == ALL:  # with its modes: `all:MODE` is no engine
            found += [(n, m) for n in known for m in ("", *runtimes.get(n).modes)]
        elif plugins.canonical("runtimes", text.partition(":")[0]) not in known:
            raise choices("engine", text.partition(":")[0], (ALL, *known))
        else:
            found.append(parse(text, known, what="engine", devices=False)[:2])
    jobs = [
        Job(name, format, mode=mode, form=form)
        for name, mode in dict.fromkeys(found)
        for form, format in forms(name).items()
    ]
    for profile in profiles:
        if profile not in {job.form for job in jobs}:
            raise choices("profile", profile, dict.fromkeys(job.form for job in jobs))
    return [job for job in jobs if not profiles or job.form in profiles]


def forms(engine: str) -> dict[str, str]:
    """Form -> the format of the artifact that an engine runs in it."""
    from rnnbench.formats.onnx.profiles import profiles

    found: dict[str, str] = {}
    for format in runtimes.get(engine).formats:
        if format == "onnx":
            found[PLAIN] = format
        elif format == "portable":
            found |= {p: "onnx" for p in (engine, PORTABLE) if p in profiles()}
        else:
            found[format] = format
    return found


def run_engines(
    bundle: Bundle, jobs: Sequence[Job], on_progress: Callable[[str], None] = lambda _: None
) -> list[ConformanceRow]:
    """A row for each job, each in a process of its own; one for an engine that is not here.

    Args:
        bundle: what `export` wrote.
        jobs: what `find_engine_jobs` found.
        on_progress: gets a line as each ends.
    """
    engines = dict.fromkeys(job.runtime for job in jobs)
    missing = {name: runtimes.get(name).missing() for name in engines}
    here = [job for job in jobs if not missing[job.runtime]]
    cases = read_cases(bundle)
    layout = layout_of(bundle, cases)
    standard = standard_of(layout, cases)
    # A case that is streamed as well has the same name there.
    by_name = {f"{case.name} ({_how(case)})": case for case in golden_cases(bundle)}
    golden = [replace(case, name=name) for name, case in by_name.items()]
    names = ", ".join(dict.fromkeys(job.runtime for job in here))
    if names:
        on_progress(f"running {names}")
    with temporary_folder() as folder:
        prepared = [_prepare(bundle, job, golden, layout, Path(folder)) for job in here]
        work = {job: cases for job, cases in prepared if not job.missing and cases}
        rows = {job: _unready(bundle, job) for job, cases in prepared if job not in work}
        for result in run_jobs(bundle, work, layout, LIMITS):
            rows[result.job] = row = _judged(bundle, result, by_name, standard)
            on_progress(f"{name_of(row)}: {row.verdict}")
    absent = [
        ConformanceRow(name, verdict=Verdict.NOT_RUN, reason=why, model=bundle.name)
        for name, why in missing.items()
        if why
    ]
    return [rows[job] for job, _ in prepared] + absent


def _prepare(
    bundle: Bundle, job: Job, golden: Sequence[Case], layout: StreamLayout, folder: Path
) -> tuple[Job, list[Case]]:
    """A job with its file, and its cases; without any where nothing is to run."""
    if job.format not in bundle.artifacts:
        why = f"the bundle has no {job.format} file: export it with --format {job.format}"
        return replace(job, missing=why), []
    try:
        path, sizes = _file(bundle, job, folder)
        golden = judged_by(bundle, job.format, golden)
    except RnnbenchError as error:
        return replace(job, missing=one_line(error)), []
    sizes |= runtimes.get(job.runtime).own_sizes(layout.batch_dim)
    ready = replace(job, path=path, bundle=bundle.path, sizes=tuple(sorted(sizes.items())))
    return ready, _cases(ready, golden, layout)


def _unready(bundle: Bundle, job: Job) -> ConformanceRow:
    """The row of a job that nothing could be made of."""
    if job.format not in bundle.artifacts:
        return _row(bundle, job, Verdict.NOT_RUN, job.missing)
    if job.missing:
        return _row(bundle, job, Verdict.REFUSED, job.missing)
    fixed = ", ".join(f"{dim}={size}" for dim, size in job.sizes)
    why = f"no golden case has the sizes of the file ({fixed})"
    return _row(bundle, job, Verdict.NOT_RUN, why)


def _file(bundle: Bundle, job: Job, folder: Path) -> tuple[Path, dict[str, int]]:
    """The file of a job, and the dimensions that are fixed in it.

    A form that the bundle holds is that file; another is made of `model.onnx`, once.

    Raises:
        RnnbenchError: the model has no such form.
    """
    from rnnbench.formats.onnx.profiles import rewrite

    path = bundle.artifacts[job.format].path
    if job.format != "onnx" or job.form == PLAIN:
        return path, {}
    if PORTABLE in bundle.artifacts:
        artifact = bundle.artifacts[PORTABLE]
        if artifact.details.get("profile", PORTABLE) == job.form:
            return artifact.path, dict(artifact.details.get("pinned") or {})
    target = folder / f"{job.form}.onnx"
    if not target.is_file():
        rewrite(path, target, job.form)
    return target, {}


def _cases(job: Job, golden: Sequence[Case], layout: StreamLayout) -> list[Case]:
    """The golden cases; where each new shape costs seconds, short ones of few shapes.

    Of those that are streamed one is enough there: it has but one shape.
    """
    runtime = runtimes.get(job.runtime)
    fitting = [case for case in golden if fits(case, dict(job.sizes), layout)]
    if runtime.cost != "slow":
        return fitting
    whole = [case for case in fitting if not case.feed_mode.chunks]
    short = [case for case in whole if max(case.dims.values(), default=0) <= _SHORT]
    if runtime.pins(job.mode):
        shapes: list[dict[str, int]] = []
        for case in short:
            shapes += [case.dims] if case.dims not in shapes else []
        short = [case for case in short if case.dims in shapes[:_SHAPES]]
    return short + [case for case in fitting if case.feed_mode.chunks][:1]


def _judged(
    bundle: Bundle, result: RunResult, cases: dict[str, Case], standard: Standard
) -> ConformanceRow:
    """One row for all cases: of several things that went wrong the one to fear most."""
    job = result.job
    if result.unavailable:
        return _row(bundle, job, Verdict.NOT_RUN, result.unavailable)
    compared: list[Compared] = []
    problems: dict[Verdict, list[str]] = {Verdict.DIED: [], Verdict.REFUSED: []}
    for name, outputs in result.outputs.items():
        compared += _compared(job, bundle, cases[name], outputs, standard)
    for name, why in result.errors.items():
        where = "" if name == LOADING else f"{name}: "
        if name in result.unfit:  # there were results, which do not fit together
            case = cases[name]
            compared.append(Compared(case.name, _how(case), "all", math.inf, 0.0, why))
        else:
            kind = Verdict.DIED if name in result.deaths else Verdict.REFUSED
            problems[kind].append(f"{where}{_cause(why, job)}")
    row = (
        judged(job.label, compared)
        if compared
        else ConformanceRow(job.label, verdict=Verdict.REFUSED)
    )
    worst = next(((kind, said[0]) for kind, said in problems.items() if said), None)
    if worst and row.verdict != Verdict.DIFFERS:
        row = replace(row, verdict=worst[0], reason=worst[1])
    if row.verdict != Verdict.SAME:
        row = replace(row, reason=with_gaps(row.reason, job.runtime, job.path) + _pinned(job, row))
    versions = runtimes.get(job.runtime).versions()
    return replace(row, model=bundle.name, profile=job.form, versions=versions)


def _pinned(job: Job, row: ConformanceRow) -> str:
    """What to try where an engine refuses a file with open sizes, and can have them fixed."""
    fixes = "pinned" in runtimes.get(job.runtime).modes
    if not fixes or job.sizes or job.mode or row.verdict == Verdict.DIFFERS:
        return ""
    return (
        f"; with fixed sizes it may run: {job.runtime}:pinned, or export with --for {job.runtime} "
        "--pin batch=1,time=32"
    )


def _how(case: Case) -> str:
    return "stream" if case.feed_mode.chunks else "whole"


def _compared(
    job: Job, bundle: Bundle, case: Case, outputs: Arrays, standard: Standard
) -> list[Compared]:
    """Each output of a case; a missing one is wrong without a word."""
    coarseness = runtimes.get(job.runtime).coarseness
    (case,) = judged_by(bundle, job.format, [case])
    found = []
    for name in bundle.outputs:
        allowed = float(standard.allowed(case, name, coarseness).max(initial=0.0))
        if name in outputs:
            difference = standard.compare(case, name, outputs[name], coarseness)
            error, why = difference.error, difference.reason
            if not why:  # integers may be those of the module instead, where rounding decides
                error = min(error, allowed)
        else:
            error, why = math.inf, "there is no such output"
        found.append(Compared(case.name, _how(case), name, error, allowed, why))
    return found


def _row(bundle: Bundle, job: Job, verdict: Verdict, reason: str) -> ConformanceRow:
    versions = runtimes.get(job.runtime).versions()
    return ConformanceRow(
        job.label, versions, verdict=verdict, reason=reason, model=bundle.name, profile=job.form
    )


def _cause(why: str, job: Job) -> str:
    """Why, without the file's path and the remedy: the table says which form is another."""
    said = _WRAPPED.sub(r"\1", why)
    return said.replace(str(job.path), Path(str(job.path)).name)[:_REASON]

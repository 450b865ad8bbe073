"""Jobs over their cases, each in a process of its own: the outputs, or why there are none."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from rnnbench import runtimes
from rnnbench.cases.cases import Case
from rnnbench.cases.feeding import StreamLayout, feed
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, Unavailable, one_line
from rnnbench.core.model import Arrays, Model, Run
from rnnbench.runtimes.job import Job, load
from rnnbench.runtimes.pool import Isolation, in_processes
from rnnbench.runtimes.worker import Worker, WorkerError

LOADING = "loading"
"""Stands for a case in `RunResult.errors`, where nothing was loaded."""

_FEW, _SHORT = 6, 50  # cases, and their steps, where each new shape costs seconds
_DEATHS = 2  # of one process, before its other cases are given up


@dataclass(frozen=True)
class RunResult:
    """What a job gave.

    Attributes:
        job: what ran.
        outputs: case -> outputs by name.
        errors: case, or LOADING -> why there are no outputs.
        unavailable: what is not installed, so that nothing ran.
        deaths: the cases at which the process died, or LOADING.
        unfit: the cases of which there were outputs, which do not fit together.
    """

    job: Job
    outputs: dict[str, Arrays] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    unavailable: str = ""
    deaths: frozenset[str] = frozenset()
    unfit: frozenset[str] = frozenset()


def cases_for(job: Job, cases: Sequence[Case], layout: StreamLayout) -> list[Case]:
    """The cases of a job: all, or a few short ones where each new shape is compiled.

    A file with fixed sizes gets those of these sizes, and those whose chunks have them.
    """
    if job.sizes:
        fitting = [case for case in cases if fits(case, dict(job.sizes), layout)]
        cases = fitting or cases  # else the runtime says why it takes none of them
    if job.missing or runtimes.get(job.runtime).cost != "slow":
        return list(cases)
    short = [c for c in cases if not c.feed_mode.chunks and not c.empty]
    return [c for c in short if max(c.dims.values(), default=0) <= _SHORT][:_FEW]


def fits(case: Case, sizes: Mapping[str, int], layout: StreamLayout) -> bool:
    """Whether every call of a case has the fixed sizes."""
    how = case.feed_mode
    called = dict(case.dims)
    if how.interleaved or how.chunks:
        if len(set(how.chunks)) != 1 or case.dims.get(layout.time_dim, 0) % how.chunks[0]:
            return False
        called[layout.time_dim] = how.chunks[0]
    if how.interleaved:
        called[layout.batch_dim] = 1
    return sizes.items() <= called.items()


def run_jobs(
    bundle: Bundle,
    work: Mapping[Job, Sequence[Case]],
    layout: StreamLayout,
    isolation: Isolation | None,
    on_progress: Callable[[int], object] = lambda _: None,
    live: Run | None = None,
) -> Iterator[RunResult]:
    """Runs each job over its cases, and yields as they are done.

    Args:
        bundle: whose artifacts run.
        work: what runs, and over which cases.
        layout: how they are fed in chunks.
        isolation: the limits of the processes; None: all in this process, and no empty cases,
            which abort some runtimes.
        on_progress: gets the number of cases that have been run, again and again; from any thread.
        live: the module itself, where it is in this process.
    """
    if isolation is None:
        work = {job: [case for case in cases if not case.empty] for job, cases in work.items()}
    for job in work:
        if live is not None and _is_the_module(job):
            yield _run_cases(job, live, work[job], layout, on_progress)
        elif job.missing:
            yield RunResult(job, unavailable=job.missing)
    left = [j for j in work if not (j.missing or (live is not None and _is_the_module(j)))]
    if isolation is None:
        for job in left:
            yield _run(bundle, job, None, work[job], layout, on_progress)
        return
    # Empty cases come last: a death costs a new start.
    ordered = {job: sorted(work[job], key=lambda case: case.empty) for job in left}

    def use(job: Job, worker: Worker) -> RunResult:
        return _run(bundle, job, worker, ordered[job], layout, on_progress)

    yield from in_processes(left, use, isolation)


def _run(
    bundle: Bundle,
    job: Job,
    worker: Worker | None,
    cases: Sequence[Case],
    layout: StreamLayout,
    on_progress: Callable[[int], object],
) -> RunResult:
    try:
        with worker or nullcontext(load(job, bundle)) as run:
            return _run_cases(job, run, cases, layout, on_progress)
    except Unavailable as error:
        return RunResult(job, unavailable=one_line(error))
    except RnnbenchError as error:
        died = frozenset({LOADING} if isinstance(error, WorkerError) else ())
        return RunResult(job, errors={LOADING: one_line(error)}, deaths=died)


def _run_cases(
    job: Job,
    run: Run,
    cases: Sequence[Case],
    layout: StreamLayout,
    on_progress: Callable[[int], object],
) -> RunResult:
    outputs: dict[str, Arrays] = {}
    errors: dict[str, str] = {}
    deaths: set[str] = set()
    unfit: set[str] = set()
    refusals: list[Exception] = []  # what the runtime itself said

    def asked(arrays: Arrays) -> Arrays:
        try:
            return run(arrays)
        except Exception as error:
            refusals.append(error)
            raise

    for case in cases:
        if len(deaths) >= _DEATHS and not case.empty:
            where = " and ".join(sorted(deaths))
            errors[case.name] = f"not run, since the process had ended at {where}"
            continue
        try:
            outputs[case.name] = feed(asked, case.inputs, case.feed_mode, layout)
        except Exception as error:  # each runtime raises types of its own
            errors[case.name] = one_line(error)
            if isinstance(error, WorkerError):
                deaths.add(case.name)
            elif error not in refusals:
                unfit.add(case.name)
        on_progress(1)
    return RunResult(job, outputs, errors, deaths=frozenset(deaths), unfit=frozenset(unfit))


def _is_the_module(job: Job) -> bool:
    return (job.format, job.mode, job.device) == ("eager", "", "cpu")


def rounded_as(bundle: Bundle, model: Model) -> Model:
    """The model with its weights rounded as those of the bundle are; itself where they are not."""
    from rnnbench.core.known_warnings import export_warnings
    from rnnbench.models.precision import LEVELS, round_weights

    said = bundle.manifest.get("precision")
    if not said or not isinstance(model, Model):
        return model
    with export_warnings():  # a module with its state lifted holds a program
        module = copy.deepcopy(model.module)
    round_weights(module, said["name"], said.get("kept", ()), said.get("levels", LEVELS))
    return replace(model, module=module)


def live_module(bundle: Bundle, model: Model) -> Run:
    """The module of a model that was exported, to be run in this process and left as it is.

    Raises:
        RnnbenchError: it is no Model, or not the exported one.
    """
    from rnnbench.core.threads import torch_threads
    from rnnbench.models.calls import call, device_of, undisturbed, weights_digest

    if not isinstance(model, Model):
        raise RnnbenchError(f"model={type(model).__name__}: give the rnnbench.Model, as to export")
    if (tuple(model.inputs), tuple(model.outputs)) != (bundle.inputs, bundle.outputs):
        raise RnnbenchError(f"the model declares other inputs or outputs than {bundle.path}")
    if weights_digest(model.module) != bundle.manifest.get("sha256"):
        raise RnnbenchError(
            f"the weights of the model are not those in {bundle.path}: export it again"
        )
    module = model.module

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(1), undisturbed(module):
            return call(module, bundle.inputs, bundle.outputs, arrays, device=device_of(module))

    return run

"""Everything that can run a bundle, over all its cases, each in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass, field

from rnnbench import runtimes
from rnnbench.cases.cases import Case
from rnnbench.cases.feeding import Layout, Run, feed
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, Unavailable, choices, one_line
from rnnbench.core.model import Arrays, Model
from rnnbench.runtimes.job import Job, load
from rnnbench.runtimes.worker import Worker, WorkerError

THREADS = 1
"""For every runtime: small networks gain nothing from more, and a busy machine loses much."""

_FEW, _SHORT = 6, 50  # cases, and their steps, where each new shape costs seconds
_DEATHS = 2  # of one process, before its other cases are given up


@dataclass(frozen=True)
class Task:
    """One artifact in one runtime in one mode.

    Attributes:
        format: of the artifact; `eager` for the module itself.
        runtime: the plugin.
        mode: one of its modes, or empty.
        device: where it runs.
        missing: why it cannot run, where that is known before.
        sizes: the dimensions that the artifact has fixed.
    """

    format: str
    runtime: str
    mode: str = ""
    device: str = "cpu"
    missing: str = ""
    sizes: tuple[tuple[str, int], ...] = ()

    @property
    def label(self) -> str:
        """`onnxruntime:basic`: what `--runtime` takes, and tables show."""
        where = "" if self.device == "cpu" else self.device
        return ":".join(filter(None, (self.runtime, self.mode, where)))


@dataclass(frozen=True)
class Isolation:
    """The limits of the processes.

    Attributes:
        seconds: for loading, and for each call.
        memory: bytes of each.
        workers: processes at a time; as many as there are cores where it is 0.
    """

    seconds: float = 60.0
    memory: int = 4 * 2**30
    workers: int = 0


@dataclass(frozen=True)
class Ran:
    """What a task gave.

    Attributes:
        task: what ran.
        outputs: case -> outputs by name.
        errors: case -> why there are no outputs.
        unavailable: what is not installed, so that nothing ran.
        deaths: the cases at which the process died.
    """

    task: Task
    outputs: dict[str, Arrays] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    unavailable: str = ""
    deaths: frozenset[str] = frozenset()


def find_tasks(bundle: Bundle, wanted: Sequence[str] | None, *, full: bool) -> list[Task]:
    """What there is to run.

    Args:
        bundle: whose artifacts run.
        wanted: `NAME`, `NAME:MODE` or `NAME:DEVICE`; those of a quick check where it is None.
        full: every mode, every device and every runtime.

    Raises:
        RnnbenchError: one that is wanted does not exist. Unavailable: it is not installed.
    """
    if wanted is not None:
        return [task for name in wanted for task in _named(bundle, name, full=full)]
    tasks = []
    for name in runtimes.names():
        runtime = runtimes.get(name)
        if full or runtime.cost == "usual":
            tasks += _tasks(bundle, name, modes=("", *runtime.modes) if full else ("",), full=full)
    for format in bundle.artifacts:
        if not runtimes.running(format):
            why = f"no runtime here runs {format}: update rnnbench"
            tasks.append(Task(format, "-", missing=why))
    if not full:
        tasks += _tasks(bundle, "eager", modes=("twin",), full=False)
    return tasks


def cases_for(task: Task, cases: Sequence[Case], layout: Layout) -> list[Case]:
    """The cases of a task: all, or a few short ones where each new shape is compiled.

    A file with fixed sizes gets those of these sizes, and those whose chunks have them.
    """
    if task.sizes:
        fitting = [case for case in cases if fits(case, dict(task.sizes), layout)]
        cases = fitting or cases  # else the runtime says why it takes none of them
    if task.missing or runtimes.get(task.runtime).cost != "slow":
        return list(cases)
    short = [c for c in cases if not c.how.chunks and not c.empty]
    return [c for c in short if max(c.dims.values(), default=0) <= _SHORT][:_FEW]


def fits(case: Case, sizes: Mapping[str, int], layout: Layout) -> bool:
    """Whether every call of a case has the fixed sizes."""
    how = case.how
    called = dict(case.dims)
    if how.interleaved or how.chunks:
        if len(set(how.chunks)) != 1 or case.dims.get(layout.time_dim, 0) % how.chunks[0]:
            return False
        called[layout.time_dim] = how.chunks[0]
    if how.interleaved:
        called[layout.batch_dim] = 1
    return sizes.items() <= called.items()


def run_tasks(
    bundle: Bundle,
    tasks: Sequence[Task],
    cases: Sequence[Case],
    layout: Layout,
    isolation: Isolation | None,
    tell: Callable[[int], object] = lambda _: None,
    live: Run | None = None,
) -> Iterator[Ran]:
    """Runs each task over its cases, and yields as they are done.

    Args:
        bundle: whose artifacts run.
        tasks: what runs.
        cases: the inputs.
        layout: how they are fed in chunks.
        isolation: the limits of the processes; None: all in this process, and no empty cases,
            which abort some runtimes.
        tell: gets the number of cases that have been run, again and again; from any thread.
        live: the module itself, where it is in this process.
    """
    if live is not None:
        empty = isolation is not None
        for task in filter(_is_the_module, tasks):
            chosen = [c for c in cases_for(task, cases, layout) if empty or not c.empty]
            yield _run_cases(task, live, chosen, layout, tell)
        tasks = [task for task in tasks if not _is_the_module(task)]
    if isolation is None:
        cases = [case for case in cases if not case.empty]
        for task in tasks:
            yield _run(bundle, task, cases_for(task, cases, layout), layout, None, tell)
        return
    ordered = sorted(cases, key=lambda case: case.empty)  # last: a death costs a new start
    workers = [
        None
        if task.missing
        else Worker(_job(bundle, task), seconds=isolation.seconds, memory=isolation.memory)
        for task in tasks
    ]
    count = isolation.workers or os.cpu_count() or 1
    with ThreadPoolExecutor(count) as pool:
        waiting = [
            pool.submit(_run, bundle, task, cases_for(task, ordered, layout), layout, worker, tell)
            for task, worker in zip(tasks, workers, strict=True)
        ]
        try:
            for future in as_completed(waiting):
                yield future.result()
        finally:  # also on Ctrl-C: nothing is left running, and nothing starts any more
            for future in waiting:
                future.cancel()
            for worker in filter(None, workers):
                worker.kill()


def _run(
    bundle: Bundle,
    task: Task,
    cases: Sequence[Case],
    layout: Layout,
    worker: Worker | None,
    tell: Callable[[int], object],
) -> Ran:
    if task.missing:
        return Ran(task, unavailable=task.missing)
    try:
        with worker or nullcontext(load(_job(bundle, task), bundle)) as run:
            return _run_cases(task, run, cases, layout, tell)
    except Unavailable as error:
        return Ran(task, unavailable=one_line(error))
    except RnnbenchError as error:
        return Ran(task, errors={"loading": one_line(error)})


def _run_cases(
    task: Task, run: Run, cases: Sequence[Case], layout: Layout, tell: Callable[[int], object]
) -> Ran:
    outputs: dict[str, Arrays] = {}
    errors: dict[str, str] = {}
    deaths: set[str] = set()
    given_up = ""
    for case in cases:
        if given_up and not case.empty:
            errors[case.name] = given_up
            continue
        try:
            outputs[case.name] = feed(run, case.inputs, case.how, layout)
        except WorkerError as error:
            errors[case.name] = one_line(error)
            deaths.add(case.name)
            if len(deaths) == _DEATHS and not case.empty:
                given_up = f"not run, since the process had ended at {' and '.join(sorted(deaths))}"
        except Exception as error:  # each runtime raises types of its own
            errors[case.name] = one_line(error)
        tell(1)
    return Ran(task, outputs, errors, deaths=frozenset(deaths))


def _is_the_module(task: Task) -> bool:
    return (task.format, task.mode, task.device) == ("eager", "", "cpu")


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
        with torch_threads(THREADS), undisturbed(module):
            return call(module, bundle.inputs, bundle.outputs, arrays, device=device_of(module))

    return run


def _job(bundle: Bundle, task: Task) -> Job:
    path = None if task.format == "eager" else bundle.artifacts[task.format].path
    return Job(
        task.runtime, task.format, path, bundle.path, task.mode, task.device, threads=THREADS
    )


def _named(bundle: Bundle, name: str, *, full: bool) -> list[Task]:
    """The tasks of `NAME`, `NAME:MODE` or `NAME:DEVICE`."""
    runtime, _, how = name.partition(":")
    if runtime not in runtimes.names():
        raise choices("runtime", runtime, runtimes.names())
    found = runtimes.get(runtime)
    found.require(runtime)
    if not how:
        modes = ("", *found.modes) if full else ("",)
        twin = ("twin",) if runtime == "eager" else ()
        return _tasks(bundle, runtime, modes=tuple(dict.fromkeys((*modes, *twin))), full=full)
    if how in found.modes:
        return _tasks(bundle, runtime, modes=(how,), full=False)
    if how.partition(":")[0] in ("cpu", "cuda"):
        return [
            Task(f, runtime, device=how, sizes=_sizes(bundle, f, runtime))
            for f in _formats(bundle, runtime)
        ]
    raise choices(f"mode of {runtime}", how, (*found.modes, "cpu", "cuda"))


def _tasks(bundle: Bundle, runtime: str, *, modes: tuple[str, ...], full: bool) -> list[Task]:
    from rnnbench.models.rebuild import twin_of

    found = runtimes.get(runtime)
    missing = found.missing() or ""
    if missing:
        modes = ("",)
    if "twin" in modes and twin_of(bundle) is None:
        modes = tuple(mode for mode in modes if mode != "twin")
    tasks = [
        Task(format, runtime, mode, missing=missing, sizes=_sizes(bundle, format, runtime))
        for format in _formats(bundle, runtime)
        for mode in modes
    ]
    if full and not missing and "cuda" in found.devices():
        tasks += [
            Task(format, runtime, device="cuda", sizes=_sizes(bundle, format, runtime))
            for format in _formats(bundle, runtime)
        ]
    return tasks


def _formats(bundle: Bundle, runtime: str) -> list[str]:
    """What a runtime runs of a bundle: not what was written for another one."""
    artifacts = bundle.artifacts
    found = [f for f in runtimes.get(runtime).formats if f == "eager" or f in artifacts]
    everyone = ("portable", runtime)
    return [
        f
        for f in found
        if f != "portable"
        or runtime == "onnxruntime"
        or artifacts[f].details.get("profile", "portable") in everyone
    ]


def _sizes(bundle: Bundle, format: str, runtime: str) -> tuple[tuple[str, int], ...]:
    """The dimensions that an artifact has fixed, or its runtime."""
    if format not in bundle.artifacts:
        return ()
    pinned = bundle.artifacts[format].details.get("pinned") or {}
    fixed = runtimes.get(runtime).own_sizes(bundle.batch_dim) | pinned
    return tuple(sorted((str(dim), int(size)) for dim, size in fixed.items()))

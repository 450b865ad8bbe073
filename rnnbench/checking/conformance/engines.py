"""Runs the engines over a bundle's golden cases, in each form of the file that they read.

An engine is a runtime (a file in runtimes/adapters/) that is an `engine`: it reads files that other
tools read as well. The forms follow from its `formats`. `plain` is `model.onnx` as `export` writes
it, for those that run `onnx`; the engine's own profile (`export --for ENGINE`) and `portable` are
for those that run `portable`; any other format, as `pt2`, is a form of its own.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from rnnbench import runtimes
from rnnbench.cases.cases import Case, layout_of, read_cases
from rnnbench.cases.feeding import Layout, feed
from rnnbench.cases.golden import golden_cases
from rnnbench.cases.tolerance import allowed_error, compare
from rnnbench.checking.conformance.rows import Compared, Conformed, Verdict, judged, name_of
from rnnbench.checking.runner import fits
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, Unavailable, choices, one_line
from rnnbench.core.model import Arrays
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.worker import Worker, WorkerError

ALL, PLAIN, PORTABLE = "all", "plain", "portable"
LIMIT_S = 300.0  # for loading, and for each call: some compile for minutes

_SHAPES, _SHORT = 3, 50  # how many, and their steps, where each new shape costs seconds
_DEATHS = 2  # of one process, before its other cases are given up
_REASON = 240
_WRAPPED = re.compile(r"^.* is not .*? that .*? \((.*)\): .*$")
"""What a runtime says of a file that it refuses: only the cause differs."""


@dataclass(frozen=True)
class Trial:
    """One engine in one mode with one form of the file.

    Attributes:
        engine: the runtime.
        mode: one of its modes, or empty.
        profile: the form.
        format: the artifact that it is made of.
    """

    engine: str
    mode: str
    profile: str
    format: str

    @property
    def label(self) -> str:
        """As `--engine` takes it."""
        return f"{self.engine}:{self.mode}" if self.mode else self.engine


def find_trials(engines: Sequence[str], profiles: Sequence[str] = ()) -> list[Trial]:
    """What there is to run.

    Args:
        engines: `NAME`, `NAME:MODE`, or `all` for each in each of its modes.
        profiles: only these forms; every one unless given.

    Raises:
        RnnbenchError: there is no such engine or mode, or none of the engines has such a profile.
    """
    known = runtimes.engines()
    found: list[tuple[str, str]] = []
    for text in engines:
        name, _, mode = text.partition(":")
        if text == ALL:  # with its modes: `all:MODE` is no engine
            found += [(n, m) for n in known for m in ("", *runtimes.get(n).modes)]
        elif name not in known:
            raise choices("engine", name, (ALL, *known))
        elif mode and mode not in runtimes.get(name).modes:
            modes = runtimes.get(name).modes
            raise choices(f"mode of {name}", mode, modes or ("none",))
        else:
            found.append((name, mode))
    trials = [
        Trial(name, mode, profile, format)
        for name, mode in dict.fromkeys(found)
        for profile, format in forms(name).items()
    ]
    for profile in profiles:
        if profile not in {trial.profile for trial in trials}:
            raise choices("profile", profile, dict.fromkeys(trial.profile for trial in trials))
    return [trial for trial in trials if not profiles or trial.profile in profiles]


def forms(engine: str) -> dict[str, str]:
    """Profile -> the format of the artifact that an engine runs in it."""
    from rnnbench.formats.onnx.profiles import PROFILES

    found: dict[str, str] = {}
    for format in runtimes.get(engine).formats:
        if format == "onnx":
            found[PLAIN] = format
        elif format == "portable":
            found |= {p: "onnx" for p in (engine, PORTABLE) if p in PROFILES}
        else:
            found[format] = format
    return found


def run_engines(
    bundle: Bundle, trials: Sequence[Trial], tell: Callable[[str], None] = lambda _: None
) -> list[Conformed]:
    """A row for each trial, each in a process of its own; one for an engine that is not here.

    Args:
        bundle: what `export` wrote.
        trials: what `find_trials` found.
        tell: gets a line as each ends.
    """
    engines = dict.fromkeys(trial.engine for trial in trials)
    missing = {name: runtimes.get(name).missing() for name in engines}
    here = [trial for trial in trials if not missing[trial.engine]]
    golden, layout = golden_cases(bundle), layout_of(bundle, read_cases(bundle))
    with tempfile.TemporaryDirectory(prefix="rnnbench-") as folder:
        prepared = [_prepare(bundle, trial, golden, layout, Path(folder)) for trial in here]
        rows = _run_all(bundle, prepared, layout, tell)
    absent = [
        Conformed(name, "not run", reason=why, model=bundle.name)
        for name, why in missing.items()
        if why
    ]
    return rows + absent


@dataclass(frozen=True)
class _Ready:
    """A trial, the process that it runs in, and over which cases."""

    trial: Trial
    worker: Worker
    cases: list[Case]


def _prepare(
    bundle: Bundle, trial: Trial, golden: Sequence[Case], layout: Layout, folder: Path
) -> _Ready | Conformed:
    """What is to run; or the row, where nothing is."""
    if trial.format not in bundle.artifacts:
        why = f"the bundle has no {trial.format} file: export it with --format {trial.format}"
        return _row(bundle, trial, "not run", why)
    try:
        path, sizes = _file(bundle, trial, folder)
        sizes |= runtimes.get(trial.engine).own_sizes(layout.batch_dim)
    except RnnbenchError as error:
        return _row(bundle, trial, "refused", one_line(error))
    cases = _cases(trial, golden, layout, sizes)
    if not cases:
        fixed = ", ".join(f"{dim}={size}" for dim, size in sizes.items())
        return _row(bundle, trial, "not run", f"no golden case has the sizes of the file ({fixed})")
    job = Job(trial.engine, trial.format, path, bundle.path, trial.mode)
    return _Ready(trial, Worker(job, seconds=LIMIT_S), cases)


def _run_all(
    bundle: Bundle,
    prepared: Sequence[_Ready | Conformed],
    layout: Layout,
    tell: Callable[[str], None],
) -> list[Conformed]:
    """The rows in the same order; as many processes at a time as there are cores."""
    rows = {i: known for i, known in enumerate(prepared) if isinstance(known, Conformed)}
    waiting: dict[Future[Conformed], int] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        try:
            for i, ready in enumerate(prepared):
                if isinstance(ready, _Ready):
                    waiting[pool.submit(_run, bundle, ready, layout)] = i
            for future in as_completed(waiting):
                rows[waiting[future]] = row = future.result()
                tell(f"{name_of(row)}: {row.verdict} {row.reason}".rstrip())
        finally:  # also on Ctrl-C: nothing is left running, and nothing starts any more
            for future in waiting:
                future.cancel()
            for ready in prepared:
                if isinstance(ready, _Ready):
                    ready.worker.kill()
    return [rows[i] for i in sorted(rows)]


def _file(bundle: Bundle, trial: Trial, folder: Path) -> tuple[Path, dict[str, int]]:
    """The file of a trial, and the dimensions that are fixed in it.

    A form that the bundle holds is that file; another is made of `model.onnx`, once.

    Raises:
        RnnbenchError: the model has no such form.
    """
    from rnnbench.formats.onnx.profiles import rewrite

    path = bundle.artifacts[trial.format].path
    if trial.format != "onnx" or trial.profile == PLAIN:
        return path, {}
    if PORTABLE in bundle.artifacts:
        artifact = bundle.artifacts[PORTABLE]
        if artifact.details.get("profile", PORTABLE) == trial.profile:
            return artifact.path, dict(artifact.details.get("pinned") or {})
    target = folder / f"{trial.profile}.onnx"
    if not target.is_file():
        rewrite(path, target, trial.profile)
    return target, {}


def _cases(
    trial: Trial, golden: Sequence[Case], layout: Layout, sizes: dict[str, int]
) -> list[Case]:
    """The golden cases; where each new shape costs seconds, short ones of few shapes.

    Of those that are streamed one is enough there: it has but one shape.
    """
    fitting = [case for case in golden if fits(case, sizes, layout)]
    if runtimes.get(trial.engine).cost != "slow":
        return fitting
    whole = [case for case in fitting if not case.how.chunks]
    short = [case for case in whole if max(case.dims.values(), default=0) <= _SHORT]
    if runtimes.get(trial.engine).pins(trial.mode):
        shapes: list[dict[str, int]] = []
        for case in short:
            shapes += [case.dims] if case.dims not in shapes else []
        short = [case for case in short if case.dims in shapes[:_SHAPES]]
    return short + [case for case in fitting if case.how.chunks][:1]


def _run(bundle: Bundle, ready: _Ready, layout: Layout) -> Conformed:
    trial, worker = ready.trial, ready.worker
    compared: list[Compared] = []
    problems: dict[Verdict, list[str]] = {"died": [], "refused": []}
    asked: list[RnnbenchError] = []  # what the engine itself said

    def run(arrays: Arrays) -> Arrays:
        try:
            return worker(arrays)
        except RnnbenchError as error:
            asked.append(error)
            raise

    try:
        with worker:
            for case in ready.cases:
                how = "stream" if case.how.chunks else "whole"
                try:
                    outputs = feed(run, case.inputs, case.how, layout)
                except RnnbenchError as error:
                    if error in asked:
                        said = f"{case.name} ({how}): {_cause(error, worker)}"
                        problems[_kind(error)].append(said)
                    else:  # there were results, which do not fit together
                        why = one_line(error)
                        compared.append(Compared(case.name, how, "all", math.inf, 0.0, why))
                else:
                    compared += _compared(trial.engine, bundle, case, how, outputs)
                if len(problems["died"]) == _DEATHS:
                    break
    except Unavailable as error:
        return _row(bundle, trial, "not run", one_line(error))
    except RnnbenchError as error:  # while it was loaded
        problems[_kind(error)].append(_cause(error, worker))
    row = judged(trial.label, compared) if compared else Conformed(trial.label, "refused")
    worst = next(((v, reasons[0]) for v, reasons in problems.items() if reasons), None)
    if worst and row.verdict != "DIFFERS":  # of several things the one to fear most
        row = replace(row, verdict=worst[0], reason=worst[1])
    versions = runtimes.get(trial.engine).versions()
    return replace(row, model=bundle.name, profile=trial.profile, versions=versions)


def _compared(engine: str, bundle: Bundle, case: Case, how: str, outputs: Arrays) -> list[Compared]:
    """Each output of a case; a missing one is wrong without a word."""
    accuracy = runtimes.get(engine).accuracy
    found = []
    for name in bundle.outputs:
        exact, eager = case.reference[name], case.eager[name]
        allowed = allowed_error(exact, eager, absolute=accuracy)
        if name in outputs:
            difference = compare(outputs[name], exact, eager, absolute=accuracy)
            error, why = difference.error, difference.reason
            if not why:  # integers may be those of the module instead, where rounding decides
                error = min(error, allowed)
        else:
            error, why = math.inf, "there is no such output"
        found.append(Compared(case.name, how, name, error, allowed, why))
    return found


def _row(bundle: Bundle, trial: Trial, verdict: Verdict, reason: str) -> Conformed:
    versions = runtimes.get(trial.engine).versions()
    return Conformed(
        trial.label, verdict, versions, reason=reason, model=bundle.name, profile=trial.profile
    )


def _kind(error: RnnbenchError) -> Verdict:
    return "died" if isinstance(error, WorkerError) else "refused"


def _cause(error: RnnbenchError, worker: Worker) -> str:
    """Why, without the file's path and the remedy: the table says which form is another."""
    said = _WRAPPED.sub(r"\1", one_line(error))
    return said.replace(str(worker.job.path), Path(str(worker.job.path)).name)[:_REASON]

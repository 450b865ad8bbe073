"""A long sequence in chunks, the states carried: how each runtime's error grows with time.

The reference is the module in float64, and the module in its own precision the noise floor: a
model that is chaotic, or whose state grows without bound, drifts there as well, and a runtime is
blamed only for what goes beyond. The sequence is made chunk by chunk from the seed, errors are kept
in bins of time, 20 per decade, and one runtime runs after the other, so that memory depends neither
on the length nor on how many runtimes there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench import runtimes
from rnnbench.cases.allowance import ABSOLUTE, FACTOR
from rnnbench.checking.drift.walk import Walk
from rnnbench.core.bundle import Bundle
from rnnbench.core.documents import document, plain
from rnnbench.core.errors import RnnbenchError, Unavailable, one_line
from rnnbench.core.model import Arrays, Model, Run
from rnnbench.core.tables import format_table
from rnnbench.core.verdicts import Verdict, all_well
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.pool import Isolation, in_processes
from rnnbench.runtimes.selection import FAST, find_jobs
from rnnbench.runtimes.worker import Worker

BINS_PER_DECADE = 20
CHUNK = 1000
_LOST = 0.1  # of the size of the values: where the floor is there, nothing can be told any more
_GROWN = 100.0
# A chaotic model multiplies an error by a constant each step, so a rounding that is ten times as
# large is only some steps early: the floor of up to twice the time is allowed.
_AHEAD = round(BINS_PER_DECADE * math.log10(2))


@dataclass(frozen=True)
class DriftCurve:
    """The error of one artifact in one runtime against time.

    Attributes:
        format: of the artifact; `eager` in its own precision is the noise floor.
        runtime: what ran it.
        errors: the largest absolute error, over all outputs, in each bin of time.
        verdict: `floor`, `same`, `DIFFERS`, `failed`, or `not judged` (without a float64 module).
        first: the first step that is off, from 1, to the width of its bin; 0 where none is.
        reason: why there is no line, or a short one.
    """

    format: str
    runtime: str
    errors: tuple[float, ...] = ()
    verdict: Verdict = Verdict.NOT_JUDGED
    first: int = 0
    reason: str = ""


@dataclass(frozen=True)
class DriftReport:
    """Error against time.

    Attributes:
        model: the bundle's name.
        steps: how long the sequence was.
        ends: the last step of each bin of time.
        sizes: the largest absolute value of the reference in each bin.
        lines: one for each artifact in each runtime.
        reference: what the errors are differences to.
        notes: on the model itself: chaotic, growing without bound.
        ok: something was judged, and nothing differs or failed.
    """

    model: str
    steps: int
    ends: tuple[int, ...]
    sizes: tuple[float, ...]
    lines: tuple[DriftCurve, ...]
    reference: str
    notes: tuple[str, ...]
    ok: bool

    def to_json(self) -> dict[str, Any]:
        """As JSON values; an infinite error is the string "inf"."""
        return document("drift", plain(self), ok=self.ok)


def drift(
    bundle: Bundle | str | Path,
    steps: int,
    wanted: Sequence[str] | None = None,
    *,
    chunk: int = CHUNK,
    seed: int = 0,
) -> DriftReport:
    """Feeds a long sequence to every artifact in every runtime.

    Args:
        bundle: what `export` wrote; its model needs states.
        steps: the length of the sequence.
        wanted: runtimes; all that are installed unless given.
        chunk: steps per call.
        seed: of the sequence.

    Raises:
        RnnbenchError: the model has no states or no time, or nothing here runs it.
    """
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    if not bundle.states or not any(bundle.time_dim in spec.shape for spec in bundle.inputs):
        raise RnnbenchError(
            f"{bundle.name} has no states to carry from chunk to chunk, so a long sequence cannot "
            "be fed: declare states={input: output}, or check it with --cases full"
        )
    if steps < 1:
        raise RnnbenchError(f"--drift {steps}: give 1 step or more")
    jobs = _jobs(bundle, wanted)
    with ExitStack() as stack:
        model, reference, noise_floor, origin = _reference(bundle)
        if reference is None:
            reference, job = _stand_in(stack, bundle, jobs, origin)
            jobs.remove(job)
            origin = f"{job.format} in {job.label}, for want of the module in float64 ({origin})"
        if noise_floor is None and not jobs:
            raise RnnbenchError(f"{bundle.name}: there is nothing to compare with {origin}")
        walk = Walk(bundle, model, reference, bins(steps), min(chunk, steps), seed)
        lines = [] if noise_floor is None else [_line("eager", "float32", walk.errors(noise_floor))]
        one_by_one = Isolation(workers=1)  # so that memory does not depend on how many there are
        lines += in_processes(jobs, partial(_walked, walk), one_by_one)
    ends, sizes = walk.ends, tuple(map(float, walk.sizes))
    if noise_floor is not None:
        lines = _judged(lines, ends, sizes)
    notes = tuple(_notes(lines[0], ends, sizes)) if noise_floor is not None else ()
    verdicts = {line.verdict for line in lines}
    ok = all_well(verdicts)
    return DriftReport(bundle.name, steps, ends, sizes, tuple(lines), origin, notes, ok)


def format_drift(report: DriftReport) -> str:
    """The largest error so far at powers of ten, a row for each runtime."""
    powers = [10**k for k in range(1, 12) if 10**k < report.steps] + [report.steps]
    until_step = [f"to step {n:,}" for n in powers]
    headers = ["format", "runtime", *until_step, "verdict"]
    table = []
    for line in report.lines:
        verdict = f"{line.verdict}: {line.reason}" if line.reason else line.verdict
        until = [
            [e for e, end in zip(line.errors, report.ends, strict=False) if end <= n]
            for n in powers
        ]
        table.append(
            [line.format, line.runtime, *(f"{max(e):.1e}" if e else "" for e in until), verdict]
        )
    lines = [f"{report.model}: largest absolute error against {report.reference}"]
    lines.append(format_table(headers, table, least=until_step))
    return "\n".join([*lines, *report.notes])


def bins(steps: int) -> tuple[int, ...]:
    """The last step of each bin: 20 per decade, of which every power of ten is one."""
    top = math.ceil(BINS_PER_DECADE * math.log10(steps)) + 1
    ends = {round(10 ** (k / BINS_PER_DECADE)) for k in range(top)}
    return tuple(sorted({e for e in ends if e < steps} | {steps}))


def _jobs(bundle: Bundle, wanted: Sequence[str] | None) -> list[Job]:
    """What runs; unless named, nothing slow. The module itself is the reference, and apart."""
    jobs = find_jobs(bundle, wanted, costs=FAST)
    return [job for job in jobs if job.format != "eager" and not job.missing]


def _stand_in(stack: ExitStack, bundle: Bundle, jobs: list[Job], why: str) -> tuple[Run, Job]:
    """The first that starts, as the reference where there is no module."""
    for job in jobs:
        try:
            return stack.enter_context(Worker(job)), job
        except RnnbenchError:
            continue
    raise RnnbenchError(f"{bundle.name}: nothing here runs it ({why})")


def _walked(walk: Walk, job: Job, worker: Worker) -> DriftCurve:
    """The line of one artifact in one runtime."""
    try:
        with worker as run:
            return _line(job.format, job.label, walk.errors(run))
    except RnnbenchError as error:
        return _line(job.format, job.label, one_line(error))


def _line(format: str, label: str, found: np.ndarray[Any, Any] | str) -> DriftCurve:
    if isinstance(found, str):
        return DriftCurve(format, label, verdict=Verdict.FAILED, reason=found)
    return DriftCurve(format, label, tuple(map(float, found)))


def _reference(bundle: Bundle) -> tuple[Model, Run | None, Run | None, str]:
    """The module in float64 and in its own precision, or why there is none."""
    from rnnbench.core.threads import torch_threads
    from rnnbench.models.calls import call, call_float64, read_weights, undisturbed
    from rnnbench.models.rebuild import declared, rebuild

    try:
        wide, narrow = rebuild(bundle), rebuild(bundle)
    except Unavailable as error:
        return declared(bundle), None, None, one_line(error)
    for model in (wide, narrow):
        model.module.load_state_dict(read_weights(bundle.path))
        model.module.eval()

    def exact(arrays: Arrays) -> Arrays:
        with torch_threads(1), undisturbed(wide.module, double=True):
            return call_float64(wide.module, bundle.inputs, bundle.outputs, arrays)

    def own(arrays: Arrays) -> Arrays:
        with torch_threads(1):
            return call(narrow.module, bundle.inputs, bundle.outputs, arrays)

    return wide, exact, own, "the module in float64"


def _judged(
    lines: list[DriftCurve], ends: Sequence[int], sizes: Sequence[float]
) -> list[DriftCurve]:
    """Each line against the noise_floor, which is the first."""
    noise_floor = np.maximum.accumulate(lines[0].errors)
    ahead = noise_floor[np.minimum(np.arange(len(ends)) + _AHEAD, len(ends) - 1)]
    size = np.maximum.accumulate(np.maximum(1.0, sizes))
    allowed = np.maximum(FACTOR * ahead, ABSOLUTE["float32"] * size)
    judged = [replace(lines[0], verdict=Verdict.FLOOR)]
    for line in lines[1:]:
        if line.verdict == Verdict.FAILED or not runtimes.get(line.runtime.partition(":")[0]).judge:
            judged.append(line)
            continue
        off = np.flatnonzero(np.asarray(line.errors) > allowed)
        if not off.size:
            judged.append(replace(line, verdict=Verdict.SAME))
            continue
        i = int(off[0])
        reason = f"off by {line.errors[i]:.1e} at step {ends[i]:,}, {allowed[i]:.1e} is allowed"
        judged.append(replace(line, verdict=Verdict.DIFFERS, first=ends[i], reason=reason))
    return judged


def _notes(noise_floor: DriftCurve, ends: Sequence[int], sizes: Sequence[float]) -> Iterator[str]:
    """What the model itself does, whatever the runtime."""
    size = np.maximum.accumulate(sizes)
    lost = np.flatnonzero(np.asarray(noise_floor.errors) > _LOST * np.maximum(size, 1e-30))
    if lost.size:
        yield (
            f"The model itself drifts: from about step {ends[int(lost[0])]:,} its own float32 is "
            "off by a tenth of its values (it is chaotic, or sums without end), and no runtime "
            "can be told from another after that."
        )
    tenth = int(np.searchsorted(ends, 10))
    if size[-1] > _GROWN * max(size[min(tenth, len(size) - 1)], 1e-30):
        yield (
            f"Its values grow without bound: {size[min(tenth, len(size) - 1)]:.1e} within 10 "
            f"steps, {size[-1]:.1e} in the end."
        )

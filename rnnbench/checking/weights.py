"""Every weight of the module is in the file: found there, or accounted for, or named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench import runtimes
from rnnbench.cases.effects import effects
from rnnbench.cases.stored import read_cases
from rnnbench.checking.report import WEIGHTS, OutputRow
from rnnbench.checking.verdicts import CaseResult
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model
from rnnbench.core.verdicts import Verdict
from rnnbench.runtimes.accounting import Account
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.job import account as account_of
from rnnbench.runtimes.pool import Isolation
from rnnbench.runtimes.worker import Worker

_NAMED = 3
_MOST = 40  # weights whose effect on the outputs is tried


def prove_weights(
    bundle: Bundle, jobs: Sequence[Job], isolation: Isolation | None, model: Model | None
) -> list[tuple[Job, OutputRow, CaseResult]]:
    """A row and a result for each file whose weights can be read, at the first of its jobs.

    Args:
        bundle: what is judged.
        jobs: those that ran.
        isolation: the limits of the processes; None: in this one.
        model: what was exported, where it is in this process.
    """
    found = []
    known: dict[str, bool] = {}
    for job in _first_of_each_file(jobs):
        try:
            said = _account(job, isolation)
        except RnnbenchError:  # the rows about its outputs say what is wrong with it
            continue
        unknown = [name for name in said.missing if name not in known][:_MOST]
        if unknown:
            known |= _effects(bundle, unknown, isolation, model)
        found.append((job, *_said(bundle, job, said, known)))
    return found


def _first_of_each_file(jobs: Sequence[Job]) -> list[Job]:
    first: dict[Any, Job] = {}
    for job in jobs:
        readable = not job.missing and runtimes.get(job.runtime).weights is not None
        if readable and job.path is not None and job.device == "cpu":
            first.setdefault(job.path, job)
    return list(first.values())


def _account(job: Job, isolation: Isolation | None) -> Account:
    if isolation is None:
        return account_of(job)
    limits = {"seconds": isolation.seconds, "memory": isolation.memory}
    with Worker(job, needs_torch=True, **limits) as worker:  # type: ignore[arg-type]
        return worker.account()


def _effects(
    bundle: Bundle, names: Sequence[str], isolation: Isolation | None, model: Model | None
) -> dict[str, bool]:
    """Weight -> whether it matters; nothing where the module is not here, or not run."""
    if model is not None:
        return effects(model, names, read_cases(bundle))
    job = Job("eager", "eager", None, bundle.path, trust_code=bundle.trust_code)
    try:
        if isolation is None:
            from rnnbench.models.rebuild import trained

            return effects(trained(bundle), names, read_cases(bundle))
        with Worker(job, seconds=isolation.seconds, memory=isolation.memory) as worker:
            return worker.effects(names)
    except RnnbenchError:
        return {}


def _said(
    bundle: Bundle, job: Job, said: Account, effects: Mapping[str, bool]
) -> tuple[OutputRow, CaseResult]:
    """The row and the result; only what was altered is wrong."""
    without = [name for name in said.missing if effects.get(name) is False]
    unproved = [name for name in said.missing if name not in without]
    total = len(said.found) + len(said.altered) + len(said.missing)
    verdict, reason = Verdict.SAME, ""
    if said.altered:
        name, why = next(iter(said.altered.items()))
        verdict = Verdict.DIFFERS
        reason = f"{len(said.altered)} of {total} weights, at {name}: {why}"
    elif unproved:
        reason = (
            f"{len(unproved)} of {total} weights are not in the file as they are, and are proved "
            f"by the outputs alone: {_few(unproved)}"
        )
    row = OutputRow(
        job.format,
        job.label,
        WEIGHTS,
        model=bundle.name,
        verdict=verdict,
        reason=reason,
        cases=total,
        worst_case=_ways(said, without),
    )
    result = CaseResult(bundle.name, job.format, job.label, WEIGHTS, 0, verdict, reason)
    return row, result


def _ways(said: Account, without: Sequence[str]) -> str:
    """`9 exactly, 4 reordered, 1 without effect`."""
    counts = Counter(how.partition(" ")[0] for how in said.found.values())
    if without:
        counts["without effect"] = len(without)
    return ", ".join(f"{count} {how}" for how, count in counts.items())


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more

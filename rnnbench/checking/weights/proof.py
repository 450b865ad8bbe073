"""Rows about the weights in each artifact of a bundle, beside those about its outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnnbench import runtimes
from rnnbench.cases.cases import Case
from rnnbench.checking.report import WEIGHTS, OutputRow
from rnnbench.checking.verdicts import CaseResult
from rnnbench.checking.weights.accounting import Account, account
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays, Model
from rnnbench.core.verdicts import Verdict
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.job import weights as weights_of
from rnnbench.runtimes.pool import Isolation
from rnnbench.runtimes.worker import Worker

_NAMED = 3
_MOST = 40  # weights whose effect on the outputs is tried


def prove_weights(
    bundle: Bundle,
    jobs: Sequence[Job],
    isolation: Isolation | None,
    module: Callable[[], Model | None],
    cases: Sequence[Case],
) -> list[tuple[Job, OutputRow, CaseResult]]:
    """A row and a result for each file whose weights can be read, at the first of its jobs.

    Args:
        bundle: what is judged.
        jobs: those that ran.
        isolation: the limits of the processes; None: in this one.
        module: what was exported; None where its code is not here, or is not run.
        cases: to try a weight's effect at.
    """
    wanted = _weights(bundle)
    if wanted is None:
        return []
    found = []
    effects: dict[str, bool] = {}
    for job in _first_of_each_file(jobs):
        try:
            held = _held(job, isolation)
        except RnnbenchError:  # the rows about its outputs say what is wrong with it
            continue
        said = account(wanted, held.values())
        unknown = [name for name in said.missing if name not in effects]
        effects |= _effects(unknown[:_MOST], module, cases)
        found.append((job, *_said(bundle, job, said, effects)))
    return found


def _weights(bundle: Bundle) -> Arrays | None:
    """The module's parameters and buffers; None where the bundle's file of them is damaged."""
    from rnnbench.models.calls import arrays_of, read_weights

    try:
        state = read_weights(bundle.path)
    except RnnbenchError:
        return None
    return arrays_of(state)


def _first_of_each_file(jobs: Sequence[Job]) -> list[Job]:
    first: dict[Any, Job] = {}
    for job in jobs:
        readable = not job.missing and runtimes.get(job.runtime).weights is not None
        if readable and job.path is not None and job.device == "cpu":
            first.setdefault(job.path, job)
    return list(first.values())


def _held(job: Job, isolation: Isolation | None) -> Arrays:
    if isolation is None or job.path is None or job.path.suffix == ".onnx":  # which is data
        return weights_of(job)
    with Worker(job, seconds=isolation.seconds, memory=isolation.memory) as worker:
        return worker.weights()


def _effects(
    names: Sequence[str], module: Callable[[], Model | None], cases: Sequence[Case]
) -> dict[str, bool]:
    """Weight -> whether an output changes when it does; nothing of those that cannot be tried."""
    import torch

    from rnnbench.models.calls import call, undisturbed

    model = module() if names else None
    if model is None:
        return {}
    tried = [case for case in cases if not case.empty and not case.feed_mode.chunks][:2]
    state = model.module.state_dict(keep_vars=True)
    found: dict[str, bool] = {}
    with torch.no_grad(), undisturbed(model.module):
        for name in names:
            if name not in state:
                continue
            before = state[name].detach().clone()
            try:
                state[name].copy_(before + 1 if before.dtype != torch.bool else ~before)
                given = [
                    call(model.module, model.inputs, model.outputs, case.inputs) for case in tried
                ]
                found[name] = any(_changed(g, c) for g, c in zip(given, tried, strict=True))
            except Exception:  # a module that its own weight breaks is changed by it
                found[name] = True
            finally:
                state[name].copy_(before)
    return found


def _changed(given: Arrays, case: Case) -> bool:
    return any(
        not np.allclose(given[name], case.eager[name], rtol=1e-6, atol=1e-9, equal_nan=True)
        if given[name].shape == case.eager[name].shape
        else True
        for name in case.eager
    )


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

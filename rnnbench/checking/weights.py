"""Every weight of the module is in the file: found there, or accounted for, or named.

What is not found as it is, the module is asked about, where it is at hand: what it makes of the
weight is looked for instead, and what changes no output need not be there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from rnnbench import runtimes
from rnnbench.checking.report import WEIGHTS, OutputRow
from rnnbench.checking.verdicts import CaseResult
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Model
from rnnbench.core.verdicts import Verdict
from rnnbench.runtimes.accounting import Account, Uses
from rnnbench.runtimes.held import Array
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.job import account as account_of
from rnnbench.runtimes.pool import Isolation
from rnnbench.runtimes.worker import Worker

AtHand = Callable[[], AbstractContextManager[Model]]
"""Gives what was exported, ready to run in this process."""

NONE = "there are none"
"""Why the weights of a model without any are not judged."""

_NAMED = 3
_MOST = 40  # weights whose effect on the outputs is tried


def prove_weights(
    bundle: Bundle,
    jobs: Sequence[Job],
    isolation: Isolation | None,
    at_hand: AtHand | None = None,
) -> list[tuple[Job, OutputRow, CaseResult]]:
    """A row and a result for each file whose weights can be read, at the first of its jobs.

    Args:
        bundle: what is judged.
        jobs: those that ran.
        isolation: the limits of the processes; None: in this one.
        at_hand: what was exported, where it is in this process.
    """
    module = _Module(bundle, isolation, at_hand)
    found = []
    for job in _first_of_each_file(jobs):
        try:
            with _accounts(job, isolation) as account:
                said = _accounted(account, module)
        except (RnnbenchError, MemoryError) as error:
            found.append((job, *_row(bundle, job, Verdict.NOT_JUDGED, one_line(error))))
        else:
            found.append((job, *_said(bundle, job, said, module)))
    return found


def not_judged_notes(rows: Sequence[OutputRow]) -> list[str]:
    """A line for each file of which the weights could not be looked for."""
    return [
        f"{row.model}: the weights of the {row.format} file are not judged ({row.reason}): they "
        "are proved by the outputs alone; a larger --timeout or --memory may do"
        for row in rows
        if row.is_about_weights and row.verdict is Verdict.NOT_JUDGED and row.reason != NONE
    ]


class _Here:
    """Answers about a module as a `Worker` does, in this process."""

    def __init__(self, bundle: Bundle, model: Model) -> None:
        from rnnbench.cases.stored import read_cases

        self._model, self._cases = model, read_cases(bundle)

    def uses(self, names: Sequence[str]) -> Uses:
        from rnnbench.cases.uses import uses

        return uses(self._model, names, self._cases)

    def effects(self, names: Sequence[str], *, every: bool = False) -> dict[str, bool]:
        from rnnbench.cases.effects import effects

        return effects(self._model, names, self._cases, every=every)


class _Module:
    """What the module says of its weights, where it is at hand or may be run; else nothing.

    Attributes:
        uses: what it makes of those that it was asked about.
        matters: weight -> whether changing it changes an output.
    """

    def __init__(self, bundle: Bundle, isolation: Isolation | None, at_hand: AtHand | None) -> None:
        self._bundle, self._isolation, self._at_hand = bundle, isolation, at_hand
        self._asked: set[str] = set()
        self.uses: dict[str, Sequence[Array] | None] = {}
        self.matters: dict[str, bool] = {}

    def ask(self, said: Account) -> None:
        """About what is altered or missing, as far as that is not known yet."""
        names = [name for name in (*said.altered, *said.missing) if name not in self._asked]
        if not names:
            return
        self._asked.update(names)
        try:
            with self._running() as module:
                self.uses |= module.uses(names)
                # What is altered has no effect only where nothing reads it, at any case.
                unread = [n for n in names if n in said.altered and self.uses.get(n) == []]
                missing = [name for name in names if name in said.missing]
                for few, every in ((unread, True), (missing[:_MOST], False)):
                    self.matters |= module.effects(few, every=every) if few else {}
        except RnnbenchError:  # the code is not here, may not run, or takes too long
            return

    @contextmanager
    def _running(self) -> Iterator[_Here | Worker]:
        bundle, limits = self._bundle, self._isolation
        if self._at_hand is not None:
            with self._at_hand() as model:
                yield _Here(bundle, model)
        elif limits is None:
            from rnnbench.models.rebuild import trained

            yield _Here(bundle, trained(bundle))
        else:
            job = Job("eager", "eager", None, bundle.path, trust_code=bundle.trust_code)
            with Worker(job, seconds=limits.seconds, memory=limits.memory) as worker:
                yield worker


def _first_of_each_file(jobs: Sequence[Job]) -> list[Job]:
    first: dict[Any, Job] = {}
    for job in jobs:
        readable = not job.missing and runtimes.get(job.runtime).weights is not None
        if readable and job.path is not None and job.device == "cpu":
            first.setdefault(job.path, job)
    return list(first.values())


@contextmanager
def _accounts(job: Job, isolation: Isolation | None) -> Iterator[Callable[[Uses], Account]]:
    """What looks for the weights in the job's file, in a process of its own or in this one."""
    if isolation is None:
        yield partial(account_of, job)
        return
    limits = isolation.seconds, isolation.memory
    with Worker(job, needs_torch=True, seconds=limits[0], memory=limits[1]) as worker:
        yield worker.account


def _accounted(account: Callable[[Uses], Account], module: _Module) -> Account:
    """The account of a file, with what the module says of what it does not hold."""
    said = account({})
    module.ask(said)
    uses = {n: module.uses[n] for n in (*said.altered, *said.missing) if n in module.uses}
    if not uses:
        return said
    try:
        return account(uses)
    except RnnbenchError:  # what is known without is at least as grave
        return said


def _said(bundle: Bundle, job: Job, said: Account, module: _Module) -> tuple[OutputRow, CaseResult]:
    """The row and the result; only what was altered is wrong."""
    without = [
        name
        for name in (*said.missing, *said.altered)
        if module.matters.get(name) is False
        and (name in said.missing or module.uses.get(name) == [])
    ]
    # The module alone can say whether a mask or a clamp is one of its own.
    unsure = [name for name in said.plausible if name not in module.uses]
    altered = {n: why for n, why in said.altered.items() if n not in (*without, *unsure)}
    unproved = [name for name in (*said.missing, *unsure) if name not in without]
    total = len(said.found) + len(said.altered) + len(said.missing)
    if not total:
        return _row(bundle, job, Verdict.NOT_JUDGED, NONE)
    ways = _ways(said, without)
    if altered:
        name, why = next(iter(altered.items()))
        reason = f"{len(altered)} of {total} weights, at {name}: {why}"
        return _row(bundle, job, Verdict.DIFFERS, reason, total, ways)
    plain = [name for name, how in said.larger.items() if how == "float32"]
    if plain:
        precision = bundle.manifest["artifacts"][job.format]["precision"]
        reason = (
            f"{len(plain)} of {total} weights are float32 in the file, which is to keep them as "
            f"{precision}: {_few(plain)}"
        )
        return _row(bundle, job, Verdict.DIFFERS, reason, total, ways)
    computed = [name for name in said.larger if name not in plain]
    if not unproved:
        reason = (
            f"{len(computed)} of {total} weights are not kept in fewer bits, since the file holds "
            f"what is computed of them: {_few(computed)}"
        )
        return _row(bundle, job, Verdict.SAME, reason if computed else "", total, ways)
    why = "" if not unsure else f", {said.plausible[unsure[0]]} may explain {_few(unsure)}"
    reason = (
        f"{len(unproved)} of {total} weights are not in the file as they are, and are proved "
        f"by the outputs alone: {_few(unproved)}{why}"
    )
    return _row(bundle, job, Verdict.SAME, reason, total, ways)


def _row(
    bundle: Bundle, job: Job, verdict: Verdict, reason: str, cases: int = 0, ways: str = ""
) -> tuple[OutputRow, CaseResult]:
    row = OutputRow(
        job.format,
        job.label,
        WEIGHTS,
        model=bundle.name,
        verdict=verdict,
        reason=reason,
        cases=cases,
        worst_case=ways,
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

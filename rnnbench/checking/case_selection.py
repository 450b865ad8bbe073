"""The cases of one check: the stored ones, and those that the rebuilt module answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from rnnbench.cases.cases import CaseSet
from rnnbench.cases.making import SECONDS, Wanted, from_message, make_wanted
from rnnbench.cases.plans import parse_case
from rnnbench.cases.stored import read_cases
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, choices, one_line
from rnnbench.core.model import Model
from rnnbench.formats._rounding import file_that_rounds
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.pool import Isolation
from rnnbench.runtimes.worker import Worker

KINDS = ("quick", "full")


@dataclass(frozen=True)
class CaseSelection:
    """Which cases.

    Attributes:
        kind: `quick`: those that the bundle carries, and some that are made where the module's code
            is here (`plan_further`); `full`: every size, state and kind of value.
        extra: further ones, as `batch=3,time=17,inputs=large`.
        only: the names of those that remain; all where there is none.
        seed: of the full sweep's random inputs.
        empty: whether those of no rows or no steps, at which some runtimes end their process, are
            among them.
        further: whether a quick check makes any besides those that the bundle carries.
    """

    kind: str = "quick"
    extra: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    seed: int = 0
    empty: bool = True
    further: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise choices("kind of cases", self.kind, KINDS)


def gather(
    bundle: Bundle,
    selection: CaseSelection,
    model: Model | None = None,
    isolation: Isolation | None = None,
) -> CaseSet:
    """Reads the stored cases and makes the others, with the given model or the rebuilt one.

    Args:
        bundle: whose cases.
        selection: which.
        model: what was exported, where it is in this process.
        isolation: the limits of the process in which the rebuilt module runs; None: in this one.

    Raises:
        RnnbenchError: the cases are damaged; or one was asked for that there is not, or that needs
            the module where its code is not on this machine.
    """
    stored = read_cases(bundle)
    skipped = {
        str(entry["name"]): str(entry["skipped"])
        for entry in bundle.manifest["cases"]
        if "skipped" in entry
    }
    names = {case.name for case in stored}
    asked = (*selection.extra, *(name for name in selection.only if name not in names))
    named = {parse_case(text, bundle.traced, seed=selection.seed).name for text in asked}
    further = selection.kind == "full" or (selection.further and not selection.only)
    made = CaseSet(())
    if asked or further:
        wanted = Wanted(selection.kind, asked, further, selection.seed)
        try:
            made = _make(bundle, wanted, model, isolation)
        except RnnbenchError as error:
            if asked:
                raise
            said = f"{bundle.name}: only the stored cases were used: {one_line(error)}"
            made = CaseSet((), notes=(said,))
    skipped |= made.skipped
    every = (*stored, *made.cases)
    cases = {case.name: case for case in every if selection.empty or not case.empty}
    if selection.only:
        chosen = named | set(selection.only)
        cases = {name: case for name, case in cases.items() if name in chosen}
        skipped = {name: why for name, why in skipped.items() if name in chosen}
    if not cases:
        why = "; ".join(skipped.values())
        raise RnnbenchError(f"{bundle.path}: no case is left to compare at ({why})")
    usual = stored if any(not c.empty and not c.feed_mode.chunks for c in stored) else every
    return CaseSet(tuple(cases.values()), skipped, notes=made.notes, usual=tuple(usual))


def _make(
    bundle: Bundle, wanted: Wanted, model: Model | None, isolation: Isolation | None
) -> CaseSet:
    """The cases that are not stored; a module that ends its process takes no check with it."""
    from rnnbench.models.rebuild import trained

    if model is not None:
        return make_wanted(bundle, model, wanted, file_that_rounds(bundle, model))
    if isolation is None:
        return _make(bundle, wanted, trained(bundle), None)
    job = Job("eager", "eager", None, bundle.path, trust_code=bundle.trust_code)
    seconds = 2 * SECONDS[wanted.kind] + isolation.seconds
    with Worker(job, seconds=seconds, memory=isolation.memory) as worker:
        return from_message(*worker.cases(asdict(wanted)))

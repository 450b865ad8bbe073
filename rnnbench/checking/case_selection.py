"""The cases of one check: the stored ones, and those that the rebuilt module answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time

from rnnbench.cases.cases import Case, CaseSet, make_cases
from rnnbench.cases.plans import Plan, parse_case, plan_further, plan_sweep
from rnnbench.cases.stored import read_cases
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, choices, one_line
from rnnbench.core.model import Model

KINDS = ("quick", "full")
_SECONDS = {"quick": 30, "full": 1200}  # of CPU that the module may take for further cases


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


def gather(bundle: Bundle, selection: CaseSelection, model: Model | None = None) -> CaseSet:
    """Reads the stored cases and makes the others, with the given model or the rebuilt one.

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
    asked = [*selection.extra, *(name for name in selection.only if name not in names)]
    asked_plans = [parse_case(text, bundle.traced, seed=selection.seed) for text in asked]
    notes: tuple[str, ...] = ()
    made: Sequence[Case] = ()
    if asked_plans or selection.kind == "full" or (selection.further and not selection.only):
        try:
            made, failed, notes = _make(bundle, selection, asked_plans, model)
            skipped |= failed
        except RnnbenchError as error:
            if asked_plans:
                raise
            notes = (f"{bundle.name}: only the stored cases were used: {one_line(error)}",)
    cases = {case.name: case for case in (*stored, *made) if selection.empty or not case.empty}
    if selection.only:
        wanted = {plan.name for plan in asked_plans} | set(selection.only)
        cases = {name: case for name, case in cases.items() if name in wanted}
        skipped = {name: why for name, why in skipped.items() if name in wanted}
    if not cases:
        why = "; ".join(skipped.values())
        raise RnnbenchError(f"{bundle.path}: no case is left to compare at ({why})")
    return CaseSet(tuple(cases.values()), skipped, notes=notes)


def _make(
    bundle: Bundle, selection: CaseSelection, asked: Sequence[Plan], model: Model | None
) -> tuple[tuple[Case, ...], dict[str, str], tuple[str, ...]]:
    """The cases that are not stored, why the module cannot run some, and what was left out."""
    from rnnbench.models.rebuild import trained

    model = trained(bundle) if model is None else model
    fixed = {d: bundle.traced[d] for d in bundle.manifest.get("frozen") or ()}
    for plan in asked:
        if not fixed.items() <= plan.dims.items():
            raise RnnbenchError(
                f"case {plan.name!r}: {bundle.name} was exported for "
                f"{', '.join(f'{d}={n}' for d, n in fixed.items())} alone"
            )
    plans = list(asked)
    if selection.kind == "full":
        plans += plan_sweep(model, bundle.traced, fixed, seed=selection.seed)
    elif selection.further and not selection.only:
        plans += plan_further(model, bundle.traced, fixed, seed=selection.seed)
    cases: list[Case] = []
    skipped: dict[str, str] = {}
    left: list[str] = []
    before = process_time()
    for plan in {plan.name: plan for plan in plans}.values():
        if plan not in asked and process_time() - before > _SECONDS[selection.kind]:
            left.append(plan.name)
            continue
        made = make_cases(model, [plan])
        cases += made.cases
        skipped |= {name: f"the model itself fails: {why}" for name, why in made.skipped.items()}
    return tuple(cases), skipped, _left_out(bundle, left, selection.kind)


def _left_out(bundle: Bundle, left: Sequence[str], kind: str) -> tuple[str, ...]:
    """A line about the cases that would have taken too long."""
    if not left:
        return ()
    return (
        f"{bundle.name}: {len(left)} further cases were left out, since the module takes long "
        f"({_SECONDS[kind]} s of CPU for those before): --case {left[0]} adds one",
    )

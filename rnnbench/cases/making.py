"""The cases that a check makes besides those that a bundle carries, and how they travel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import process_time
from typing import Any

from rnnbench.cases.cases import Case, CaseSet, count_outputs, make_cases
from rnnbench.cases.plans import Plan, parse_case, plan_further, plan_sweep
from rnnbench.cases.room import MADE, room_for
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays, Model

SECONDS = {"quick": 30, "full": 1200}
"""Of CPU that the module may take for further cases, by the kind of check."""

_GROUP = 6  # cases
_PARTS = ("inputs", "reference", "eager", "noise")


@dataclass(frozen=True)
class Wanted:
    """What is to be made.

    Attributes:
        kind: `quick` or `full`.
        asked: cases that were named, as `batch=3,time=17`; they are made however long that takes.
        further: whether any besides these.
        seed: of the inputs.
    """

    kind: str
    asked: tuple[str, ...] = ()
    further: bool = True
    seed: int = 0


def make_wanted(bundle: Bundle, model: Model, wanted: Wanted) -> CaseSet:
    """Runs the module at each of them, as long as there is time.

    Raises:
        RnnbenchError: one that was asked for is none, or the bundle has other sizes frozen.
    """
    fixed = {d: bundle.traced[d] for d in bundle.manifest.get("frozen") or ()}
    asked = [parse_case(text, bundle.traced, seed=wanted.seed) for text in wanted.asked]
    for plan in asked:
        if not fixed.items() <= plan.dims.items():
            raise RnnbenchError(
                f"case {plan.name!r}: {bundle.name} was exported for "
                f"{', '.join(f'{d}={n}' for d, n in fixed.items())} alone"
            )
    plans = list(asked)
    if wanted.further:
        others = plan_sweep if wanted.kind == "full" else plan_further
        room = room_for(model, count_outputs(model), bundle.traced, MADE, fixed)
        plans += others(model, bundle.traced, fixed, room, seed=wanted.seed)
    plans = list({plan.name: plan for plan in plans}.values())
    cases: list[Case] = []
    skipped: dict[str, str] = {}
    narrow: dict[str, str] = {}
    left: list[str] = []
    before = process_time()
    for some in (asked, *_groups(plans[len(asked) :])):
        if some is not asked and process_time() - before > SECONDS[wanted.kind]:
            left += [plan.name for plan in some]
            continue
        made = make_cases(model, some)
        cases += made.cases
        skipped |= {name: f"the model itself fails: {why}" for name, why in made.skipped.items()}
        narrow |= made.narrow
    notes = (*_left_out(bundle, left, wanted.kind), *_own_precision(bundle, narrow))
    return CaseSet(tuple(cases), skipped, narrow, notes)


def _groups(plans: Sequence[Plan]) -> list[Sequence[Plan]]:
    """A few at a time: what a group shares (weights in float64, moved weights) is made once."""
    return [plans[i : i + _GROUP] for i in range(0, len(plans), _GROUP)]


def _left_out(bundle: Bundle, left: Sequence[str], kind: str) -> tuple[str, ...]:
    """A line about the cases that would have taken too long."""
    if not left:
        return ()
    return (
        f"{bundle.name}: {len(left)} further cases were left out, since the module takes long "
        f"({SECONDS[kind]} s of CPU for those before): --case {left[0]} adds one",
    )


def _own_precision(bundle: Bundle, narrow: Mapping[str, str]) -> tuple[str, ...]:
    """A line about the cases of which there is no reference in float64."""
    if not narrow:
        return ()
    name, why = next(iter(narrow.items()))
    return (
        f"{bundle.name}: {len(narrow)} further cases are compared with the module in its own "
        f"precision, because float64 fails ({name}: {why})",
    )


def to_message(made: CaseSet) -> tuple[dict[str, Any], Arrays]:
    """JSON values and arrays by name, from which `from_message` makes the cases again."""
    said = [{"name": c.name, "dims": c.dims, "seed": c.seed, "scale": c.scale} for c in made.cases]
    arrays = {
        f"{i}/{part}/{name}": array
        for i, case in enumerate(made.cases)
        for part in _PARTS
        for name, array in getattr(case, part).items()
    }
    return {"cases": said, "skipped": made.skipped, "notes": list(made.notes)}, arrays


def from_message(header: Mapping[str, Any], arrays: Arrays) -> CaseSet:
    """The cases of a message."""
    parts: list[dict[str, Arrays]] = [{p: {} for p in _PARTS} for _ in header["cases"]]
    for key, array in arrays.items():
        number, part, name = key.split("/", 2)
        parts[int(number)][part][name] = array
    cases = tuple(
        Case(
            **said, inputs=p["inputs"], reference=p["reference"], eager=p["eager"], noise=p["noise"]
        )
        for said, p in zip(header["cases"], parts, strict=True)
    )
    return CaseSet(cases, dict(header["skipped"]), notes=tuple(header["notes"]))

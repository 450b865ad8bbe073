"""The cases that a check makes besides those that a bundle carries, and how they travel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import process_time
from typing import TYPE_CHECKING, Any

from rnnbench.cases.cases import Case, CaseSet, Rounded, count_outputs, make_cases
from rnnbench.cases.plans import parse_case, plan_further, plan_sweep
from rnnbench.cases.room import MADE, room_for
from rnnbench.cases.rounded import with_rounded
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays, Model

if TYPE_CHECKING:
    import torch

SECONDS = {"quick": 30, "full": 1200}
"""Of CPU that the module may take for further cases, by the kind of check."""

_GROUP = 6  # cases
_PARTS = ("inputs", "reference", "eager", "noise")
_ROUNDED = ("reference", "eager", "noise")


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


def make_wanted(
    bundle: Bundle, model: Model, wanted: Wanted, file: torch.nn.Module | None = None
) -> CaseSet:
    """Runs the module at each of them, as long as there is time.

    Args:
        bundle: what `export` wrote.
        model: the declaration and its module.
        wanted: which cases.
        file: the evaluation of the file that rounds values; None: there is none.

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
    names = {plan.name for plan in asked}
    rest = [p for p in {plan.name: plan for plan in plans}.values() if p.name not in names]
    groups = [make_cases(model, list({plan.name: plan for plan in asked}.values()))]
    done, before = 0, process_time()
    while rest:
        count = _next(done, process_time() - before, SECONDS[wanted.kind])
        if not count:
            break
        groups.append(make_cases(model, rest[:count]))
        done, rest = done + count, rest[count:]
    skipped = {name: why for made in groups for name, why in made.skipped.items()}
    skipped = {name: f"the model itself fails: {why}" for name, why in skipped.items()}
    narrow = {name: why for made in groups for name, why in made.narrow.items()}
    left = [plan.name for plan in rest]
    notes = (*_left_out(bundle, left, wanted.kind), *_own_precision(bundle, narrow))
    cases = [case for made in groups for case in made.cases]
    rounded = with_rounded(cases, model, file)
    return CaseSet(rounded, skipped, narrow, notes)


def _next(done: int, seconds: float, limit: float) -> int:
    """How many cases to make at once, which share weights in float64 and moved ones; 0: no time.

    Args:
        done: cases so far.
        seconds: that they took.
        limit: of all.
    """
    if not done:
        return 1
    there_is_time_for = int((limit - seconds) * done / max(seconds, 1e-9))
    return max(min(2 * done, _GROUP, there_is_time_for), 0)


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
    arrays |= {
        f"{i}/rounded-{part}/{name}": array
        for i, case in enumerate(made.cases)
        for part in _ROUNDED
        for name, array in getattr(case.rounded, part, {}).items()
    }
    return {"cases": said, "skipped": made.skipped, "notes": list(made.notes)}, arrays


def from_message(header: Mapping[str, Any], arrays: Arrays) -> CaseSet:
    """The cases of a message."""
    parts: list[dict[str, Arrays]] = [
        {p: {} for p in (*_PARTS, *(f"rounded-{r}" for r in _ROUNDED))} for _ in header["cases"]
    ]
    for key, array in arrays.items():
        number, part, name = key.split("/", 2)
        parts[int(number)][part][name] = array
    cases = tuple(
        Case(
            **said,
            inputs=p["inputs"],
            reference=p["reference"],
            eager=p["eager"],
            noise=p["noise"],
            rounded=_rounded_of(p),
        )
        for said, p in zip(header["cases"], parts, strict=True)
    )
    return CaseSet(cases, dict(header["skipped"]), notes=tuple(header["notes"]))


def _rounded_of(parts: Mapping[str, Arrays]) -> Rounded | None:
    own = [parts[f"rounded-{part}"] for part in _ROUNDED]
    return Rounded(own[0], own[1], own[2]) if own[0] else None

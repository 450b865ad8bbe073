"""What a file that rounds values to whole numbers is to give: itself, in float64.

Its products are of whole numbers, each the nearest one of a value (`--precision int8-dynamic`). So
the reference of its arithmetic is its own graph in float64, with that rounding; what the rounding
does to the module's outputs is its price. That the graph is the module's, but for the rounding, is
proved beside it (`rnnbench.checking.whole`).

Where a value is within a rounding of the middle of two whole numbers, an engine takes either. So
two of the runs that tell the noise take the upper one of each such pair, and the lower one: each
decision is another one in one of them, and is carried through to the outputs (`leaks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.cases.cases import Case, Rounded, layout_of, make_cases
from rnnbench.cases.plans import Plan
from rnnbench.cases.standard import standard_of
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays, Model
from rnnbench.models.precision import kept_signal

if TYPE_CHECKING:
    import torch

_QUANTA = 0.3
"""Of the noise of decisions: times `FACTOR` that is 3, and they are as large elsewhere as here."""


def with_rounded(
    cases: Sequence[Case], model: Model, file: torch.nn.Module | None
) -> tuple[Case, ...]:
    """The cases with what the file itself gives, where it can be evaluated.

    What evaluates the program that a file was written of can leave the rounding out: it is then
    judged as any runtime is, and a case at which it is not the module has no such reference.

    Args:
        cases: of the module.
        model: the declaration.
        file: the evaluation of the file; None: there is none.
    """
    if file is None or not cases:
        return tuple(cases)
    others = _unlike_the_module(cases, model, file)
    plans = [Plan(c.name, c.dims, c.seed, "") for c in cases if c.name not in others]
    given = {case.name: case.inputs for case in cases}
    evaluated = make_cases(replace(model, module=file), plans, given)
    found = {case.name: case for case in evaluated.cases}
    return tuple(
        beside_itself(case, found[case.name]) if case.name in found else case for case in cases
    )


def _unlike_the_module(cases: Sequence[Case], model: Model, file: torch.nn.Module) -> set[str]:
    """The cases at which the evaluation, without its rounding, gives another thing.

    In float32 it is of no use where inputs are so large that roundings decide what comes out.
    """
    from rnnbench.models.calls import call, undisturbed

    without = getattr(file, "unrounded", None)
    if not callable(without):  # of a file, which is judged without it in a runtime
        return set()
    found: set[str] = set()
    standard = standard_of(layout_of(model, cases), cases)
    with undisturbed(file), without():
        for case in cases:
            if case.empty or case.scale > 1:
                continue
            try:
                outputs = call(file, model.inputs, model.outputs, case.inputs)
            except Exception:  # at none: then there is no reference there, either
                continue
            if any(standard.compare(case, name, array).reason for name, array in outputs.items()):
                found.add(case.name)
    return found


def judged(case: Case, rounds: bool) -> Case:
    """A case with what an artifact is to give.

    Args:
        case: with what the module gives.
        rounds: whether the artifact is the file that rounds values.

    Raises:
        RnnbenchError: what that gives itself could not be worked out.
    """
    if rounds and case.rounded is None:
        raise RnnbenchError(
            f"there is nothing to judge a file that rounds values by at {case.name}: its own graph "
            "could not be evaluated; export it again"
        )
    return case.as_rounded() if rounds else case


def beside_itself(case: Case, own: Case) -> Case:
    """A case of the module, with what the file gives at the same inputs."""
    return replace(case, rounded=Rounded(own.reference, own.eager, _noise(case.noise, own.noise)))


def _noise(module: Arrays, file: Arrays) -> Arrays:
    """That of the module's arithmetic, or of decisions, whichever is the larger."""
    found: Arrays = {}
    for name, noise in file.items():
        own = (noise * np.float32(_QUANTA)).astype(np.float32)
        other = module.get(name, own)
        found[name] = np.fmax(own, other).astype(np.float32) if other.shape == own.shape else own
    return found


def moved(cases: Sequence[Case], outputs: Sequence[str]) -> Mapping[str, float]:
    """How many decibels each output of floats is above what the rounding changes, at least."""
    found: dict[str, float] = {}
    for case in cases:
        if case.rounded is None or case.empty:
            continue
        own = {name: case.reference[name] for name in outputs}
        for name, db in kept_signal(own, case.rounded.reference).items():
            found[name] = min(found.get(name, db), db)
    return found

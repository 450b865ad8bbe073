"""By what the outputs of what is timed are judged: the rule and the cases of `check`.

The module runs at the inputs that are timed, in float64 and, moved by roundings, in its own
precision (`cases/noise.py`); of a bundle whose file rounds values, so does the evaluation of that
file. The typical sizes of channels are from a bundle's usual cases: of one
row and a last state, each channel has a single value, which may be near 0 by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnbench.benchmarking.measuring.networks import Network, inputs_for, sizes_for
from rnnbench.benchmarking.plan import Conditions
from rnnbench.benchmarking.results import WRONG
from rnnbench.cases.cases import Case, count_outputs, layout_of, make_cases
from rnnbench.cases.feeding import StreamLayout
from rnnbench.cases.least_sizes import with_least_sizes
from rnnbench.cases.plans import Plan, plan_cases
from rnnbench.cases.room import STORED, room_for
from rnnbench.cases.rounded import with_rounded
from rnnbench.cases.standard import Standard, standard_of
from rnnbench.cases.stored import read_cases
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays, Model, TensorSpec, sample_inputs
from rnnbench.formats._rounding import file_that_rounds
from rnnbench.models.calls import on_cpu
from rnnbench.models.precision import coarseness_of

CUDA_TOLERANCE = 1e-2  # sums in TF32 are allowed for
GRADIENT_PART = 1e-4  # of the largest element of a parameter's gradient

Array = np.ndarray[Any, Any]

_TIMED = "timed"
_SEEDS = range(1, 9)  # of a model's own inputs, until one has a length that is not full


class WrongOutput(RnnbenchError):  # noqa: N818  (a finding, not a mistake)
    """What was to be timed computes something else."""


@dataclass(frozen=True)
class Trial:
    """At what a subject is judged, and by which rule.

    Attributes:
        standard: the rule.
        timed: with the inputs that are timed; None where the module's code is not here.
        others: further cases that it must be right at.
    """

    standard: Standard
    timed: Case | None
    others: tuple[Case, ...] = ()


def usual_cases(network: Network) -> tuple[Case, ...]:
    """The cases that a bundle of the model has, or would have; none where it fails at theirs."""
    if network.bundle is not None:
        return tuple(read_cases(network.bundle))
    from rnnbench.capture.tracing.sizes import traced_sizes

    model = network.twin or network.model
    with on_cpu(model.module):
        model = with_least_sizes(model, traced_sizes(model))
        traced = traced_sizes(model)
        try:
            room = room_for(model, count_outputs(model), traced, STORED)
        except Exception:  # a user's module may raise anything: an export says what
            return ()
        return make_cases(model, plan_cases(model, traced, room)).cases


def make_trial(network: Network, conditions: Conditions, usual: Sequence[Case]) -> Trial:
    """What is right at these sizes, and where else a subject is judged.

    Without the module's code that is known at the bundle's own cases alone.

    Args:
        network: what is timed.
        conditions: the sizes.
        usual: what `usual_cases` said.

    Raises:
        RnnbenchError: the module itself fails at the inputs that are to be timed.
    """
    model = network.model
    if not network.runnable:
        standard = standard_of(layout_for(network, usual), usual)
        return Trial(standard, None, tuple(small_cases(model, usual)))
    arrays, sizes = inputs_for(model, conditions), sizes_for(model, conditions)
    given = {_TIMED: arrays, **_with_ends(model, arrays, sizes)}
    made = _made(network, {dim: sizes[dim] for dim in model.dims}, given)
    stored: list[Case] = []
    if network.bundle is not None and network.bundle.rounds:
        # At these sizes it is judged by itself, and by what it gave as it was exported elsewhere.
        rounded = with_rounded([*made.values()], model, file_that_rounds(network.bundle, model))
        made = {case.name: case for case in rounded}
        stored = small_cases(model, usual)
    timed, others = made[_TIMED], [made[name] for name in given if name in made][1:]
    every = [*usual, *made.values()]
    standard = standard_of(layout_for(network, every), every)
    return Trial(standard, timed, (*others[:1], *stored))


def layout_for(network: Network, cases: Sequence[Case]) -> StreamLayout:
    """What feeding in chunks needs to know, with how coarse the network's arithmetic is."""
    if network.bundle is not None:
        return layout_of(network.bundle, cases)
    layout = layout_of(network.model, cases)
    coarseness = max(layout.coarseness, coarseness_of(network.price))
    return replace(layout, coarseness=coarseness)


def assert_right(
    actual: Arrays, case: Case, standard: Standard, device: str = "cpu", coarseness: float = 1.0
) -> None:
    """What is timed is what `check` would pass, in a runtime whose own functions are so accurate.

    Args:
        actual: what it gave.
        case: the inputs, and what is right there.
        standard: the rule.
        device: where it ran.
        coarseness: of the runtime.

    Raises:
        WrongOutput: it is not.
    """
    where = "" if case.name == _TIMED else f" {case_text(case)}"
    if actual.keys() != case.reference.keys():
        names = f"{', '.join(actual)} instead of {', '.join(case.reference)}"
        raise WrongOutput(f"{WRONG}{where}: {names}")
    for name, array in actual.items():
        if device == "cpu":
            reason = standard.compare(case, name, array, coarseness).reason
        else:
            close = np.allclose(array, case.reference[name], rtol=0, atol=CUDA_TOLERANCE)
            reason = "" if close else f"off by more than {CUDA_TOLERANCE}"
        if reason:
            raise WrongOutput(f"{WRONG}{where}: {name} {reason}")


def assert_gradients(actual: Arrays, exact: Arrays, device: str = "cpu") -> None:
    """What training would follow is the gradient, to float32.

    Args:
        actual: by the parameter's name.
        exact: in float64.
        device: where it ran.

    Raises:
        WrongOutput: one is off by more than a part of its largest element.
    """
    part = GRADIENT_PART if device == "cpu" else CUDA_TOLERANCE
    if actual.keys() != exact.keys():
        raise WrongOutput(f"{WRONG}: gradients of {', '.join(actual)}, not of {', '.join(exact)}")
    for name, gradient in exact.items():
        error = float(np.abs(actual[name] - gradient).max(initial=0))
        most = part * float(np.abs(gradient).max(initial=0))
        if not error <= most:
            raise WrongOutput(f"{WRONG}: the gradient of {name} is off by {error:.1e} > {most:.1e}")


def case_text(case: Case) -> str:
    """`where rows end after 16 of 32 steps`, or the name of a bundle's case."""
    return case.name if case.name.startswith("where ") else f"at its case {case.name}"


def _made(network: Network, dims: dict[str, int], given: Mapping[str, Arrays]) -> dict[str, Case]:
    """The cases by name; a loop must compute what its fused layer does.

    The roundings of both count: neither's own order of sums is the right one.
    """
    plans = [Plan(name, dims, 0, "what is timed") for name in given]
    found: list[dict[str, Case]] = []
    for model in filter(None, (network.model, network.twin)):
        with on_cpu(model.module):
            made = make_cases(model, plans, given)
        if _TIMED in made.skipped:
            why = made.skipped[_TIMED]
            raise RnnbenchError(f"the model itself fails at the inputs that are timed: {why}")
        found.append({case.name: case for case in made.cases})
    own, right = found[0], found[-1]
    return {
        name: replace(
            case,
            reference=right[name].reference,
            noise={n: np.fmax(a, right[name].noise[n]) for n, a in case.noise.items()},
        )
        for name, case in own.items()
        if name in right
    }


def _with_ends(model: Model, arrays: Arrays, sizes: dict[str, int]) -> dict[str, Arrays]:
    """The same inputs with rows that end early, where all that are timed are full.

    An engine that does not read lengths is right at full ones. The first that the module can run
    is used: some need so many steps.
    """
    lengths = [spec for spec in model.inputs if spec.role == "lengths"]
    full = max((int(arrays[s.name].max(initial=0)) for s in lengths), default=0)
    if full < 2 or not all(_full(arrays[spec.name], full) for spec in lengths):
        return {}
    if model.sample is not None:  # what else follows from lengths, that knows alone
        for seed in _SEEDS:
            drawn = sample_inputs(model, sizes, seed)
            if not all(_full(drawn[spec.name], full) for spec in lengths):
                return {"where rows end early": drawn}
        return {}
    return {
        f"where rows end after {steps} of {full} steps": arrays | _ending(lengths, arrays, steps)
        for steps in dict.fromkeys((full // 2, full - 1))
    }


def _ending(lengths: Sequence[TensorSpec], arrays: Arrays, steps: int) -> Arrays:
    return {spec.name: np.full_like(arrays[spec.name], steps) for spec in lengths}


def _full(lengths: Array, full: int) -> bool:
    return bool(np.all(lengths == full))


def small_cases(model: Model, cases: Sequence[Case]) -> list[Case]:
    """Those of a bundle at which a file is judged quickly.

    The smallest of several rows and steps, and where its rows are full, one where one is not.
    """
    whole = [case for case in cases if not case.empty and not case.feed_mode.chunks]
    whole.sort(key=lambda case: sum(case.dims.values()))
    several = [case for case in whole if min(case.dims.values(), default=2) > 1] or whole
    chosen = several[:1]
    names = [spec.name for spec in model.inputs if spec.role == "lengths"]

    def ragged(case: Case) -> bool:
        return any(len(np.unique(case.inputs[name])) > 1 for name in names)

    if names and not any(map(ragged, chosen)):
        chosen += [case for case in several if ragged(case)][:1]
    return chosen

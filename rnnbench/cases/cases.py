"""The inputs at which a bundle is judged, and what the module says to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnnbench.cases.feeding import FeedMode, StreamLayout, find_axes
from rnnbench.cases.inputs import make_inputs
from rnnbench.cases.noise import measure_noise
from rnnbench.cases.plans import Plan, plan_cases
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays, Dims, Model
from rnnbench.core.threads import torch_threads
from rnnbench.models.calls import call, call_float64, device_of, undisturbed
from rnnbench.models.precision import coarseness_of

__all__ = ["Case", "CaseSet", "layout_of", "make_cases", "plan_cases"]

_VMAP = (
    "torch.vmap has no rule for a layer in it, so that PyTorch cannot run the module either: call "
    "the layer on the whole batch, without vmap"
)


@dataclass(frozen=True)
class Rounded:
    """What a file that rounds values to whole numbers gives itself (`rounded.py`).

    Attributes:
        reference: its outputs in float64.
        eager: in float32.
        noise: the largest error of several runs of it, and of the module.
    """

    reference: Arrays
    eager: Arrays
    noise: Arrays


@dataclass(frozen=True)
class Case:
    """Inputs by name, and the outputs that belong to them.

    Attributes:
        name: the case's name.
        dims: the size of each dynamic dimension.
        inputs: the arrays to feed.
        reference: the outputs of the module in float64 (integers as they are).
        eager: the outputs of the module as it is.
        noise: the largest error of several runs of it, of each output of floats (`noise.py`); those
            of older bundles have none, and `eager` alone tells it.
        feed_mode: at once, or in chunks; the outputs are those of the whole either way.
        seed: of the random inputs.
        scale: how many times as large as usual its inputs or states are.
        of: the case with the same inputs at once, of one that is fed otherwise.
        rounded: what a file that rounds values gives itself, where the bundle has such a file.
    """

    name: str
    dims: dict[str, int]
    inputs: Arrays
    reference: Arrays
    eager: Arrays
    noise: Arrays = field(default_factory=dict)
    feed_mode: FeedMode = field(default_factory=FeedMode)
    seed: int = 0
    scale: float = 1.0
    of: str = ""
    rounded: Rounded | None = None

    @property
    def empty(self) -> bool:
        """Whether there are no rows or no steps at all."""
        return 0 in self.dims.values()

    def as_rounded(self) -> Case:
        """The case by which a file that rounds values is judged."""
        if self.rounded is None:
            return self
        own = self.rounded
        return replace(self, reference=own.reference, eager=own.eager, noise=own.noise)


@dataclass(frozen=True)
class CaseSet:
    """The cases of one check, or what became of plans.

    Attributes:
        cases: those that there are.
        skipped: case -> why the module itself cannot run it.
        narrow: case -> why float64 cannot, so that the module's own precision is the reference.
        notes: what else is to be known, a line each.
        usual: those that the bundle holds, by which sizes are typical: whichever cases are
            chosen, each is judged by the same.
    """

    cases: tuple[Case, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    narrow: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    usual: tuple[Case, ...] = ()


def make_cases(
    model: Model, plans: Sequence[Plan], given: Mapping[str, Arrays] | None = None
) -> CaseSet:
    """Runs the module on every plan, in its own precision and in float64.

    The module is in eval mode meanwhile, and afterwards as it was.

    Args:
        model: the declaration.
        plans: a case each.
        given: plan -> its inputs, where they are there already.
    """
    eager = _eager(model)

    def reference(arrays: Arrays) -> Arrays:
        return call_float64(model.module, model.inputs, model.outputs, arrays)

    known = given or {}
    inputs = {p.name: known[p.name] if p.name in known else make_inputs(model, p) for p in plans}
    for plan in plans:
        if plan.state == "carried" and plan.name not in known:
            inputs[plan.name] |= _carried(model, plan, eager)
    ours, failed = _run_all(eager, inputs)
    with torch_threads(1), undisturbed(model.module, double=True):
        exact, narrow = _run_all(reference, {name: inputs[name] for name in ours})
    for name in narrow:  # a module that insists on float32: its own outputs are the best there is
        exact[name] = {n: _widened(array) for n, array in ours[name].items()}
    for name, outputs in exact.items():
        exact[name] = {n: _within(array, ours[name][n]) for n, array in outputs.items()}
    noise = measure_noise(model.module, eager, inputs, ours, exact)
    cases = tuple(
        Case(
            name=p.name,
            dims=p.dims,
            inputs=inputs[p.name],
            reference=exact[p.name],
            eager=ours[p.name],
            noise=noise[p.name],
            seed=p.seed,
            scale=p.scale,
        )
        for p in plans
        if p.name in ours
    )
    return CaseSet(cases, failed, narrow)


def check_declaration(model: Model, plan: Plan) -> None:
    """Runs the module once, in its own precision.

    Raises:
        RnnbenchError: it fails on inputs of its own declaration, or gives nothing but NaN.
    """
    outputs, failed = _run_all(_eager(model), {plan.name: make_inputs(model, plan)})
    if failed:
        why = failed[plan.name]
        raise RnnbenchError(
            f"model {model.name!r}: {_VMAP}"
            if "Batching rule not implemented" in why
            else f"model {model.name!r} fails on inputs of its own declaration "
            f"({why}): correct the shapes, dtypes and order of the inputs, "
            "or the model"
        )
    for name, array in outputs[plan.name].items():
        if array.dtype.kind == "c":
            raise RnnbenchError(
                f"model {model.name!r} gives complex numbers as {name!r}, which no runtime takes: "
                "return their real and imaginary parts (torch.view_as_real)"
            )
        if array.dtype.kind == "f" and array.size and np.isnan(array).all():
            raise RnnbenchError(
                f"model {model.name!r} gives nothing but NaN as {name!r} for ordinary inputs: "
                "load its weights, or mend it, before it is exported"
            )


def count_outputs(model: Model) -> Callable[[Dims], int]:
    """How many numbers all outputs have at some sizes of the dynamic dimensions."""
    run = _eager(model)

    def count(dims: Dims) -> int:
        outputs = run(make_inputs(model, Plan("sizes", dict(dims), 0, "to be counted")))
        return sum(array.size for array in outputs.values())

    return count


def _eager(model: Model) -> Callable[[Arrays], Arrays]:
    def run(arrays: Arrays) -> Arrays:
        device = device_of(model.module)
        with torch_threads(1), undisturbed(model.module):
            return call(model.module, model.inputs, model.outputs, arrays, device=device)

    return run


def layout_of(model: Model | Bundle, cases: Sequence[Case]) -> StreamLayout:
    """What feeding in chunks needs to know; axes are found by comparing outputs."""
    found = [(case.dims, case.reference) for case in cases]
    axes = {dim: find_axes(found, dim) for dim in (model.batch_dim, model.time_dim)}
    return StreamLayout(
        tuple(model.inputs),
        dict(model.states),
        model.batch_dim,
        model.time_dim,
        axes[model.batch_dim],
        axes[model.time_dim],
        coarseness_of(_precision(model)),
    )


def _precision(model: Model | Bundle) -> Mapping[str, Any] | None:
    """The precision of arithmetic that has no reference of its own."""
    if getattr(model, "quantised", ()):  # a file whose values are rounded to whole numbers
        return {"name": "int8-dynamic"}
    if isinstance(model, Model) or any("whole" in a.details for a in model.artifacts.values()):
        return None
    return model.manifest.get("precision")


def _carried(model: Model, plan: Plan, run: Callable[[Arrays], Arrays]) -> Arrays:
    """States that a call with another sequence leaves behind."""
    before = replace(plan, seed=plan.seed + 1, state="zero")
    try:
        outputs = run(make_inputs(model, before))
    except Exception:  # the case itself will say why
        return {}
    return {name: outputs[target] for name, target in model.states.items()}


def _run_all(
    run: Callable[[Arrays], Arrays], inputs: dict[str, Arrays]
) -> tuple[dict[str, Arrays], dict[str, str]]:
    """The outputs by case, and why there are none by case."""
    results: dict[str, Arrays] = {}
    failed: dict[str, str] = {}
    for case, arrays in inputs.items():
        try:
            results[case] = run(arrays)
        except Exception as error:  # a user's module may raise anything
            failed[case] = one_line(error)
    return results, failed


def _within(exact: np.ndarray[Any, Any], eager: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The reference, and what the module itself gives where its own dtype has no such number.

    A mask of half of `torch.finfo(x.dtype).min` is -9e307 in float64, and -1.7e38 in float32.
    """
    if eager.dtype.kind != "f" or exact.shape != eager.shape:
        return exact
    beyond = np.isfinite(exact) & (np.abs(exact) > np.finfo(eager.dtype).max) & np.isfinite(eager)
    return np.where(beyond, eager.astype(exact.dtype), exact) if beyond.any() else exact


def _widened(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(np.float64) if array.dtype.kind == "f" else array

"""The inputs at which a bundle is judged, and what the module says to them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.cases.feeding import FeedMode, StreamLayout, find_axes
from rnnbench.cases.plans import Plan, make_inputs, plan_cases, plan_empty
from rnnbench.cases.streams import plan_streams
from rnnbench.core.bundle import CASES, Bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays, Model
from rnnbench.core.threads import torch_threads
from rnnbench.models.calls import call, call_float64, device_of, undisturbed

__all__ = ["Case", "CaseSet", "layout_of", "make_cases", "plan_cases", "read_cases", "write_cases"]


_VMAP = (
    "torch.vmap has no rule for a layer in it, so that PyTorch cannot run the module either: call "
    "the layer on the whole batch, without vmap"
)


@dataclass(frozen=True)
class Case:
    """Inputs by name, and the outputs that belong to them.

    Attributes:
        name: the case's name.
        dims: the size of each dynamic dimension.
        inputs: the arrays to feed.
        reference: the outputs of the module in float64 (integers as they are).
        eager: the outputs of the module as it is; their distance to `reference` is the noise floor.
        feed_mode: at once, or in chunks; the outputs are those of the whole either way.
        seed: of the random inputs.
    """

    name: str
    dims: dict[str, int]
    inputs: Arrays
    reference: Arrays
    eager: Arrays
    feed_mode: FeedMode = field(default_factory=FeedMode)
    seed: int = 0

    @property
    def empty(self) -> bool:
        """Whether there are no rows or no steps at all."""
        return 0 in self.dims.values()


@dataclass(frozen=True)
class CaseSet:
    """The cases of one check, or what became of plans.

    Attributes:
        cases: those that there are.
        skipped: case -> why the module itself cannot run it.
        narrow: case -> why float64 cannot, so that the module's own precision is the reference.
        notes: what else is to be known, a line each.
    """

    cases: tuple[Case, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    narrow: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def make_cases(model: Model, plans: Sequence[Plan]) -> CaseSet:
    """Runs the module on every plan, in its own precision and in float64.

    The module is in eval mode meanwhile, and afterwards as it was.
    """
    eager = _eager(model)

    def reference(arrays: Arrays) -> Arrays:
        return call_float64(model.module, model.inputs, model.outputs, arrays)

    inputs = {plan.name: make_inputs(model, plan) for plan in plans}
    for plan in plans:
        if plan.state == "carried":
            inputs[plan.name] |= _carried(model, plan, eager)
    ours, failed = _run_all(eager, inputs)
    with torch_threads(1), undisturbed(model.module, double=True):
        exact, narrow = _run_all(reference, {name: inputs[name] for name in ours})
    for name in narrow:  # a module that insists on float32: its own outputs are the best there is
        exact[name] = {n: _widened(array) for n, array in ours[name].items()}
    cases = tuple(
        Case(p.name, p.dims, inputs[p.name], exact[p.name], ours[p.name], seed=p.seed)
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


def _eager(model: Model) -> Callable[[Arrays], Arrays]:
    def run(arrays: Arrays) -> Arrays:
        device = device_of(model.module)
        with torch_threads(1), undisturbed(model.module):
            return call(model.module, model.inputs, model.outputs, arrays, device=device)

    return run


def write_cases(model: Model, folder: Path, plans: Sequence[Plan]) -> list[dict[str, Any]]:
    """Runs the module on every plan, on nothing at all, and in chunks; writes cases.npz.

    A case at which the module itself fails (a convolution that needs five steps), or in which it
    gives something else in chunks, is listed with the reason, and not compared.

    Returns:
        what the manifest says of the cases: name, dims, seed, note; `of` where a case has the
        arrays of another.
    """
    empty = plan_empty(plans, (model.batch_dim, model.time_dim))
    empty = tuple(plan for plan in empty if _has_inputs(model, plan))
    made = make_cases(model, (*plans, *empty))
    arrays = {
        f"{case.name}/{part}/{name}": array
        for case in made.cases
        for part, source in (("in", case.inputs), ("ref", case.reference), ("eager", case.eager))
        for name, array in source.items()
    }
    np.savez_compressed(folder / CASES, **arrays)  # type: ignore[arg-type]
    entries = [
        _entry(p, made) for p in (*plans, *empty) if p in plans or p.name not in made.skipped
    ]
    full = {case.name: case for case in made.cases if case.name not in made.narrow}
    return entries + plan_streams(model, layout_of(model, made.cases), full)


def _has_inputs(model: Model, plan: Plan) -> bool:
    """Whether `sample`, which owes inputs at sizes from 1 on, has some for none as well."""
    try:
        make_inputs(model, plan)
    except RnnbenchError:
        return False
    return True


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
    )


def read_cases(bundle: Bundle) -> list[Case]:
    """The cases of a bundle; nothing in the file is unpickled.

    Raises:
        RnnbenchError: cases.npz is missing or damaged, or lacks what the manifest promises.
    """
    file = bundle.path / CASES
    cases: list[Case] = []
    try:
        if not file.resolve().is_relative_to(bundle.path.resolve()):
            raise ValueError("it links to outside of the bundle")
        with np.load(file, allow_pickle=False) as stored:
            for entry in bundle.manifest["cases"]:
                if "skipped" not in entry:
                    cases.append(_case(bundle, entry, stored, cases))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RnnbenchError(
            f"{file} cannot be read ({one_line(error)}): export the model again"
        ) from None
    if not cases:
        raise RnnbenchError(f"{bundle.path} has no cases to compare at: export the model again")
    return cases


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


def _widened(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _entry(plan: Plan, made: CaseSet) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": plan.name,
        "dims": plan.dims,
        "seed": plan.seed,
        "note": plan.note,
    }
    if plan.name in made.skipped:
        entry["skipped"] = f"the model itself fails: {made.skipped[plan.name]}"
    if plan.name in made.narrow:
        why = made.narrow[plan.name]
        entry["reference"] = f"its own precision, because float64 fails: {why}"
    return entry


def _case(bundle: Bundle, entry: dict[str, Any], stored: Any, before: list[Case]) -> Case:
    name = str(entry["name"])
    if "of" in entry:
        whole = next((case for case in before if case.name == entry["of"]), None)
        if whole is None:
            raise KeyError(f"there is no case {entry['of']!r}, of which {name!r} is made")
        feed_mode = FeedMode(
            tuple(map(int, entry["chunks"])), bool(entry["interleaved"]), bool(entry["reset"])
        )
        return replace(whole, name=name, feed_mode=feed_mode)

    def read(part: str, names: Sequence[str]) -> Arrays:
        return {n: stored[f"{name}/{part}/{n}"] for n in names}

    return Case(
        name=name,
        dims=dict(entry["dims"]),
        inputs=read("in", [spec.name for spec in bundle.inputs]),
        reference=read("ref", bundle.outputs),
        eager=read("eager", bundle.outputs),
        seed=int(entry["seed"]),
    )

"""The inputs at which a bundle is judged, and what the module says to them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.bundle import CASES, Bundle
from rnnbench.errors import RnnbenchError, one_line
from rnnbench.model import Arrays, Dims, Model, sample_inputs
from rnnbench.modules import call, call_float64, device_of, undisturbed
from rnnbench.threads import torch_threads


@dataclass(frozen=True)
class Plan:
    """How the inputs of one case are made.

    Attributes:
        name: a key of cases.npz.
        dims: a size for each dynamic dimension.
        seed: of the random inputs.
        note: what the case is for.
        scale: the standard deviation of float data.
        zero_state: whether the states are zero, as at the start of a stream.
    """

    name: str
    dims: dict[str, int]
    seed: int
    note: str
    scale: float = 1.0
    zero_state: bool = False


@dataclass(frozen=True)
class Case:
    """Inputs by name, and the outputs that belong to them.

    Attributes:
        name: the case's name.
        dims: the size of each dynamic dimension.
        inputs: the arrays to feed.
        reference: the outputs of the module in float64 (integers as they are).
        eager: the outputs of the module as it is; their distance to `reference` is the noise floor.
    """

    name: str
    dims: dict[str, int]
    inputs: Arrays
    reference: Arrays
    eager: Arrays


def plan_cases(model: Model, traced: Dims, *, seed: int = 0) -> tuple[Plan, ...]:
    """The cases of a model: the traced shape and others, edges, states and large inputs.

    A variation that the declaration has no room for (no dynamic time, no state) is left out.
    """
    base = {dim: int(traced[dim]) for dim in model.dims}
    batch, time = model.batch_dim, model.time_dim
    longer = next(n for n in (37, 61, 2 * base.get(time, 0) + 1) if n > base.get(time, 0))
    wanted: list[tuple[str, dict[str, int], str]] = [
        ("traced", {}, "the shape at which the model was captured"),
        ("batch-1", {batch: 1}, "one row"),
        ("time-1", {time: 1}, "one step"),
        ("batch-1-time-1", {batch: 1, time: 1}, "one row, one step: how streams run"),
        ("wider", {batch: base.get(batch, 0) + 3}, "more rows than traced"),
        ("longer", {time: longer}, "more steps than traced"),
        ("shorter", {time: 2}, "two steps"),
        ("long", {batch: 2, time: 200}, "many steps, over which errors would grow"),
    ]
    for dim in model.dims:
        if dim not in (batch, time):
            wanted.append((f"other-{dim}", {dim: base[dim] + 1}, f"another {dim}"))
    plans: list[Plan] = []
    for name, change, note in wanted:
        if set(change) <= set(base) and base | change not in [plan.dims for plan in plans]:
            plans.append(Plan(name, base | change, seed + len(plans), note))
    return (*plans, *_special(model, base, seed + len(plans)))


def write_cases(model: Model, folder: Path, plans: Sequence[Plan]) -> list[dict[str, Any]]:
    """Runs the module on every case, in its own precision and in float64; writes cases.npz.

    The module is in eval mode meanwhile, and afterwards as it was. A case at which the module
    itself fails (a convolution that needs five steps) is listed with the reason, and not compared.

    Returns:
        what the manifest says of the cases: name, dims, seed, note.

    Raises:
        RnnbenchError: the module fails at the first case.
    """
    inputs = {plan.name: _inputs(model, plan) for plan in plans}

    def eager(arrays: Arrays) -> Arrays:
        device = device_of(model.module)
        return call(model.module, model.inputs, model.outputs, arrays, device=device)

    def reference(arrays: Arrays) -> Arrays:
        return call_float64(model.module, model.inputs, model.outputs, arrays)

    with torch_threads(1), undisturbed(model.module):
        ours, failed = _run_all(eager, inputs)
    if plans[0].name in failed:
        raise RnnbenchError(
            f"model {model.name!r} fails on inputs of its own declaration "
            f"({failed[plans[0].name]}): correct the shapes, dtypes and order of the inputs, or "
            "the model"
        )
    with torch_threads(1), undisturbed(model.module, double=True):
        exact, narrow = _run_all(reference, {name: inputs[name] for name in ours})
    for name in narrow:  # a module that insists on float32: its own outputs are the best there is
        exact[name] = {n: _widened(array) for n, array in ours[name].items()}
    arrays = {
        f"{plan.name}/{part}/{name}": array
        for plan in plans
        if plan.name not in failed
        for part, source in (("in", inputs), ("ref", exact), ("eager", ours))
        for name, array in source[plan.name].items()
    }
    np.savez_compressed(folder / CASES, **arrays)  # type: ignore[arg-type]
    return [_entry(plan, failed.get(plan.name), narrow.get(plan.name)) for plan in plans]


def read_cases(bundle: Bundle) -> list[Case]:
    """The cases of a bundle; nothing in the file is unpickled.

    Raises:
        RnnbenchError: cases.npz is missing or damaged, or lacks what the manifest promises.
    """
    file = bundle.path / CASES
    cases = []
    try:
        if not file.resolve().is_relative_to(bundle.path.resolve()):
            raise ValueError("it links to outside of the bundle")
        with np.load(file, allow_pickle=False) as stored:
            for entry in bundle.manifest["cases"]:
                if "skipped" not in entry:
                    cases.append(_case(bundle, entry, stored))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RnnbenchError(
            f"{file} cannot be read ({one_line(error)}): export the model again"
        ) from None
    if not cases:
        raise RnnbenchError(f"{bundle.path} has no cases to compare at: export the model again")
    return cases


def _special(model: Model, base: dict[str, int], seed: int) -> list[Plan]:
    """Zero states, and inputs that saturate gates; `sample` decides its own scale."""
    plans = []
    if any(spec.role == "state" for spec in model.inputs):
        plans.append(Plan("zero-state", base, seed, "the start of a stream", zero_state=True))
    floats = [s for s in model.inputs if s.role == "data" and s.dtype.startswith("float")]
    if floats and model.sample is None:
        plans.append(Plan("large", base, seed + 1, "inputs that saturate gates", scale=20.0))
    return plans


def _inputs(model: Model, plan: Plan) -> Arrays:
    arrays = sample_inputs(
        model, plan.dims, plan.seed, scale=plan.scale, zero_state=plan.zero_state
    )
    if plan.zero_state:  # `sample` knows nothing of it
        zero = {s.name: np.zeros_like(arrays[s.name]) for s in model.inputs if s.role == "state"}
        return arrays | zero
    return arrays


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


def _entry(plan: Plan, skipped: str | None, narrow: str | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": plan.name,
        "dims": plan.dims,
        "seed": plan.seed,
        "note": plan.note,
    }
    if skipped is not None:
        entry["skipped"] = f"the model itself fails: {skipped}"
    if narrow is not None:
        entry["reference"] = f"its own precision, because float64 fails: {narrow}"
    return entry


def _case(bundle: Bundle, entry: dict[str, Any], stored: Any) -> Case:
    name = str(entry["name"])

    def read(part: str, names: Sequence[str]) -> Arrays:
        return {n: stored[f"{name}/{part}/{n}"] for n in names}

    return Case(
        name=name,
        dims=dict(entry["dims"]),
        inputs=read("in", [spec.name for spec in bundle.inputs]),
        reference=read("ref", bundle.outputs),
        eager=read("eager", bundle.outputs),
    )

"""Which inputs a model is judged at: sizes, lengths, states and kinds of values, by name."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.core.model import Arrays, Dims, Model, TensorSpec, sample_inputs

INPUTS = ("random", "large", "zero", "constant", "denormal")
STATES = ("random", "zero", "carried")
LENGTHS = ("random", "full", "one")
LARGE = 20.0  # standard deviation: gates saturate

_CHOICES = {"inputs": INPUTS, "state": STATES, "lengths": LENGTHS}
_BATCHES, _TIMES, _LONG = (1, 2, 7), (1, 2, 13, 97), 1000


@dataclass(frozen=True)
class Plan:
    """How the inputs of one case are made.

    Attributes:
        name: of the case.
        dims: a size for each dynamic dimension.
        seed: of the random inputs.
        note: what the case is for.
        inputs: the values of the data; one of `INPUTS`.
        state: `random`, `zero` (the start of a stream) or `carried` (what an earlier call left).
        lengths: `random`, `full` or `one`; of several rows, one is full and one has one step.
    """

    name: str
    dims: dict[str, int]
    seed: int
    note: str
    inputs: str = "random"
    state: str = "random"
    lengths: str = "random"


def plan_cases(model: Model, traced: Dims, *, seed: int = 0) -> tuple[Plan, ...]:
    """The quick cases of a model: the traced shape and others, edges, states and kinds of values.

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
        if set(change) <= set(base):
            dims = model.fit(base | change)
            if dims not in [plan.dims for plan in plans]:
                plans.append(Plan(name, dims, seed + len(plans), note))
    return (*plans, *_special(model, base, seed + len(plans)))


def plan_sweep(model: Model, traced: Dims, fixed: Dims, *, seed: int = 0) -> tuple[Plan, ...]:
    """The full cases: every batch with every length, then every kind of value at one shape.

    Args:
        model: the declaration.
        traced: the sizes at which it was captured.
        fixed: the dimensions that cannot change, with their sizes.
        seed: changes all random inputs; each case has its own, which follows from its name.
    """
    base = {dim: int(traced[dim]) for dim in model.dims}
    batch, time = model.batch_dim, model.time_dim
    sizes = {dim: [base[dim], base[dim] + 1] for dim in base}
    if batch in base:
        sizes[batch] = sorted({*_BATCHES, *sizes[batch]})
    if time in base:
        sizes[time] = sorted({*_TIMES, *sizes[time]})
    shapes = [dict(zip(sizes, n, strict=True)) for n in itertools.product(*sizes.values())]
    if time in base:
        shapes += [base | ({batch: n} if batch in base else {}) | {time: _LONG} for n in (1, 2)]
    shapes = [model.fit(shape) for shape in shapes]
    shapes = [shape for shape in shapes if fixed.items() <= shape.items()]
    shapes = [s for i, s in enumerate(shapes) if s not in shapes[:i]]
    other = model.fit({d: n + 1 for d, n in base.items()}) | dict(fixed)
    variations = [(shape, "random", "random", "random") for shape in shapes]
    for kind, state in itertools.product(_kinds(model), _states(model)):
        variations.append((other, kind, state, "random"))
    if _has(model, "lengths") and model.sample is None:
        variations += [(other, "random", "random", lengths) for lengths in LENGTHS[1:]]
    plans = [_plan(dims, kind, state, lengths, seed) for dims, kind, state, lengths in variations]
    return tuple({plan.name: plan for plan in plans}.values())


def plan_empty(plans: Sequence[Plan], dims: Sequence[str]) -> tuple[Plan, ...]:
    """The shape of the first plan with nothing in it, for those `dims` whose size may change."""
    first = plans[0]
    return tuple(
        replace(first, name=f"empty-{dim}", dims=first.dims | {dim: 0}, note=f"no {dim} at all")
        for dim in dims
        if dim in first.dims and len({plan.dims[dim] for plan in plans}) > 1
    )


def parse_case(text: str, dims: Dims, *, seed: int = 0) -> Plan:
    """`batch=3,time=17,inputs=large,state=zero,lengths=one,seed=5` as a plan.

    Args:
        text: sizes of the dynamic dimensions, and what the values are like; all may be left out.
        dims: the size of each dynamic dimension that is not given.
        seed: of the sweep.

    Raises:
        RnnbenchError: it names something else; the message says what is possible.
    """
    sizes, kinds, own = dict(dims), {}, None
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, equals, value = (p.strip() for p in part.partition("="))
        if not equals or key not in (*dims, *_CHOICES, "seed"):
            raise RnnbenchError(
                f"case {text!r}: {part!r} is none of {', '.join(f'{d}=N' for d in dims)}, "
                f"{', '.join(f'{k}=' + '|'.join(v) for k, v in _CHOICES.items())}, seed=N"
            )
        if key in _CHOICES:
            if value not in _CHOICES[key]:
                raise choices(f"{key} of a case", value, _CHOICES[key])
            kinds[key] = value
        elif not value.isdecimal():
            raise RnnbenchError(f"case {text!r}: {part!r} must be a whole number, 0 or more")
        elif key == "seed":
            own = int(value)
        else:
            sizes[key] = int(value)
    kind, state, lengths = (kinds.get(key, values[0]) for key, values in _CHOICES.items())
    plan = _plan(sizes, kind, state, lengths, seed)
    return plan if own is None else replace(plan, name=f"{plan.name},seed={own}", seed=own)


def make_inputs(model: Model, plan: Plan) -> Arrays:
    """The arrays of a plan; `carried` states are random here, and come from a call elsewhere.

    Where a model has its own `sample`, that decides the values of data and lengths.
    """
    arrays = sample_inputs(
        model,
        plan.dims,
        plan.seed,
        scale=LARGE if plan.inputs == "large" else 1.0,
        zero_state=plan.state == "zero",
    )
    if plan.state == "zero":  # `sample` knows nothing of it
        zero = {s.name: np.zeros_like(arrays[s.name]) for s in model.inputs if s.role == "state"}
        arrays |= zero
    if model.sample is not None:
        return arrays
    made = {s.name: _valued(s, arrays[s.name], plan) for s in model.inputs}
    return arrays | made


def _valued(spec: TensorSpec, array: np.ndarray[Any, Any], plan: Plan) -> np.ndarray[Any, Any]:
    if spec.role == "lengths":
        return _lengths(array, plan)
    if spec.role != "data":
        return array
    if spec.dtype.startswith("float"):
        if plan.inputs == "denormal":
            tiny = float(np.finfo(spec.dtype).smallest_normal)
            small = np.clip(array, -3, 3).astype(np.float64) * tiny / 4
            return np.asarray(small, spec.dtype)
        constant = {"zero": 0.0, "constant": 0.5}.get(plan.inputs)
        return array if constant is None else np.full_like(array, constant)
    if plan.inputs in ("zero", "constant"):
        return np.full_like(array, 0 if plan.inputs == "zero" else (spec.high or 2) - 1)
    return array


def _lengths(array: np.ndarray[Any, Any], plan: Plan) -> np.ndarray[Any, Any]:
    if plan.lengths == "one":
        return np.ones_like(array)
    full = int(array.max(initial=0))  # `sample_inputs` makes one row full
    if plan.lengths == "full":
        return np.full_like(array, full)
    array = array.copy()
    if array.size > 1:
        array.reshape(-1)[-1] = min(1, full)
    return array


def _special(model: Model, base: dict[str, int], seed: int) -> list[Plan]:
    """Zero states, and other kinds of values; `sample` decides its own."""
    plans = []
    if _has(model, "state"):
        plans.append(Plan("zero-state", base, seed, "the start of a stream", state="zero"))
    kinds = [kind for kind in _kinds(model) if kind in ("large", "zero")]
    notes = {"large": "inputs that saturate gates", "zero": "silence"}
    plans += [
        Plan(kind, base, seed + i, notes[kind], inputs=kind) for i, kind in enumerate(kinds, 1)
    ]
    if _has(model, "lengths") and model.sample is None:
        plans.append(Plan("full-lengths", base, seed, "no row ends early", lengths="full"))
        if model.states and {model.batch_dim, model.time_dim} <= base.keys():
            dims = model.fit(base | {model.batch_dim: 2, model.time_dim: 200})
            plans.append(Plan("long-full-lengths", dims, seed, "to be streamed", lengths="full"))
    return plans


def _kinds(model: Model) -> tuple[str, ...]:
    data = [spec for spec in model.inputs if spec.role == "data" and spec.dtype != "bool"]
    if not data or model.sample is not None:
        return ("random",)
    if any(spec.dtype.startswith("float") for spec in data):
        return INPUTS
    return ("random", "zero", "constant")


def _states(model: Model) -> tuple[str, ...]:
    if not _has(model, "state"):
        return ("random",)
    return STATES if model.states else STATES[:2]


def _has(model: Model, role: str) -> bool:
    return any(spec.role == role for spec in model.inputs)


def _plan(dims: Mapping[str, int], inputs: str, state: str, lengths: str, seed: int) -> Plan:
    parts = [f"{dim}={size}" for dim, size in dims.items()]
    kinds = (("inputs", inputs), ("state", state), ("lengths", lengths))
    name = ",".join([*parts, *(f"{k}={v}" for k, v in kinds if v != "random")])
    own = zlib.crc32(f"{seed}/{name}".encode())
    return Plan(name or "fixed", dict(dims), own, "of the sweep", inputs, state, lengths)

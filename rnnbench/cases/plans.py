"""Which cases a model is judged at: sizes, lengths, states and kinds of values, by name."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rnnbench.cases.room import Room
from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.core.model import Dims, Model

_Variation = tuple[dict[str, int], str, str, str]  # sizes; inputs, state and lengths of `Plan`

SIZES = {"x3": 3.0, "x30": 30.0, "x300": 300.0}  # times the usual values
INPUTS = ("random", "large", "zero", "constant", "denormal", *SIZES, "every")
STATES = ("random", "zero", "carried", *SIZES)
LENGTHS = ("random", "full", "one", "equal", "tail")

_CHOICES = {"inputs": INPUTS, "state": STATES, "lengths": LENGTHS}
_BATCHES, _TIMES = (1, 2, 7), (1, 2, 13, 97)
_LONG = ((1, 1000), (2, 1000), (2, 1025), (2, 4097))  # rows and steps
# Around the sizes of blocks and vectors of engines: (rows, steps).
_BLOCKS = (
    *((8, 31), (17, 3), (2, 257), (3, 128), (17, 32)),
    *((2, 65), (8, 2), (1, 33), (3, 64), (2, 1025)),
)
_VOCABULARY = 17 * 257  # ids that one case can hold
_LARGER = ((8, 31), (2, 129))  # at which a full check tries large values as well


@dataclass(frozen=True)
class Plan:
    """How the inputs of one case are made.

    Attributes:
        name: of the case.
        dims: a size for each dynamic dimension.
        seed: of the random inputs.
        note: what the case is for.
        inputs: the values of the data; one of `INPUTS`. `every` is each id of a vocabulary.
        state: `random`, `zero` (the start of a stream), `carried` (what an earlier call left), or
            so many times as large.
        lengths: `random` (of several rows, one is full and one has one step), `full`, `one`,
            `equal` (all end at half of the time), or `tail` (none is full).
    """

    name: str
    dims: dict[str, int]
    seed: int
    note: str
    inputs: str = "random"
    state: str = "random"
    lengths: str = "random"

    @property
    def scale(self) -> float:
        """How many times as large as usual inputs or states are; of `SIZES` alone."""
        return max(SIZES.get(self.inputs, 1.0), SIZES.get(self.state, 1.0))


def plan_cases(
    model: Model, traced: Dims, room: Room | None = None, *, seed: int = 0
) -> tuple[Plan, ...]:
    """The quick cases of a model: the traced shape and others, edges, states and kinds of values.

    A variation that the declaration has no place for (no dynamic time, no state) is left out.

    Args:
        model: the declaration.
        traced: the sizes at which it was captured.
        room: what its outputs may take; None for as much as there is.
        seed: of all random inputs.
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
            dims = room.fit(dims, change) if room else dims
            if dims not in [plan.dims for plan in plans]:
                plans.append(Plan(name, dims, seed + len(plans), note))
    return (*plans, *_special(model, base, room, seed + len(plans)))


def plan_further(
    model: Model, traced: Dims, fixed: Dims, room: Room | None = None, *, seed: int = 0
) -> tuple[Plan, ...]:
    """The cases that a check makes besides those that a bundle carries.

    Rows and steps around the sizes of blocks and vectors; inputs and states 3, 30 and 300 times as
    large; each id of a small vocabulary; and lengths of every kind.

    Args:
        model: the declaration.
        traced: the sizes at which it was captured.
        fixed: the dimensions that cannot change, with their sizes.
        room: what its outputs may take; None for as much as there is.
        seed: of all random inputs.
    """
    variations: list[_Variation] = [
        (_sized(model, traced, fixed, room, size), "random", "random", "random") for size in _BLOCKS
    ]
    if model.sample is None:
        variations += _large(model, _sized(model, traced, fixed, room, (17, 12)))
        rows = _sized(model, traced, fixed, None, (17, 1)).get(model.batch_dim, 1)
        steps = _steps_for_every_id(model, rows)
        if steps:
            dims = _sized(model, traced, fixed, None, (rows, steps))
            variations.append((dims, "every", "random", "random"))
        if _has(model, "lengths"):
            dims = _sized(model, traced, fixed, room, (3, 9))
            variations += [(dims, "random", "random", kind) for kind in LENGTHS[1:]]
            # Of one row alone the random length is all of it: who ignores lengths is right there.
            dims = _sized(model, traced, fixed, room, (1, 9))
            variations.append((dims, "random", "random", "tail"))
    plans = [_plan(*variation, seed) for variation in variations]
    return tuple({plan.name: plan for plan in plans}.values())


def _sized(
    model: Model, traced: Dims, fixed: Dims, room: Room | None, size: tuple[int, int]
) -> dict[str, int]:
    """So many rows and steps, where they may change, and the other dimensions as they were."""
    base = {dim: int(traced[dim]) for dim in model.dims}
    wanted = dict(zip((model.batch_dim, model.time_dim), size, strict=True))
    dims = model.fit(base | {d: n for d, n in wanted.items() if d in base}) | dict(fixed)
    return room.fit(dims) if room else dims


def _large(model: Model, dims: dict[str, int]) -> list[_Variation]:
    """Inputs and states 3, 30 and 300 times as large."""
    free = [s for s in model.inputs if s.role == "data" and s.value is None]
    floats = any(s.dtype.startswith("float") for s in free)
    states = _has(model, "state")
    if not floats and not states:
        return []
    usual = "random"
    return [(dims, x if floats else usual, x if states else usual, usual) for x in SIZES]


def _steps_for_every_id(model: Model, rows: int) -> int:
    """The steps that so many rows need for each id of all small vocabularies; 0 for none."""
    data = [s for s in model.inputs if s.role == "data" and s.dtype.startswith("int") and s.high]
    ids = [s for s in data if s.high and s.high <= _VOCABULARY and model.time_dim in s.dims]
    steps = (-(-(s.high or 0) // (rows if model.batch_dim in s.dims else 1)) for s in ids)
    return max(steps, default=0)


def plan_sweep(
    model: Model, traced: Dims, fixed: Dims, room: Room | None = None, *, seed: int = 0
) -> tuple[Plan, ...]:
    """The full cases: every batch with every length, then every kind of value at one shape.

    Args:
        model: the declaration.
        traced: the sizes at which it was captured.
        fixed: the dimensions that cannot change, with their sizes.
        room: what its outputs may take; None for as much as there is.
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
        shapes += [base | ({batch: n} if batch in base else {}) | {time: t} for n, t in _LONG]
    shapes = [model.fit(shape) for shape in shapes]
    shapes = [room.fit(shape) if room else shape for shape in shapes]
    shapes = [shape for shape in shapes if fixed.items() <= shape.items()]
    shapes = [s for i, s in enumerate(shapes) if s not in shapes[:i]]
    other = model.fit({d: n + 1 for d, n in base.items()}) | dict(fixed)
    other = room.fit(other) if room else other
    variations: list[_Variation] = [(shape, "random", "random", "random") for shape in shapes]
    for kind, state in itertools.product(_kinds(model), _states(model)):
        variations.append((other, kind, state, "random"))
    if _has(model, "lengths") and model.sample is None:
        variations += [(other, "random", "random", lengths) for lengths in LENGTHS[1:3]]
    if model.sample is None:
        for size in _LARGER:
            variations += _large(model, _sized(model, traced, fixed, room, size))
    plans = [_plan(dims, kind, state, lengths, seed) for dims, kind, state, lengths in variations]
    plans += plan_further(model, traced, fixed, room, seed=seed)
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


def _special(model: Model, base: dict[str, int], room: Room | None, seed: int) -> list[Plan]:
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
            dims = room.fit(dims) if room else dims
            plans.append(Plan("long-full-lengths", dims, seed, "to be streamed", lengths="full"))
    return plans


def _kinds(model: Model) -> tuple[str, ...]:
    data = [s for s in model.inputs if s.role == "data" and s.dtype != "bool" and s.value is None]
    if not data or model.sample is not None:
        return ("random",)
    if any(spec.dtype.startswith("float") for spec in data):
        return INPUTS[:5]
    return ("random", "zero", "constant")


def _states(model: Model) -> tuple[str, ...]:
    if not _has(model, "state"):
        return ("random",)
    return STATES[:3] if model.states else STATES[:2]


def _has(model: Model, role: str) -> bool:
    return any(spec.role == role for spec in model.inputs)


def _plan(dims: Mapping[str, int], inputs: str, state: str, lengths: str, seed: int) -> Plan:
    parts = [f"{dim}={size}" for dim, size in dims.items()]
    kinds = (("inputs", inputs), ("state", state), ("lengths", lengths))
    name = ",".join([*parts, *(f"{k}={v}" for k, v in kinds if v != "random")])
    own = zlib.crc32(f"{seed}/{name}".encode())
    return Plan(name or "fixed", dict(dims), own, "of the sweep", inputs, state, lengths)

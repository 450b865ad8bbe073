"""Which attributes of a module are states, and of what shapes: found by calling it.

An attribute is a state if a call changes it, and a later call reads it: outputs, or what is kept,
are others where the attribute has other values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Model, TensorSpec, sample_inputs
from rnnbench.models.binding import bind, ordered
from rnnbench.models.calls import device_of
from rnnbench.models.kept import Kept, Key, changed, tensors_in

_SIZES = (3, 5, 7, 11, 13, 17, 19)  # of the batch, and of the other dimensions in their order
_SCALES = (1, 8, 64, 512)  # a front-end may need more samples
_PROBES = ((1, 1.0), (2, 0.0), (3, 10.0), (4, 1.0), (5, 0.1))  # seeds, and the size of inputs
_COUNTS = (1, 2, 3, 5, 10, 100, 1000)
_ELSEWHERE = "it keeps something in an object of its own: keep tensors in attributes"
_NOTHING = "it keeps no tensor from one call to the next: leave lift_state out"
_CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5, "equal_nan": True}


@dataclass(frozen=True)
class Slot:
    """An attribute that is a state.

    Attributes:
        key: where it is.
        structure: how its tensors are nested.
        specs: an input for each of its tensors.
    """

    key: Key
    structure: Any
    specs: tuple[TensorSpec, ...]


def two_sizes(model: Model, kept: Kept) -> tuple[dict[str, int], dict[str, int]]:
    """Two sizes of each dimension at which the module runs; no two are the same."""
    names = [d for d in model.dims if d == model.batch_dim]
    names += [d for d in model.dims if d not in names]
    sizes = dict(zip(names, _SIZES, strict=False))
    why = ""
    for scale in _SCALES:
        here = model.fit({d: n if d == model.batch_dim else n * scale for d, n in sizes.items()})
        there = model.fit({d: n + 1 if d == model.batch_dim else 2 * n for d, n in here.items()})
        try:
            for dims in (here, there):
                kept.restore()
                run(model, dims)
        except Exception as error:  # somebody's module may raise anything
            why = why or one_line(error)
            continue
        finally:
            kept.restore()
        return here, there
    raise not_lifted(model, f"it does not run: {why}")


def run(model: Model, dims: Mapping[str, int], seed: int = 0, scale: float = 1.0) -> list[Tensor]:
    """The outputs of a call; what the module keeps is what the call leaves."""
    given = inputs_at(model, dims, seed, scale)
    args, named = bind(model.module, model.inputs, given)
    returned = ordered(model.module(*args, **named), model.outputs)
    return [t.clone() for t in tensors_in(returned)]


def inputs_at(model: Model, dims: Mapping[str, int], seed: int, scale: float = 1.0) -> list[Tensor]:
    """Random inputs of some sizes, on the module's device."""
    arrays = sample_inputs(model, dims, seed, scale=scale)
    device = device_of(model.module)
    return [torch.from_numpy(arrays[spec.name]).to(device) for spec in model.inputs]


def find_states(
    model: Model, kept: Kept, dims: Mapping[str, int]
) -> tuple[list[Key], dict[Key, Any]]:
    """The attributes that a call changes: those that a later call reads, and what the others are.

    What is read in none of several probes is only kept to be looked at. A number in Python is to
    change nothing; it is left as it is after the first call, as `self.started = True` is.
    """
    kept.restore()
    first = run(model, dims)
    after = kept.snapshot()
    kept.restore()
    if not same(run(model, dims), first):
        raise not_lifted(
            model, "it keeps something in an object of its own: keep tensors in attributes"
        )
    found = changed(kept.start, after)
    candidates = [k for k in found if tensors_in(after[k])]
    numbers = [k for k in found if k not in candidates]
    if not candidates:
        raise not_lifted(
            model, "it keeps no tensor from one call to the next: leave lift_state out"
        )
    for key in numbers:
        values = (_moved(after[key], by) for by in _COUNTS)
        if _is_read(model, kept, after, key, values, [*candidates, key], dims):
            raise not_lifted(
                model,
                f"{key} is a number that calls count, and is read: make it a tensor, or compute it "
                "from the inputs",
            )
    states = [
        key
        for key in candidates
        if _is_read(model, kept, after, key, _perturbed(after[key]), candidates, dims)
    ]
    idle = {key: kept.start.get(key) for key in candidates if key not in states}
    return states, idle | {key: after[key] for key in numbers}


def _is_read(
    model: Model,
    kept: Kept,
    after: Mapping[Key, Any],
    key: Key,
    values: Iterable[Any],
    watched: Sequence[Key],
    dims: Mapping[str, int],
) -> bool:
    """Whether an output, or what is kept, is another where an attribute has other values."""
    tried = list(values)
    for seed, scale in _PROBES:
        plain = _next(model, kept, after, watched, dims, seed, scale)
        for value in tried:
            other = _next(model, kept, {**after, key: value}, watched, dims, seed, scale)
            if plain is None or other is None:
                return True
            left = {k: v for k, v in other.items() if k != key or tensors_in(value)}
            if any(not same(left[k], plain[k]) for k in left):
                return True
    return False


def _next(
    model: Model,
    kept: Kept,
    state: Mapping[Key, Any],
    keys: Sequence[Key],
    dims: Mapping[str, int],
    seed: int,
    scale: float,
) -> dict[Key | None, list[Tensor]] | None:
    """The outputs, under None, and the attributes after a call in a state; None where it raises."""
    kept.restore(state)
    try:
        outputs = run(model, dims, seed, scale)
    except Exception:  # a state that was moved may be none that it can have
        return None
    after = kept.snapshot()
    return {None: outputs} | {k: tensors_in(after[k]) for k in keys}


def _perturbed(value: Any) -> Iterator[Any]:
    """A state with other numbers in its tensors: a little more, much more, of the other sign, 0."""
    changes: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda t: t + (0.25 if t.is_floating_point() else 1),
        lambda t: t * 100 + (100.0 if t.is_floating_point() else 100),
        lambda t: -t - 1,
        torch.zeros_like,
    )
    for change in changes:

        def other(leaf: Any, change: Callable[[Tensor], Tensor] = change) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            return ~leaf if leaf.dtype == torch.bool else change(leaf)

        yield _pytree.tree_map(other, value)


def _moved(value: Any, by: int) -> Any:
    """Numbers in something nested, each so much more."""
    return _pytree.tree_map(
        lambda v: v + by if isinstance(v, int | float) and not isinstance(v, bool) else v, value
    )


def find_slots(
    model: Model, kept: Kept, keys: Sequence[Key], here: Mapping[str, int], there: Mapping[str, int]
) -> list[Slot]:
    """The states with their shapes, found at two sizes."""
    values = []
    for dims in (here, there):
        kept.restore()
        run(model, dims)
        values.append(kept.snapshot())
        run(model, dims)
        again = kept.snapshot()
        for key in keys:
            once, twice = (tensors_in(v[key]) for v in (values[-1], again))
            if [t.shape for t in once] != [t.shape for t in twice]:
                raise not_lifted(model, f"{key} has another shape after each call: fix its size")
    taken = {spec.name for spec in model.inputs} | set(model.outputs)
    slots = []
    for key in keys:
        structure = _pytree.tree_structure(values[0][key])
        pairs = list(zip(*(tensors_in(value[key]) for value in values), strict=True))
        if structure.num_leaves != len(pairs):
            raise not_lifted(model, f"{key} holds more than tensors: keep those alone in it")
        names = _names(key, len(pairs), taken)
        specs = [
            TensorSpec(
                name,
                _shape(model, key, pair, here, there),
                dtype=_dtype(model, key, pair[0]),
                role="state",
            )
            for name, pair in zip(names, pairs, strict=True)
        ]
        slots.append(Slot(key, structure, tuple(specs)))
    return slots


def _names(key: Key, count: int, taken: set[str]) -> list[str]:
    """An input's name for each tensor of an attribute: `mem`; `hidden_0`, `hidden_1`."""
    short = key.name.lstrip("_") or "state"
    long = f"{key.path}_{short}".replace(".", "_")
    for stem in (short, long, f"{long}_state"):
        stem = stem if stem[:1].isalpha() else f"state_{stem}"
        names = [stem] if count == 1 else [f"{stem}_{i}" for i in range(count)]
        if not taken & {n for name in names for n in (name, f"{name}_next")}:
            break
    taken.update(n for name in names for n in (name, f"{name}_next"))
    return names


def _shape(
    model: Model,
    key: Key,
    pair: tuple[Tensor, Tensor],
    here: Mapping[str, int],
    there: Mapping[str, int],
) -> tuple[int | str, ...]:
    """The dimensions of a state: fixed, or that of the inputs which it follows."""
    shape: list[int | str] = []
    for a, b in zip(*(t.shape for t in pair), strict=True):
        names = [d for d in model.dims if (here[d], there[d]) == (a, b)]
        if a != b and (not names or names[0] == model.time_dim):
            raise not_lifted(
                model,
                f"{key} is {list(pair[0].shape)} after a call with "
                f"{', '.join(f'{d}={n}' for d, n in here.items())}: "
                "a state has fixed sizes, and that of the batch",
            )
        shape.append(a if a == b else names[0])
    return tuple(shape)


def _dtype(model: Model, key: Key, tensor: Tensor) -> str:
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in ("float16", "float32", "float64", "int32", "int64", "bool"):
        raise not_lifted(model, f"{key} is {name}: keep it in float32")
    return name


def same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Whether tensors are the same up to rounding."""
    if [(t.shape, t.dtype) for t in a] != [(t.shape, t.dtype) for t in b]:
        return False
    return all(torch.allclose(p.double(), q.double(), **_CLOSE) for p, q in zip(a, b, strict=True))


def not_lifted(model: Model, text: str) -> RnnbenchError:
    """The error for a model whose state cannot be lifted."""
    return RnnbenchError(f"model {model.name!r}, its state lifted: {text}")

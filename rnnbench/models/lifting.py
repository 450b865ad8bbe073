"""State that a module keeps in its attributes becomes inputs and outputs.

    y = module(x)      reads self.h, and sets it anew
    y, h_next = module(x, h)          what is exported; h is 0 at the start of a stream

An attribute is a state if a call changes it and a later call's outputs depend on it: what is only
kept to be looked at (attention weights, say) is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Model, TensorSpec, sample_inputs
from rnnbench.models.binding import bind, ordered, own_forward
from rnnbench.models.calls import device_of, undisturbed
from rnnbench.models.kept import Kept, Key, changed, copied, holding, read_attribute, tensors_in

_SIZES = (3, 5, 7, 11, 13, 17, 19)  # of the batch, and of the other dimensions in their order
_SCALES = (1, 8, 64, 512)  # a front-end may need more samples
_PROBES = ((1, 1.0), (2, 0.0), (3, 10.0), (4, 1.0), (5, 0.1))  # seeds, and the size of inputs
_COUNTS = (1, 2, 3, 5, 10, 100, 1000)
_ELSEWHERE = "it keeps something in an object of its own: keep tensors in attributes"
_CHUNKS = 12  # of a stream in which the lifted module is compared
_CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5, "equal_nan": True}


def lifted(model: Model) -> Model:
    """The model with each state that its module keeps as an input and an output.

    Args:
        model: one with `lift_state`; another is returned as it is.

    Returns:
        A model without `lift_state`. Its module shares parameters and submodules with the given
        one, takes a state more for each tensor that is kept, of shape such as [batch, hidden], and
        keeps none. Where the first value is not 0, the state is the difference to it.

    Raises:
        RnnbenchError: the module keeps no state, or one that cannot be a tensor of fixed rank.
    """
    if not model.lift_state:
        return model
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.module.modules()):
        raise _error(model, "a scripted module's attributes cannot be set: lift the eager module")
    model = replace(model, lift_state=False)
    with undisturbed(model.module), torch.no_grad():
        kept = Kept(model.module)
        here, there = _two_sizes(model, kept)
        found, idle = _states(model, kept, here)
        slots = _slots(model, kept, found, here, there)
        initial = _initial(model, kept, slots, idle, (here, there))
        forward = _Forward(model, slots, initial, idle)
    vars(forward.module)["forward"] = forward
    specs = [spec for slot in slots for spec in slot.specs]
    result = replace(
        model,
        module=forward.module,
        inputs=(*model.inputs, *specs),
        outputs=(*model.outputs, *(f"{spec.name}_next" for spec in specs)),
        states={**model.states, **{spec.name: f"{spec.name}_next" for spec in specs}},
    )
    with undisturbed(model.module), torch.no_grad():
        for dims in (here, there):
            _compare(model, result, kept, dims)
    return result


@dataclass(frozen=True)
class _Slot:
    """An attribute that is a state.

    Attributes:
        key: where it is.
        structure: how its tensors are nested.
        specs: an input for each of its tensors.
    """

    key: Key
    structure: Any
    specs: tuple[TensorSpec, ...]


class _Forward:
    """A module's `forward` with its states as arguments and results.

    It calls an object like the module, which shares all with it but the attributes that are set.

    Args:
        model: the model as it is without.
        slots: what becomes a state.
        initial: of each tensor in them, what is added to its state; None for 0.
        idle: the attributes that a call changes and no output depends on, as they are before it.
    """

    def __init__(
        self,
        model: Model,
        slots: Sequence[_Slot],
        initial: Sequence[Tensor | None],
        idle: Mapping[Key, Any],
    ) -> None:
        self.module = object.__new__(type(model.module))
        vars(self.module).update(vars(model.module))
        for name, value in vars(model.module).items():  # methods that were bound to it
            if isinstance(value, MethodType) and value.__self__ is model.module:
                vars(self.module)[name] = MethodType(value.__func__, self.module)
        own = vars(self.module).get("forward")
        if own is not None and getattr(own, "__self__", None) is not self.module:
            raise _error(model, "its forward was replaced on the object: make it a method")
        self.own = own
        self.forward = own or type(model.module).forward.__get__(self.module)
        self.inputs, self.outputs = model.inputs, model.outputs
        self.slots, self.initial, self.idle = slots, initial, idle

    def __call__(self, *values: Tensor) -> tuple[Tensor, ...]:
        """(x, ..., h [batch, hidden], ...) -> (y, ..., h_next [batch, hidden], ...)."""
        given, states = values[: len(self.inputs)], list(values[len(self.inputs) :])
        # A copy: what the module does in place it would do to its argument.
        states = [_shifted(s.clone(), i, 1) for s, i in zip(states, self.initial, strict=True)]
        held = {key: copied(value) for key, value in self.idle.items()}
        for slot in self.slots:
            own = [states.pop(0) for _ in slot.specs]
            held[slot.key] = _pytree.tree_unflatten(own, slot.structure)
        with holding(self.module, held), own_forward(self.module, self.own):
            args, named = bind(self.forward, self.inputs, given)
            outputs = tensors_in(ordered(self.forward(*args, **named), self.outputs))
            after = [t for s in self.slots for t in tensors_in(read_attribute(self.module, s.key))]
        shifted = [_shifted(s, i, -1) for s, i in zip(after, self.initial, strict=True)]
        return (*outputs, *shifted)


def _shifted(state: Tensor, initial: Tensor | None, sign: int) -> Tensor:
    """A state from its difference to the initial value, or that from the state."""
    if initial is None:
        return state
    initial = initial.to(state.dtype)
    if state.dtype == torch.bool:
        return state ^ initial
    return state + sign * initial


def _two_sizes(model: Model, kept: Kept) -> tuple[dict[str, int], dict[str, int]]:
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
                _run(model, dims)
        except Exception as error:  # somebody's module may raise anything
            why = why or one_line(error)
            continue
        finally:
            kept.restore()
        return here, there
    raise _error(model, f"it does not run: {why}")


def _run(model: Model, dims: Mapping[str, int], seed: int = 0, scale: float = 1.0) -> list[Tensor]:
    """The outputs of a call; what the module keeps is what the call leaves."""
    given = _inputs(model, dims, seed, scale)
    args, named = bind(model.module, model.inputs, given)
    returned = ordered(model.module(*args, **named), model.outputs)
    return [t.clone() for t in tensors_in(returned)]


def _inputs(model: Model, dims: Mapping[str, int], seed: int, scale: float = 1.0) -> list[Tensor]:
    arrays = sample_inputs(model, dims, seed, scale=scale)
    device = device_of(model.module)
    return [torch.from_numpy(arrays[spec.name]).to(device) for spec in model.inputs]


def _states(model: Model, kept: Kept, dims: Mapping[str, int]) -> tuple[list[Key], dict[Key, Any]]:
    """The attributes that a call changes: those that a later call reads, and what the others are.

    What is read in none of several probes is only kept to be looked at. A number in Python is to
    change nothing; it is left as it is after the first call, as `self.started = True` is.
    """
    kept.restore()
    first = _run(model, dims)
    after = kept.snapshot()
    kept.restore()
    if not _same(_run(model, dims), first):
        raise _error(
            model, "it keeps something in an object of its own: keep tensors in attributes"
        )
    found = changed(kept.start, after)
    candidates = [k for k in found if tensors_in(after[k])]
    numbers = [k for k in found if k not in candidates]
    if not candidates:
        raise _error(model, "it keeps no tensor from one call to the next: leave lift_state out")
    for key in numbers:
        values = (_moved(after[key], by) for by in _COUNTS)
        if _is_read(model, kept, after, key, values, [*candidates, key], dims):
            raise _error(
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
            if any(not _same(left[k], plain[k]) for k in left):
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
        outputs = _run(model, dims, seed, scale)
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


def _slots(
    model: Model, kept: Kept, keys: Sequence[Key], here: Mapping[str, int], there: Mapping[str, int]
) -> list[_Slot]:
    """The states with their shapes, found at two sizes."""
    values = []
    for dims in (here, there):
        kept.restore()
        _run(model, dims)
        values.append(kept.snapshot())
        _run(model, dims)
        again = kept.snapshot()
        for key in keys:
            once, twice = (tensors_in(v[key]) for v in (values[-1], again))
            if [t.shape for t in once] != [t.shape for t in twice]:
                raise _error(model, f"{key} has another shape after each call: fix its size")
    taken = {spec.name for spec in model.inputs} | set(model.outputs)
    slots = []
    for key in keys:
        structure = _pytree.tree_structure(values[0][key])
        pairs = list(zip(*(tensors_in(value[key]) for value in values), strict=True))
        if structure.num_leaves != len(pairs):
            raise _error(model, f"{key} holds more than tensors: keep those alone in it")
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
        slots.append(_Slot(key, structure, tuple(specs)))
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
            raise _error(
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
        raise _error(model, f"{key} is {name}: keep it in float32")
    return name


def _initial(
    model: Model,
    kept: Kept,
    slots: Sequence[_Slot],
    idle: Mapping[Key, Any],
    sizes: Sequence[Mapping[str, int]],
) -> list[Tensor | None]:
    """What each state is before the first call, None for 0: what the attribute is, or 0.

    Raises:
        RnnbenchError: the first call does something else than one with these.
    """
    dims = sizes[0]
    kept.restore()
    expected = _run(model, dims)
    own = [v for slot in slots for v in _first_values(kept.start.get(slot.key), slot, sizes)]
    for initial in (own, [None] * len(own)):
        kept.restore()
        states = _zeros(
            [spec for slot in slots for spec in slot.specs], dims, device_of(model.module)
        )
        found = _Forward(model, slots, initial, idle)(*_inputs(model, dims, 0), *states)
        if _same(list(found[: len(expected)]), expected):
            return list(initial)
    names = ", ".join(str(slot.key) for slot in slots)
    raise _error(
        model,
        f"the first call does not begin with zeros in {names}: give them a first value, or reset "
        "the module before",
    )


def _first_values(
    value: Any, slot: _Slot, sizes: Sequence[Mapping[str, int]]
) -> list[Tensor | None]:
    """What an attribute is before the first call, as tensors that fit; None for 0 or another."""
    leaves = _pytree.tree_leaves(value)
    found: list[Tensor | None] = []
    for i, spec in enumerate(slot.specs):
        leaf = leaves[i] if len(leaves) == len(slot.specs) else None
        if isinstance(leaf, int | float):
            leaf = torch.tensor(leaf)
        given = leaf if isinstance(leaf, Tensor) and leaf.any() else None
        try:
            for dims in sizes if given is not None else ():
                given.expand(spec.resolve(dims))  # type: ignore[union-attr]
        except RuntimeError:  # of another shape than what a call leaves
            given = None
        found.append(given)
    return found


def _compare(model: Model, result: Model, kept: Kept, dims: Mapping[str, int]) -> None:
    """Streams chunks through the module that keeps its state, and through the one it is fed.

    Raises:
        RnnbenchError: they differ.
    """
    states = _zeros(result.inputs[len(model.inputs) :], dims, device_of(model.module))
    kept.restore()
    expected = [_run(model, dims, seed) for seed in range(_CHUNKS)]
    kept.restore()
    for seed, outputs in enumerate(expected):
        found = list(result.module(*_inputs(model, dims, seed), *states))
        states = found[len(outputs) :]
        if not _same(found[: len(outputs)], outputs):
            raise _error(
                model,
                f"call {seed + 1} of a stream gives something else, since the module keeps more "
                "than tensors in its attributes: keep all in them",
            )


def _zeros(specs: Sequence[TensorSpec], dims: Mapping[str, int], device: str) -> list[Tensor]:
    return [
        torch.zeros(s.resolve(dims), dtype=getattr(torch, s.dtype), device=device) for s in specs
    ]


def _same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    if [(t.shape, t.dtype) for t in a] != [(t.shape, t.dtype) for t in b]:
        return False
    return all(torch.allclose(p.double(), q.double(), **_CLOSE) for p, q in zip(a, b, strict=True))


def _error(model: Model, text: str) -> RnnbenchError:
    return RnnbenchError(f"model {model.name!r}, its state lifted: {text}")

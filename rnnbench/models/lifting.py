"""State that a module keeps in its attributes becomes inputs and outputs.

    y = module(x)      reads self.h, and sets it anew
    y, h_next = module(x, h)          what is exported; h is 0 at the start of a stream

An attribute is a state if a call changes it and a later call's outputs depend on it: what is only
kept to be looked at (attention weights, say) is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

from rnnbench.core.errors import one_line
from rnnbench.core.model import Model, TensorSpec
from rnnbench.models.binding import bind, ordered, own_forward
from rnnbench.models.calls import device_of, undisturbed
from rnnbench.models.kept import Kept, Key, copied, holding, read_attribute, tensors_in
from rnnbench.models.kept_states import (
    Slot,
    find_slots,
    find_states,
    inputs_at,
    not_lifted,
    run,
    same,
    two_sizes,
)

_CHUNKS = 12  # of a stream in which the lifted module is compared


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
        raise not_lifted(
            model, "a scripted module's attributes cannot be set: lift the eager module"
        )
    model = replace(model, lift_state=False)
    with undisturbed(model.module), torch.no_grad():
        kept = Kept(model.module)
        here, there = two_sizes(model, kept)
        found, idle = find_states(model, kept, here)
        slots = find_slots(model, kept, found, here, there)
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
    return result if model.evaluate is None else replace(result, evaluate=_of_the_given(model))


def _of_the_given(model: Model) -> Callable[[Any], Mapping[str, float]]:
    """Its own module is what `evaluate` was written for; it has the same parameters."""
    evaluate = model.evaluate
    assert evaluate is not None
    return lambda _: evaluate(model.module)


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
        slots: Sequence[Slot],
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
            raise not_lifted(model, "its forward was replaced on the object: make it a method")
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


def _initial(
    model: Model,
    kept: Kept,
    slots: Sequence[Slot],
    idle: Mapping[Key, Any],
    sizes: Sequence[Mapping[str, int]],
) -> list[Tensor | None]:
    """What each state is before the first call, None for 0: what the attribute is, or 0.

    Raises:
        RnnbenchError: the first call does something else than one with these.
    """
    dims = sizes[0]
    kept.restore()
    expected = run(model, dims)
    own = [v for slot in slots for v in _first_values(kept.start.get(slot.key), slot, sizes)]
    for initial in (own, [None] * len(own)):
        kept.restore()
        states = _zeros(
            [spec for slot in slots for spec in slot.specs], dims, device_of(model.module)
        )
        found = _Forward(model, slots, initial, idle)(*inputs_at(model, dims, 0), *states)
        if same(list(found[: len(expected)]), expected):
            return list(initial)
    names = ", ".join(str(slot.key) for slot in slots)
    raise not_lifted(
        model,
        f"the first call does not begin with zeros in {names}: give them a first value, or reset "
        "the module before",
    )


def _first_values(
    value: Any, slot: Slot, sizes: Sequence[Mapping[str, int]]
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
    expected = [run(model, dims, seed) for seed in range(_CHUNKS)]
    kept.restore()
    for seed, outputs in enumerate(expected):
        try:
            found = list(result.module(*inputs_at(model, dims, seed), *states))
        except RuntimeError as error:  # of the model's own code, or torch's of what it does
            raise not_lifted(
                model,
                f"call {seed + 1} of a stream fails ({one_line(error)}), since the module keeps "
                "more than tensors in its attributes (a batch size, say): take it from the input",
            ) from error
        states = found[len(outputs) :]
        if not same(found[: len(outputs)], outputs):
            raise not_lifted(
                model,
                f"call {seed + 1} of a stream gives something else, since the module keeps more "
                "than tensors in its attributes: keep all in them",
            )


def _zeros(specs: Sequence[TensorSpec], dims: Mapping[str, int], device: str) -> list[Tensor]:
    return [
        torch.zeros(s.resolve(dims), dtype=getattr(torch, s.dtype), device=device) for s in specs
    ]

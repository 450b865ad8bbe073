"""The tensors of a call, nested as a module takes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils import _pytree

from rnnbench.core.model import Role

_PRIMES = (23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107)


@dataclass(frozen=True)
class Port:
    """A tensor in a call.

    Attributes:
        name: of the input that it becomes.
        shape: its sizes.
        dtype: a numpy dtype's name.
        role: as in `TensorSpec`; `mask` beside.
        high: whole numbers are below it; of lengths the largest.
        low: the least whole number: 1 where 0 is what rows are filled up with.
        as_list: whether the module takes a list of numbers.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    role: Role = "data"
    high: int = 2
    as_list: bool = False
    low: int = 0

    def tensor(self, generator: np.random.Generator) -> torch.Tensor:
        """Random values; lengths fall from the largest, as most that take them demand."""
        array: np.ndarray[Any, Any]
        if self.role == "lengths":
            array = np.linspace(self.high, max(self.high // 2, 1), self.shape[0]).astype("int64")
            return torch.from_numpy(array)
        if self.role == "state":
            return torch.zeros(self.shape, dtype=getattr(torch, self.dtype))
        if self.dtype == "bool":
            array = generator.random(self.shape) < 0.5
        elif self.dtype.startswith("int"):
            array = generator.integers(min(self.low, self.high - 1), self.high, self.shape)
        else:
            array = generator.standard_normal(self.shape)
        return torch.from_numpy(np.asarray(array).astype(self.dtype))


class Packed(NamedTuple):
    """A sequence that is given packed: its steps, and how many of them are valid in each row.

    Attributes:
        steps: a port [batch, time, ...].
        lengths: a port [batch]; None where they are those of the argument before.
    """

    steps: Any
    lengths: Any


class Made(NamedTuple):
    """An object that is made of tensors.

    Attributes:
        of: its class.
        fields: what its constructor is given, by name.
    """

    of: type
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Sizes:
    """Sizes that no layer of a module has, so that an error that names one says which axis it is.

    Attributes:
        batch: of the first axis.
        time: of the second.
        other: of the third.
        last: of the fourth.
        layers: numbers that the module's parameters and attributes have.
        given: numbers that its constructor was given, in its order.
    """

    batch: int
    time: int
    other: int
    last: int
    layers: frozenset[int] = frozenset()
    given: tuple[int, ...] = ()

    @property
    def free(self) -> tuple[int, ...]:
        """All of them."""
        return (self.batch, self.time, self.other, self.last)


def sizes_for(module: nn.Module, given: Collection[int] = ()) -> Sizes:
    """Sizes that differ from all that a module is made of, and from those that are given."""
    tensors = (*module.parameters(), *module.buffers())
    known = [t for t in tensors if not isinstance(t, UninitializedBuffer | UninitializedParameter)]
    layers = set(given) | {n for tensor in known for n in tensor.shape}
    for part in module.modules():
        layers |= {v for v in vars(part).values() if type(v) is int}
    small = [n for n in (3, 5, 7, 11) if n not in layers]
    batch = small[0] if small else 3
    left = [n for n in _PRIMES if n not in layers]
    time, other, last = (left or list(_PRIMES))[:3] if len(left) > 2 else _PRIMES[:3]
    return Sizes(batch, time, other, last, frozenset(layers), tuple(dict.fromkeys(given)))


@dataclass(frozen=True)
class Argument:
    """A parameter of `forward`, and what it may be.

    Attributes:
        name: of the parameter.
        candidates: values, the likeliest first: ports, nested, and constants.
        by_name: whether it has to be given by its name.
        optional: whether it has a default.
        state: whether it may be a state, by its name.
        none: whether it is None where it is not given.
        tuples: what it may be where `forward` takes it apart.
    """

    name: str
    candidates: tuple[Any, ...] = field(repr=False)
    by_name: bool = False
    optional: bool = False
    state: bool = False
    none: bool = False
    tuples: tuple[Any, ...] = field(default=(), repr=False)


DEFAULT = "<the default>"
"""Stands for an argument that is not given."""


def as_ports(name: str, leaves: Sequence[torch.Tensor], structure: Any) -> Any:
    """Ports like some tensors that are a state, nested as these are."""
    ports = [
        Port(label, tuple(v.shape), str(v.dtype).removeprefix("torch."), "state")
        for label, v in zip(state_names(name, len(leaves)), leaves, strict=True)
    ]
    return _pytree.tree_unflatten(ports, structure)


def state_names(name: str, count: int) -> list[str]:
    """A name for each tensor of a state: `h0` and `c0` where there are two."""
    if count == 1:
        return [name]
    if count == 2 and not name[-1].isdigit():
        return ["h0", "c0"]
    return [f"{name}_{i}" for i in range(count)]


def walk(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The ports and constants in a value, with where they are."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from walk(part, (*path, key))
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from walk(part, (*path, i))
    else:
        yield path, value


def mapped(value: Any, change: Any) -> Any:
    """The same, with `change(leaf)` in the place of each leaf."""
    if isinstance(value, Mapping):
        return {key: mapped(part, change) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [mapped(part, change) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return change(value)

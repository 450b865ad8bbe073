"""Which axes of the example's tensors are dynamic, as `dynamic_shapes` says it."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import Dim
from torch.utils import _pytree

from rnnbench.core.errors import RnnbenchError
from rnnbench.models.example.axes import (
    Axis,
    axis_of,
    consistent,
    named_axis,
    place_of,
    shown,
    size_of,
)
from rnnbench.models.example.call import ExampleCall, scripted_parameters


def from_dynamic_shapes(call: ExampleCall, given: Any) -> list[Axis]:
    """The dynamic axes of the inputs.

    Args:
        call: the example.
        given: what `torch.export.export` takes as `dynamic_shapes`.

    Raises:
        RnnbenchError: it does not fit the arguments, or says what cannot be.
    """
    if hasattr(given, "dynamic_shapes"):
        raise RnnbenchError(
            f"dynamic_shapes is a {type(given).__name__}: give what its method dynamic_shapes("
            "model, args, kwargs) returns"
        )
    if given is None:
        return []
    values = _by_parameter(call)
    if isinstance(given, Mapping):
        values = _spread(values, given, call)
        unknown = [str(key) for key in given if key not in values]
        if unknown:
            raise RnnbenchError(
                f"dynamic_shapes names {', '.join(unknown)}: the arguments are {', '.join(values)}"
            )
        said = [given.get(key) for key in values]
    elif isinstance(given, list | tuple):
        if len(given) != len(values):
            raise RnnbenchError(
                f"dynamic_shapes has {len(given)} entries for {len(values)} arguments "
                f"({', '.join(values)}): give one for each, None where nothing is dynamic"
            )
        said = list(given)
    else:
        raise RnnbenchError(
            f"dynamic_shapes is a {type(given).__name__}: give a dict by argument, or a tuple"
        )
    axes = [
        axis
        for (key, value), one in zip(values.items(), said, strict=True)
        for axis in _walk(call, key, value, one)
    ]
    return consistent(axes, call)


@dataclass(frozen=True)
class _Place:
    """Stands for a tensor among the arguments.

    Attributes:
        number: of the input.
    """

    number: int


def _by_parameter(call: ExampleCall) -> dict[str, Any]:
    """The arguments by the parameter that takes them, places for tensors; all of `*args` in one."""
    numbers = itertools.count()
    leaves = [_Place(next(numbers)) if isinstance(v, torch.Tensor) else v for v in call.leaves]
    args, kwargs = _pytree.tree_unflatten(leaves, call.structure)
    if isinstance(call.own, torch.jit.ScriptModule):
        return dict(zip(scripted_parameters(call.own), args, strict=False))
    return dict(inspect.signature(call.own.forward).bind(*args, **kwargs).arguments)


def _spread(
    values: Mapping[str, Any], given: Mapping[str, Any], call: ExampleCall
) -> dict[str, Any]:
    """The arguments, with those of `**kwargs` by their own names, if they are given so."""
    found = dict(values)
    if isinstance(call.own, torch.jit.ScriptModule):
        return found
    for parameter in inspect.signature(call.own.forward).parameters.values():
        name = parameter.name
        if parameter.kind is parameter.VAR_KEYWORD and name in found and name not in given:
            found |= found.pop(name)
    return found


def _walk(call: ExampleCall, where: str, value: Any, said: Any) -> Iterator[Axis]:
    """The axes in one argument, nested as it is."""
    if isinstance(value, _Place):
        yield from _of_tensor(call, value.number, where, call.tensors[value.number], said)
        return
    children, structure = _pytree.tree_flatten(value, is_leaf=lambda v: v is not value)
    if structure.is_leaf():
        return  # a constant
    parts: Sequence[Any]
    keys: list[Any] = list(value) if isinstance(value, Mapping) else list(range(len(children)))
    if said is None:
        parts = [None] * len(children)
    elif isinstance(said, Mapping):
        unknown = [key for key in said if key not in keys]
        if unknown:
            raise RnnbenchError(
                f"dynamic_shapes of {where!r} names {unknown[0]!r}: choose from "
                f"{', '.join(map(str, keys))}"
            )
        parts = [said.get(key) for key in keys]
    elif isinstance(said, list | tuple) and len(said) == len(children):
        parts = said
    else:
        raise RnnbenchError(
            f"dynamic_shapes of {where!r} is {shown(said)}: nest it as the argument, which holds "
            f"{len(children)}"
        )
    for key, child, part in zip(keys, children, parts, strict=True):
        yield from _walk(call, f"{where}[{key!r}]", child, part)


def _of_tensor(
    call: ExampleCall, number: int, where: str, tensor: torch.Tensor, said: Any
) -> Iterator[Axis]:
    if said is None:
        return
    if isinstance(said, Mapping):
        pairs = list(said.items())
    elif isinstance(said, list | tuple) and len(said) == tensor.ndim:
        pairs = list(enumerate(said))
    else:
        raise RnnbenchError(
            f"dynamic_shapes of {where!r} is {shown(said)}: give a dict of axes, or an entry for "
            f"each of its {tensor.ndim} axes"
        )
    for axis, size in pairs:
        found = _of_axis(call, (number, axis_of(where, axis, tensor)), size)
        if found is not None:
            yield found


def _of_axis(call: ExampleCall, place: tuple[int, int], said: Any) -> Axis | None:
    """What one entry says; None where the axis is fixed."""
    size = size_of(call, place)
    kind = getattr(getattr(said, "type", None), "name", "")  # of Dim.AUTO, DYNAMIC and STATIC
    if said is None or kind == "STATIC":
        return None
    if isinstance(said, int) and not isinstance(said, bool):
        if said != size:
            raise RnnbenchError(f"{place_of(call, place)} is {size} in the example, not {said}")
        return None
    if isinstance(said, str):
        return named_axis(call, place, said)
    if kind:
        anonymous = f"{place[0]}#{place[1]}"
        least, most = _bounds(said)
        optional = kind == "AUTO"
        return Axis(place, size, anonymous, optional=optional, least=least, most=most)
    if isinstance(said, Dim) and hasattr(said, "root"):
        return _derived(call, place, said)
    if isinstance(said, Dim):
        least, most = _bounds(said)
        name = said.__name__
        return Axis(place, size, f"={name}", name, least=least, most=most)
    raise RnnbenchError(
        f"{place_of(call, place)} is given as {shown(said)}: give a Dim, a name, Dim.DYNAMIC, "
        "Dim.AUTO, Dim.STATIC, its size or None"
    )


def _derived(call: ExampleCall, place: tuple[int, int], said: Any) -> Axis:
    """`2 * batch + 1`: a multiple of a dimension and a number."""
    root = said.root
    offset = int(said.fn(0))
    factor = int(said.fn(1)) - offset
    size = size_of(call, place)
    if offset < 0:
        raise RnnbenchError(
            f"{place_of(call, place)} is given as {said.__name__}: name the smaller dimension, and "
            "give the larger one as that plus a number"
        )
    if (size - offset) % factor or size <= offset:
        raise RnnbenchError(
            f"{place_of(call, place)} is {size} in the example, not {said.__name__}"
        )
    least, most = _bounds(root)
    return Axis(
        place, (size - offset) // factor, f"={root.__name__}", root.__name__,
        factor=factor, offset=offset, least=least, most=most,
    )  # fmt: skip


def _bounds(dim: Any) -> tuple[int, int | None]:
    """The least and the largest size of a dimension, as far as they say anything."""
    least, most = dim.min, dim.max
    finite = isinstance(most, int) and most < 2**31
    return (max(int(least), 1) if isinstance(least, int) else 1, int(most) if finite else None)

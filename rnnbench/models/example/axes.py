"""Which axes of the example's tensors are dynamic, as `dynamic_axes` says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import Dim

from rnnbench.core.errors import RnnbenchError
from rnnbench.models.example.call import ExampleCall


@dataclass(frozen=True)
class Axis:
    """A dynamic axis of an input: `factor * size + offset` of a dimension.

    Attributes:
        place: the number of the input, and the axis.
        size: of the dimension in the example.
        dim: tells the dimension from others; axes of one name have the same.
        name: that the user gave the dimension; empty where there is none.
        label: what it is called where nobody gave it a name; may be empty.
        factor: how often the dimension is in the axis.
        offset: what is added.
        optional: whether it may be fixed where it cannot be dynamic (`Dim.AUTO`).
        least: the least size of the dimension that was asked for.
        most: the largest one, where there is one.
    """

    place: tuple[int, int]
    size: int
    dim: str
    name: str = ""
    label: str = ""
    factor: int = 1
    offset: int = 0
    optional: bool = False
    least: int = 1
    most: int | None = None


def from_dynamic_axes(
    call: ExampleCall, given: Mapping[str, Any], inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[list[Axis], dict[int, dict[int, str]]]:
    """The dynamic axes of the inputs, and names for axes of the outputs by their number.

    Args:
        call: the example.
        given: input or output name -> `{axis: name}` or a list of axes.
        inputs: the inputs' names, in order.
        outputs: the outputs' names, in order.

    Raises:
        RnnbenchError: it names something that there is not.
    """
    axes: list[Axis] = []
    named: dict[int, dict[int, str]] = {}
    for port, said in given.items():
        if port not in (*inputs, *outputs):
            raise RnnbenchError(
                f"dynamic_axes names {port!r}: the inputs are {', '.join(inputs)} and the outputs "
                f"{', '.join(outputs)} (input_names and output_names name them)"
            )
        pairs = _pairs(port, said)
        if port in inputs:
            number = inputs.index(port)
            axes += [
                named_axis(call, (number, axis), name, label=label) for axis, name, label in pairs
            ]
        else:
            named[outputs.index(port)] = {axis: name for axis, name, _ in pairs if name}
    return consistent(axes, call), named


def _pairs(port: str, said: Any) -> list[tuple[int, str, str]]:
    """Axis, name and label of each entry of one input or output in `dynamic_axes`."""
    if isinstance(said, Mapping) and all(isinstance(name, str) for name in said.values()):
        return [(axis, name, name) for axis, name in said.items()]
    if isinstance(said, list | tuple | set):
        # The names that torch's exporter makes.
        return [(axis, "", f"{port}_dynamic_axes_{i}") for i, axis in enumerate(said, 1)]
    if said is None:
        return []
    raise RnnbenchError(
        f"dynamic_axes of {port!r} is {shown(said)}: give {{axis: name}}, or a list of axes"
    )


def named_axis(call: ExampleCall, place: tuple[int, Any], name: str, *, label: str = "") -> Axis:
    """An axis whose dimension has a name, or none."""
    number, axis = place
    axis = axis_of(call.names[number], axis, call.tensors[number])
    dim = f"={name}" if name else f"{number}#{axis}"
    return Axis((number, axis), call.tensors[number].shape[axis], dim, name, label)


def axis_of(where: str, axis: Any, tensor: torch.Tensor) -> int:
    """The number of an axis, from 0.

    Raises:
        RnnbenchError: there is no such axis.
    """
    if not isinstance(axis, int) or not -tensor.ndim <= axis < tensor.ndim:
        raise RnnbenchError(
            f"{where!r} has no axis {axis!r}: its shape is {list(tensor.shape)} in the example"
        )
    return axis % tensor.ndim


def consistent(axes: list[Axis], call: ExampleCall) -> list[Axis]:
    """The axes in the order of the inputs; those of one name have one size in the example."""
    twice = next((a for i, a in enumerate(axes) if a.place in {b.place for b in axes[:i]}), None)
    if twice is not None:
        raise RnnbenchError(f"{place_of(call, twice.place)} is named twice: name it once")
    first: dict[str, Axis] = {}
    for axis in axes:
        other = first.setdefault(axis.dim, axis)
        if other.size != axis.size:
            raise RnnbenchError(
                f"dimension {axis.name!r} is {other.size} as {place_of(call, other.place)} and "
                f"{axis.size} as {place_of(call, axis.place)} in the example: give them two names, "
                "or one size"
            )
    return sorted(axes, key=lambda axis: axis.place)


def size_of(call: ExampleCall, place: tuple[int, int]) -> int:
    """The size of an axis in the example."""
    return int(call.tensors[place[0]].shape[place[1]])


def place_of(call: ExampleCall, place: tuple[int, int]) -> str:
    """What messages call an axis."""
    return f"axis {place[1]} of {call.names[place[0]]!r}"


def shown(value: Any) -> str:
    """What messages show of something that was given: of a `Dim` its name."""
    return value.__name__ if isinstance(value, Dim) else repr(value)

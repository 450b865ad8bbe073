"""The arguments of a call with one thing changed: a size, a shape, the order of axes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rnnbench.models.declaration.calling import Values, ports_in
from rnnbench.models.declaration.ports import Port, Sizes, mapped


def grown(values: Values, size: int, larger: int) -> Values:
    """All axes of one size, and lengths along them, with another."""

    def change(leaf: Any) -> Any:
        if not isinstance(leaf, Port):
            return leaf
        high = larger if leaf.role == "lengths" and leaf.high == size else leaf.high
        shape = tuple(larger if n == size else n for n in leaf.shape)
        return replace(leaf, shape=shape, high=high)

    return tuple(mapped(value, change) for value in values)


def sized(values: Values, port: Port, axis: int, size: int) -> Values:
    """The same with another size of one axis of one tensor."""
    shape = tuple(size if i == axis else n for i, n in enumerate(port.shape))
    return shaped(values, port, shape)


def shaped(values: Values, port: Port, shape: tuple[int, ...]) -> Values:
    """The same with another shape of one tensor."""
    return with_(values, port, replace(port, shape=shape))


def all_alike(values: Values, port: Port, shape: tuple[int, ...]) -> Values:
    """The same with another shape of all tensors of the role and shape of one."""

    def change(leaf: Any) -> Any:
        alike = isinstance(leaf, Port) and leaf.role == port.role and leaf.shape == port.shape
        return replace(leaf, shape=shape) if alike else leaf

    return tuple(mapped(value, change) for value in values)


def with_(values: Values, before: Port, after: Any) -> Values:
    """The same with something else in the place of one tensor."""
    return tuple(mapped(value, lambda v: after if v is before else v) for value in values)


def consistent(values: Values, s: Sizes) -> Values:
    """Numbers of steps that are as large as an axis still is."""
    left = [n for p in ports_in(values) if p.role == "data" for n in p.shape]
    left = [n for n in left if n not in (1, s.batch)]
    free = [n for n in left if n in s.free or n not in s.layers]

    def change(leaf: Any) -> Any:
        lost = isinstance(leaf, Port) and leaf.role == "lengths" and leaf.high not in left
        return replace(leaf, high=free[-1]) if lost and free else leaf

    return tuple(mapped(value, change) for value in values)


def without(values: Values, size: int) -> Values:
    """The same without the axes of one size."""

    def change(leaf: Any) -> Any:
        if not isinstance(leaf, Port) or len(leaf.shape) < 2:
            return leaf
        return replace(leaf, shape=tuple(n for n in leaf.shape if n != size) or leaf.shape)

    return tuple(mapped(value, change) for value in values)


def turned(values: Values, s: Sizes) -> Values:
    """The same with batch and time in the other order."""
    other = {s.batch: s.time, s.time: s.batch}

    def change(leaf: Any) -> Any:
        if not isinstance(leaf, Port) or not {s.batch, s.time} <= set(leaf.shape):
            return leaf
        return replace(leaf, shape=tuple(other.get(n, n) for n in leaf.shape))

    return tuple(mapped(value, change) for value in values)

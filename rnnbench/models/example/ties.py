"""Which dynamic axes are one dimension, and which dimension is the batch: found by running."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from rnnbench.core.errors import RnnbenchError
from rnnbench.models.declaration.ragged_dims import groupings
from rnnbench.models.example.axes import Axis
from rnnbench.models.example.draws import Draws

Groups = list[list[str]]

_MOST = 4  # dimensions of one size of which all ways to tie them are tried: 15
_BATCH = re.compile(r"(.*_)?(batch(_?size)?|bs|bsz|b|n|rows)", re.IGNORECASE)
_TIME = re.compile(
    r"(.*_)?(time|times|seq(uence)?(_?len(gth)?)?|len(gth)?|steps|frames|t|l)", re.IGNORECASE
)


def tie(draws: Draws) -> Groups:
    """The dimensions that are one, together; those that cannot be dynamic are left out.

    Those of one size in the example may be one. Each is tried with a size of its own, and stays
    apart where the module runs so: `x` of batch 2 with `h0` of batch 3 does not.

    Args:
        draws: how inputs are made at other sizes.

    Returns:
        Groups of `Axis.dim`.

    Raises:
        RnnbenchError: the module runs at no other sizes.
    """
    first = {axis.dim: axis for axis in reversed(draws.axes)}
    optional = [dim for dim, axis in first.items() if axis.optional]
    kept = [dim for dim in first if dim not in optional]
    everything = [*kept, *optional]
    if _runs(draws, first, _by_size(first, everything)):
        kept = everything
    else:
        for group in _by_size(first, optional):
            tried = ([*kept, *some] for some in _subsets(group))
            kept = next(
                (dims for dims in tried if _runs(draws, first, _by_size(first, dims))), kept
            )
    order = list(dict.fromkeys(axis.dim for axis in draws.axes))
    classes = _by_size(first, sorted(kept, key=order.index))
    if not _runs(draws, first, classes):
        raise _fixed(draws, first, classes)
    for group in list(classes):
        rest = [other for other in classes if other is not group]
        for parts in _splits(group):
            if len(parts) == 1 or _runs(draws, first, [*rest, *parts]):
                classes = [*rest, *parts]
                break
    return sorted(classes, key=lambda group: order.index(group[0]))


def batch_and_time(draws: Draws, groups: Groups) -> tuple[int | None, int | None]:
    """Which of the groups is the batch and which the time; None where there is none.

    By their names; else the batch is a dimension whose first row changes nothing but the first row
    of each output, and time the first other one.
    """
    named = {axis.dim: axis.name for axis in draws.axes}
    numbers = range(len(groups))

    def called(pattern: re.Pattern[str]) -> int | None:
        fits = (i for i in numbers if any(pattern.fullmatch(named[dim]) for dim in groups[i]))
        return next(fits, None)

    batch, time = called(_BATCH), called(_TIME)
    steps = set(draws.counted.values())
    if time is None:
        time = next((i for i in numbers if i != batch and steps & set(groups[i])), None)
    if batch is None:
        others = [i for i in numbers if i != time]
        batch = next((i for i in others if _rows_apart(draws, groups, i)), None)
    if time is None:
        time = next((i for i in numbers if i != batch), None)
    return batch, time


def _by_size(first: Mapping[str, Axis], dims: Sequence[str]) -> Groups:
    sizes = dict.fromkeys(first[dim].size for dim in dims)
    return [[dim for dim in dims if first[dim].size == size] for size in sizes]


def _subsets(group: list[str]) -> Iterator[tuple[str, ...]]:
    """What may be dynamic of a group, the most first; of a large one, few or all."""
    sizes: Sequence[int] = range(len(group), 0, -1)
    if len(group) > 2 * _MOST:
        sizes = (len(group), 2, 1)
    for size in sizes:
        yield from itertools.combinations(group, size)


def _splits(group: list[str]) -> Iterator[Groups]:
    """Every way to part a group, the most parts first; of a large one, one from the others."""
    if len(group) <= _MOST:
        numbered = groupings(range(len(group)))
        yield from ([[group[i] for i in part] for part in parts] for parts in numbered)
        return
    yield [[dim] for dim in group]
    yield [group]


def _runs(draws: Draws, first: Mapping[str, Axis], groups: Groups) -> bool:
    """Whether the module runs with a size of its own for each group."""
    return any(draws.run(sizes) is not None for sizes in _sizes(first, groups))


def _sizes(first: Mapping[str, Axis], groups: Groups) -> Iterator[dict[str, int]]:
    """Sizes other than the example's, no two alike: more, multiples, less where they can be."""
    given = [first[group[0]].size for group in groups]
    for way in ("more", "times", "less"):
        found: list[int] = []
        for size in given:
            larger = (size * k if way == "times" else size + k for k in itertools.count(2))
            less = range(size - 1, 1, -1) if way == "less" else ()
            tried = itertools.chain(less, larger)
            found.append(next(n for n in tried if n not in (*found, *given)))
        yield {dim: n for group, n in zip(groups, found, strict=True) for dim in group}


def _fixed(draws: Draws, first: Mapping[str, Axis], groups: Groups) -> RnnbenchError:
    """The error where a module does not run at other sizes; it names those that fail by one."""
    guilty = next(([group] for group in groups if not _runs(draws, first, [group])), groups)
    sizes = next(_sizes(first, guilty))
    call = draws.call
    said = []
    for axis in draws.axes:
        if axis.dim in sizes:
            size = axis.factor * sizes[axis.dim] + axis.offset
            said.append(f"axis {axis.place[1]} of {call.names[axis.place[0]]!r} is {size}")
    return RnnbenchError(
        f"{type(call.own).__name__} does not run where {', '.join(said)} and all else is as in "
        f"the example ({draws.why_not(sizes)}): make every axis dynamic that has to have the same "
        "size, or leave these fixed"
    )


def _rows_apart(draws: Draws, groups: Groups, number: int) -> bool:
    """Whether the first row along a dimension changes the first rows of the outputs alone."""
    first = {axis.dim: axis for axis in reversed(draws.axes)}
    for sizes in _sizes(first, groups):
        arrays = draws.draw(sizes, np.random.default_rng(0))
        before, after = draws.give(arrays), draws.give(_changed(draws, arrays, groups[number]))
        if before is not None and after is not None:
            size = sizes[groups[number][0]]
            pairs = zip(before, after, strict=True)
            return all(_first_row_alone(a, b, size) for a, b in pairs)
    return False


def _changed(draws: Draws, arrays: Sequence[Any], group: Sequence[str]) -> list[Any]:
    """The arrays with other numbers in the first row along a dimension."""
    rng = np.random.default_rng(1)
    changed = [array.copy() for array in arrays]
    for axis in draws.axes:
        array = changed[axis.place[0]]
        if axis.dim in group and array.dtype.kind == "f":
            row = array.take([0], axis.place[1])
            at = tuple(slice(1) if i == axis.place[1] else slice(None) for i in range(array.ndim))
            array[at] = row + rng.standard_normal(row.shape)
    return changed


def _first_row_alone(before: torch.Tensor, after: torch.Tensor, size: int) -> bool:
    if before.shape != after.shape:
        return False
    if torch.equal(before, after):
        return True
    return any(
        torch.equal(before.narrow(axis, 1, size - 1), after.narrow(axis, 1, size - 1))
        for axis in range(before.ndim)
        if before.shape[axis] == size and size > 1
    )

"""Which dynamic axes are one dimension, and which dimension is the batch: found by running."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from rnnbench.core.errors import RnnbenchError
from rnnbench.models.example.axes import Axis
from rnnbench.models.example.draws import Draws
from rnnbench.models.example.influence import Influence, influence

Groups = list[list[str]]

_MOST = 8  # dimensions of one size of which all subsets are tried: 256
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
        parts = _parted(draws, first, group, rest)
        if _runs(draws, first, [*rest, *parts]):
            classes = [*rest, *parts]
    return sorted(classes, key=lambda group: order.index(group[0]))


def batch_and_time(draws: Draws, groups: Groups) -> tuple[int | None, int | None]:
    """Which of the groups is the batch and which the time; None where there is none.

    By their names; else the batch is what numbers of steps are given for, or a dimension a row of
    which changes nothing but that row of each output. Time is another of the first input that has
    one: there that along which a step changes some steps of an output, else one that an output has.
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
    if batch is not None and time is not None:
        return batch, time
    changes = influences(draws, groups)
    if batch is None:
        counted = {axis.dim for axis in draws.axes if axis.place[0] in draws.counted}
        ways = [[bool(counted & set(group)) for group in groups]]
        ways += [[change == what for change in changes] for what in ("rows", "none")]
        batch = next((i for way in ways for i in numbers if i != time and way[i]), None)
    if time is None:
        time = _time(draws, groups, changes, batch)
    return batch, time


def influences(draws: Draws, groups: Groups) -> list[Influence | None]:
    """What an index along each of the groups changes in the outputs."""
    first = {axis.dim: axis for axis in reversed(draws.axes)}
    found: list[Influence | None] = []
    for group in groups:
        tried = (influence(draws, sizes, group) for sizes in _sizes(first, groups))
        found.append(next((change for change in tried if change is not None), None))
    return found


def _time(
    draws: Draws, groups: Groups, changes: Sequence[Influence | None], batch: int | None
) -> int | None:
    """The dimension of the first input that has one beside the batch; of several the likeliest."""
    data = [axis for axis in draws.axes if axis.place[0] not in draws.counted]
    inputs = [
        min((axis.place[0] for axis in data if axis.dim in group), default=len(draws.call.names))
        for group in groups
    ]
    others = [i for i in range(len(groups)) if i != batch]
    here = [i for i in others if inputs[i] == min(inputs[k] for k in others)]
    if len(here) < 2:
        return next(iter(here), None)
    rank = {"steps": 0, "all": 1}
    return min(here, key=lambda i: (rank.get(changes[i] or "", 2), not followed(draws, groups, i)))


def followed(draws: Draws, groups: Groups, number: int) -> bool:
    """Whether an output becomes longer where a dimension does."""
    first = {axis.dim: axis for axis in reversed(draws.axes)}
    for sizes in _sizes(first, groups):
        longer = sizes | {dim: 2 * sizes[dim] for dim in groups[number]}
        before, after = draws.run(sizes), draws.run(longer)
        if before is not None and after is not None:
            return [t.shape for t in before] != [t.shape for t in after]
    return False


def _by_size(first: Mapping[str, Axis], dims: Sequence[str]) -> Groups:
    sizes = dict.fromkeys(first[dim].size for dim in dims)
    return [[dim for dim in dims if first[dim].size == size] for size in sizes]


def _subsets(group: list[str]) -> Iterator[tuple[str, ...]]:
    """What may be dynamic of a group, the most first; of a large one, few or all."""
    sizes: Sequence[int] = range(len(group), 0, -1)
    if len(group) > _MOST:
        sizes = (len(group), 2, 1)
    for size in sizes:
        yield from itertools.combinations(group, size)


def _parted(draws: Draws, first: Mapping[str, Axis], group: Sequence[str], rest: Groups) -> Groups:
    """A group in its smallest parts that may each have a size of its own."""
    parts: Groups = []
    left = list(group)
    while left:
        others: list[str] = []
        for count in range(len(left)):
            for more in itertools.combinations(left[1:], count):
                part = [left[0], *more]
                others = [dim for dim in left if dim not in part]
                around = [*rest, *parts]
                if not others or _apart(draws, first, (part, others), around):
                    break
            else:
                continue
            break
        parts.append([dim for dim in left if dim not in others])
        left = others
    return parts


def _apart(
    draws: Draws, first: Mapping[str, Axis], parts: tuple[list[str], list[str]], rest: Groups
) -> bool:
    """Whether it runs whichever of two is the larger, and nothing is as long as the smaller.

    Two sequences that a loop walks along together, as `zip` does, run with unequal lengths as well,
    and what is returned has the smaller one: they stay tied, unless the user named both. Two axes
    of the only input are no such sequences.
    """
    smaller: list[set[tuple[int, int]]] = []
    usual = [tuple(output.shape) for output in draws.run({}) or ()]
    for one, other in (parts, parts[::-1]):
        for sizes in _sizes(first, [one, other, *rest]):
            small, large = sorted((sizes[one[0]], sizes[other[0]]))
            sizes |= dict.fromkeys(one, small) | dict.fromkeys(other, large)
            outputs = draws.run(sizes)
            if outputs is not None:
                break
        else:
            return False
        least = sizes[one[0]]
        shapes = [tuple(output.shape) for output in outputs]
        smaller.append(
            {
                (k, i)
                for k, (shape, before) in enumerate(zip(shapes, usual, strict=False))
                for i, (n, own) in enumerate(zip(shape, before, strict=False))
                if n == least != own  # else it is of that size by itself
            }
        )
    named = all(any(first[dim].name for dim in part) for part in parts)
    inputs = {first[dim].place[0] for part in parts for dim in part}
    return named or len(inputs) == 1 or not smaller[0] & smaller[1]


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

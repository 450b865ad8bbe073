"""Which sequences of a module have lengths of their own: found by running it with unequal ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from rnnbench.core.model import TensorSpec

TIME = "time"
_MOST = 4  # sequences: 15 ways to tie them

Specs = tuple[TensorSpec, ...]
Shapes = list[tuple[int, ...]]


def untie(specs: Specs, run: Callable[[Specs, Mapping[str, int]], Shapes]) -> Specs:
    """The same inputs, with a dimension for each length that may differ from the others.

    Two that a loop walks along together, as `zip` does, run with unequal lengths as well, and what
    is returned has the shorter one: they stay tied.

    Args:
        specs: what the module runs with, all sequences along `time`.
        run: the shapes that the module returns at some sizes; it raises where it does not run.
    """
    places = [i for i, s in enumerate(specs) if s.role == "data" and TIME in s.shape]
    if not 1 < len(places) <= _MOST:
        return specs
    for groups in _groupings(places):
        dims = [TIME, *(f"{specs[group[0]].name}_time" for group in groups[1:])]
        tried = _renamed(specs, groups, dims)
        if len(groups) == 1 or _may_differ(tried, dims, run):
            return tried
    return specs


def _renamed(specs: Specs, groups: Sequence[Sequence[int]], dims: Sequence[str]) -> Specs:
    names = {i: dim for group, dim in zip(groups, dims, strict=True) for i in group}
    return tuple(
        replace(s, shape=tuple(names.get(i, TIME) if d == TIME else d for d in s.shape))
        for i, s in enumerate(specs)
    )


def _groupings(places: Sequence[int]) -> Iterator[list[list[int]]]:
    """Every way to tie them; the most lengths first, and the first sequence in the first group."""

    def split(rest: Sequence[int]) -> Iterator[list[list[int]]]:
        if not rest:
            yield []
            return
        for groups in split(rest[:-1]):
            yield [*groups, [rest[-1]]]
            for i in range(len(groups)):
                yield [[*g, rest[-1]] if i == k else g for k, g in enumerate(groups)]

    yield from sorted(split(places), key=lambda groups: -len(groups))


def _may_differ(
    specs: Specs, dims: Sequence[str], run: Callable[[Specs, Mapping[str, int]], Shapes]
) -> bool:
    """Whether it runs, whichever is the longest, and nothing is as long as the shortest."""
    rising = {dim: 9 + 3 * k for k, dim in enumerate(dims)}
    falling = {dim: 11 + 3 * k for k, dim in enumerate(reversed(dims))}
    try:
        first, second = (
            run(specs, {"batch": 2, **rising}),
            run(specs, {"batch": 3, **falling}),
        )
    except Exception:  # a user's module may raise anything
        return False
    shortest = min(rising.values()), min(falling.values())
    return all(
        sizes != shortest
        for one, other in zip(first, second, strict=True)
        for sizes in zip(one, other, strict=True)
    )

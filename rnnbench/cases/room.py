"""How large cases may be, where a model gives many numbers for each step: a large vocabulary."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from rnnbench.core.model import Dims, Model

STORED = 2**20
"""Numbers that the outputs of a stored case may have, unless the traced one has more already."""
MADE = 2**22
"""And those of a case that is made when a check runs."""

_LARGEST = 2 * 4097  # rows times steps of a case


@dataclass(frozen=True)
class Room:
    """What the outputs of one case may take.

    Attributes:
        model: whose cases.
        traced: a size of each dynamic dimension.
        numbers: of all outputs at these sizes.
        grows: the dimensions that this number grows with, and that may change.
        most: numbers that a case may have.
    """

    model: Model
    traced: Dims
    numbers: int
    grows: tuple[str, ...]
    most: int

    def fit(self, dims: Mapping[str, int], keep: Collection[str] = ()) -> dict[str, int]:
        """The sizes, each halved, the largest first, until the outputs are small enough.

        Args:
            dims: the sizes that are wanted.
            keep: the dimensions that a case is about, which become smaller last.
        """
        found = dict(dims)
        last = [dim for dim in self.grows if dim in keep]
        for group in ([dim for dim in self.grows if dim not in keep], last):
            while self._numbers(found) > max(self.most, self.numbers):
                smaller = [self.model.fit(found | {d: max(found[d] // 2, 1)}) for d in group]
                able = [
                    (found[d], s) for d, s in zip(group, smaller, strict=True) if s[d] < found[d]
                ]
                if not able:
                    break
                found = max(able, key=lambda pair: pair[0])[1]
        return found

    def _numbers(self, dims: Dims) -> float:
        return self.numbers * math.prod(dims[d] / self.traced[d] for d in self.grows)


def room_for(
    model: Model, count: Callable[[Dims], int], traced: Dims, most: int, fixed: Collection[str] = ()
) -> Room:
    """Finds what the size of the outputs follows, where that matters.

    Args:
        model: whose cases.
        count: how many numbers its outputs have at some sizes; it may raise.
        traced: a size of each dynamic dimension at which it does not.
        most: numbers that a case may have.
        fixed: the dimensions that cannot change.
    """
    numbers = count(traced)
    grows = tuple(dim for dim in model.dims if dim not in fixed)
    if numbers * _LARGEST > most * math.prod(traced[dim] for dim in grows):
        grows = tuple(dim for dim in grows if _grows(model, count, traced, dim, numbers))
    return Room(model, traced, numbers, grows, most)


def _grows(
    model: Model, count: Callable[[Dims], int], traced: Dims, dim: str, numbers: int
) -> bool:
    larger = model.fit(dict(traced) | {dim: 2 * traced[dim]})
    try:
        return count(larger) > numbers
    except Exception:  # a user's module may raise anything; the case itself will say why
        return True

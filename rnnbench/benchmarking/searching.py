"""Where two change places along one size: a search that measures few of the sizes of a grid.

The sizes are first looked at in a few places, evenly on a logarithmic scale; then between any two
that disagree, half way, until those that disagree are neighbours in the grid. A ratio whose
interval comes near 1 is a third answer, `cannot tell`, so that the interval decides how far a
crossing is narrowed down, and not a median.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from rnnbench.benchmarking.axis import Axis
from rnnbench.benchmarking.plan import Item, Plan, items

_LOOKS = 5  # first, both ends among them


@dataclass
class Search:
    """Which size is to be measured next, and what the sizes before it said.

    Attributes:
        sizes: of the grid, rising.
        most: how many may be measured.
        answers: by size: `faster`, `slower` or `cannot tell`; None where it could not be measured.
    """

    sizes: Sequence[int]
    most: int
    answers: dict[int, str | None] = field(default_factory=dict)

    def next(self) -> int | None:
        """The size that tells most; None where all is known, or as many as may be are measured."""
        if len(self.answers) >= self.most:
            return None
        first = next((size for size in self.first() if size not in self.answers), None)
        return self._between() if first is None else first

    def first(self) -> list[int]:
        """Both ends, and those evenly between them on a logarithmic scale."""
        low, high = math.log(self.sizes[0]), math.log(self.sizes[-1])
        count = min(_LOOKS, self.most)
        wanted = [math.exp(low + (high - low) * n / (count - 1)) for n in range(count)]
        nearest = [min(self.sizes, key=lambda size: abs(size - each)) for each in wanted]
        ends = [nearest[0], nearest[-1]]
        return list(dict.fromkeys([*ends, *nearest]))

    def _between(self) -> int | None:
        """Half way between neighbours that disagree, the widest apart of them first."""
        known = sorted(size for size, answer in self.answers.items() if answer is not None)
        place = {size: n for n, size in enumerate(self.sizes)}
        apart = []
        for low, high in pairwise(known):
            if self.answers[low] == self.answers[high]:
                continue
            inside = [s for s in self.sizes[place[low] + 1 : place[high]] if s not in self.answers]
            if inside:
                apart.append((math.log(high / low), inside[len(inside) // 2]))
        return max(apart)[1] if apart else None


def items_of(plan: Plan) -> list[Item]:
    """What a plan measures; of a search, what it measures in any case."""
    if not plan.crossover:
        return list(items(plan))
    axis = Axis.parse(plan.crossover)
    first = Search(axis.sizes, axis.most).first()
    return [_at(pair, axis, size) for pair in _pairs(plan, axis) for size in first]


def searched(plan: Plan, lines: Sequence[dict[str, Any]]) -> Iterator[Item]:
    """The items of a search, each pair by itself; which is next depends on those before it.

    Args:
        plan: with an axis.
        lines: of the journal: that of an item is there before the next one is asked for.
    """
    axis = Axis.parse(plan.crossover)
    for pair in _pairs(plan, axis):
        search = Search(axis.sizes, axis.most)
        while (size := search.next()) is not None:
            item = _at(pair, axis, size)
            yield item
            line = next(line for line in reversed(lines) if line["id"] == item.label)
            entry = line.get("entry")
            search.answers[size] = entry and entry["extra_info"]["verdict"]


def _pairs(plan: Plan, axis: Axis) -> list[Item]:
    """Each comparison of a plan, at the least size."""
    sized: dict[str, Any] = {axis.name: (axis.low,)}
    return [item for item in items(replace(plan, **sized)) if item.kind == "ratio"]


def _at(pair: Item, axis: Axis, size: int) -> Item:
    sized: dict[str, Any] = {axis.name: size}
    return replace(pair, conditions=replace(pair.conditions, **sized))

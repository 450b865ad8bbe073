"""Where two changed places along one size, as far as ratios say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnbench.benchmarking.axis import AXES
from rnnbench.benchmarking.results import VERDICTS, Ratio

CANNOT_TELL = VERDICTS[-1]


@dataclass(frozen=True)
class Side:
    """Up to where, or from where, one answer holds, as far as was measured.

    Attributes:
        verdict: `faster`, `slower` or `cannot tell`.
        first: the row of the least size that says so.
        last: that of the largest.
        count: how many rows say so, one beside the other.
    """

    verdict: str
    first: Ratio
    last: Ratio
    count: int


@dataclass(frozen=True)
class Crossing:
    """What was found about one pair along an axis.

    Attributes:
        axis: the name of the size.
        sides: the answers, from small sizes to large ones.
    """

    axis: str
    sides: tuple[Side, ...]

    @property
    def row(self) -> Ratio:
        """One of its rows: what was compared, and under which conditions."""
        return self.sides[0].first

    @property
    def measured(self) -> int:
        """How many sizes."""
        return sum(side.count for side in self.sides)

    @property
    def sure(self) -> tuple[Side, ...]:
        """Without those that cannot be told."""
        return tuple(side for side in self.sides if side.verdict != CANNOT_TELL)


def crossings(ratios: Iterable[Ratio], axis: str) -> Iterator[Crossing]:
    """What ratios along one size say, each pair by itself.

    Args:
        ratios: of any pairs and conditions.
        axis: one of `AXES`.
    """
    groups: dict[tuple[Any, ...], dict[int, Ratio]] = {}
    for row in ratios:
        size = getattr(row, axis)
        if size is not None:
            groups.setdefault(_pair(row, axis), {})[size] = row
    for by_size in groups.values():
        rows = [by_size[size] for size in sorted(by_size)]
        yield Crossing(axis, tuple(_sides(rows)))


def _sides(rows: Sequence[Ratio]) -> Iterator[Side]:
    start = 0
    for n, row in enumerate(rows):
        if n + 1 == len(rows) or rows[n + 1].verdict != row.verdict:
            yield Side(row.verdict, rows[start], row, n + 1 - start)
            start = n + 1


def _pair(row: Ratio, axis: str) -> tuple[Any, ...]:
    sizes: Mapping[str, Any] = {name: getattr(row, name) for name in AXES if name != axis}
    ran = row.model, row.form, row.runtime, row.mode, row.precision, row.device
    return (*ran, row.versus, row.what, *sizes.values())


def in_words(crossing: Crossing, grid: int) -> str:
    """What was found, and how sure it is, in lines: each answer with the ratio at its end."""
    sure, said = crossing.sure, []
    for n, side in enumerate(sure):
        low, high = (getattr(row, crossing.axis) for row in (side.first, side.last))
        before, after = n > 0, n + 1 < len(sure)
        if before and after:
            said.append(
                f"{side.verdict} {low} to {high}: {_ratio(side.first)}; {_ratio(side.last)}"
            )
        elif after:
            said.append(f"{side.verdict} up to {high}: {_ratio(side.last)}")
        elif before:
            said.append(f"{side.verdict} from {low}: {_ratio(side.first)}")
        else:
            where = "" if len(crossing.sides) == 1 else "; elsewhere it cannot be told"
            said.append(
                f"{side.verdict} {low} to {high}: {_ratio(side.first)}; {_ratio(side.last)}"
            )
            said[-1] += where
    said = said or ["it cannot be told at any size"]
    return "\n".join([*said, f"{crossing.measured} of {grid} sizes measured"])


def _ends(side: Side) -> str:
    return f"{_ratio(side.first)}; {_ratio(side.last)}"


def _ratio(row: Ratio) -> str:
    shaky = "" if row.stable else ", unstable"
    return f"{row.ratio:.3g} ({row.low:.3g} to {row.high:.3g}{shaky})"

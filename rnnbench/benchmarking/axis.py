"""A size along which something is looked for: `hidden=8..1024`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rnnbench.core.errors import RnnbenchError, choices

AXES = ("hidden", "time", "batch", "layers", "threads")
PART = 5
"""At most one of so many sizes of a grid is measured."""

_LEAST = 5  # sizes, where the grid is small
_GIVE = "give an axis, the least and the largest size, and a step if you like, as hidden=8..1024:8"


@dataclass(frozen=True)
class Axis:
    """Sizes along which a crossing is looked for.

    Attributes:
        name: one of `AXES`.
        low: the least size.
        high: the largest.
        step: between the sizes of the grid.
    """

    name: str
    low: int
    high: int
    step: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """The grid, the largest size in it."""
        return (*range(self.low, self.high, self.step), self.high)

    @property
    def most(self) -> int:
        """How many of its sizes may be measured."""
        return min(len(self.sizes), max(_LEAST, len(self.sizes) // PART))

    def __str__(self) -> str:
        return f"{self.name}={self.low}..{self.high}:{self.step}"

    @classmethod
    def parse(cls, given: str) -> Axis:
        """`hidden=8..1024`, whose step is the least size, or `hidden=8..1024:16`.

        Raises:
            RnnbenchError: it is none, or has fewer than two sizes.
        """
        found = re.fullmatch(r"\s*(\w+)\s*=\s*(\d+)\s*\.\.\s*(\d+)\s*(?::\s*(\d+))?\s*", given)
        if found is None:
            raise RnnbenchError(f"--crossover {given!r}: {_GIVE}")
        name, low, high = found[1], int(found[2]), int(found[3])
        step = int(found[4] or low)
        if name not in AXES:
            raise choices("axis", name, AXES)
        if not 0 < low < high or not step:
            raise RnnbenchError(f"--crossover {given!r}: sizes are above 0 and rise: {_GIVE}")
        return cls(name, low, high, step)

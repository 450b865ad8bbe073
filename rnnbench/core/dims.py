"""Dynamic dimensions: their names, the sizes that they may have, and what is made of several.

A size in a shape is a number, a name, or a sum or product of these: `16`, `"time"`,
`"envs*time"`, `"2*batch"`, `"time+1"`. The grammar:

    size    = product { "+" product }
    product = factor { "*" factor }
    factor  = NAME | NUMBER
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from rnnbench.core.errors import RnnbenchError

_FACTOR = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[1-9][0-9]*")


@dataclass(frozen=True)
class Dim:
    """The sizes that a dynamic dimension may have: multiples of a number, from a least one on.

    Attributes:
        min: the least size.
        multiple_of: what every size is a multiple of.
    """

    min: int = 1
    multiple_of: int = 1

    def __post_init__(self) -> None:
        for name in ("min", "multiple_of"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise RnnbenchError(f"Dim({name}={value!r}) must be a whole number, 1 or more")

    def fit(self, size: int) -> int:
        """The smallest size that it may have from `size` on."""
        unit = self.multiple_of
        return math.ceil(max(size, self.min) / unit) * unit

    def allows(self, size: int) -> bool:
        """Whether it may have a size."""
        return self.fit(size) == size

    def __str__(self) -> str:
        least = f"{self.fit(1)} or more"
        return least if self.multiple_of == 1 else f"{least}, a multiple of {self.multiple_of}"


@cache
def products(size: str) -> tuple[tuple[str, ...], ...] | None:
    """The factors of each product of a size; None where it does not follow the grammar."""
    found = tuple(tuple(f.strip() for f in part.split("*")) for part in size.split("+"))
    return found if all(_FACTOR.fullmatch(f) for part in found for f in part) else None


def names_of(size: int | str) -> tuple[str, ...]:
    """The names in a size, in order: `envs*time` has two, a number none."""
    factors = [f for part in products(size) or () for f in part] if isinstance(size, str) else []
    return tuple(dict.fromkeys(f for f in factors if not f.isdecimal()))


def value_of(size: int | str, dims: Mapping[str, int]) -> int:
    """A size where those of the dimensions are known; KeyError where one is not."""
    if not isinstance(size, str):
        return size
    return sum(
        math.prod(int(f) if f.isdecimal() else dims[f] for f in part)
        for part in products(size) or ()
    )


def solve(given: Iterable[tuple[int | str, int]]) -> dict[str, int]:
    """The dimensions that sizes say, of which each is known: `envs*time` is 15, `envs` 3.

    A size is linear in a dimension that it alone has, so that two values of it say the rest.

    Args:
        given: declared sizes, and what they are.
    """
    found: dict[str, int] = {}
    open_sizes = [(size, value) for size, value in given if isinstance(size, str)]
    while True:
        known = len(found)
        for size, value in open_sizes:
            missing = [name for name in names_of(size) if name not in found]
            if len(missing) == 1:
                (name,) = missing
                none, one = (value_of(size, found | {name: n}) for n in (0, 1))
                if one != none:
                    found[name] = (value - none) // (one - none)
        if len(found) == known:
            return found

"""Finds what repeats in a sequence of tokens: the steps of an unrolled loop."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

FEWEST_STEPS = 3

Region = tuple[int, int, int]
"""Length, period and start of a stretch that repeats itself."""


def find_regions(tokens: Sequence[Hashable], longest: int | None = None) -> list[Region]:
    """The stretches in which each token equals the one a period before, at least twice.

    Args:
        tokens: one for each node, equal where two may be the same line of two steps.
        longest: the longest period to look for; any unless given.

    Returns:
        The whole of a loop before two of its steps as one: the longest, then the shortest period.
    """
    ids: dict[Hashable, int] = {}
    row = np.array([ids.setdefault(token, len(ids)) for token in tokens])
    most = len(row) // FEWEST_STEPS
    regions = []
    for period in range(1, min(most, longest or most) + 1):
        for start, stop in _runs(row[:-period] == row[period:]):
            length = stop - start + period
            if length > period * (FEWEST_STEPS - 1):
                regions.append((length, period, start))
    regions.sort(key=lambda r: (-(r[0] // r[1]) * r[1], r[1]))
    return regions


def _runs(equal: np.ndarray[Any, np.dtype[np.bool_]]) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], equal.view(np.int8), [0]))))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)

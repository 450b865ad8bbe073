"""What one index of a dimension changes: a batch and a time are told apart by running the module.

along the batch, row 3 of x   changes row 3 of each output, and no other      "rows"
along time, step 3 of x       changes steps of an output, and leaves others   "steps"
    (of a causal recurrence, no step before the third)
both directions, a pooling    changes everything                              "all"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch

from rnnbench.models.example.draws import Draws

Influence = Literal["rows", "steps", "all", "none"]

_DRAWS = 3  # of random numbers: by chance a row may change nothing


def influence(draws: Draws, sizes: Mapping[str, int], group: Sequence[str]) -> Influence | None:
    """What the middle index of a dimension changes; None where the module does not run.

    Args:
        draws: how inputs are made.
        sizes: of each dimension, no two alike.
        group: the names of the dimension, by `Axis.dim`.
    """
    found: set[Influence] = set()
    for seed in range(_DRAWS):
        arrays = draws.draw(sizes, np.random.default_rng(seed))
        middle = sizes[group[0]] // 2
        changed = _changed(draws, arrays, group, middle)
        before, after = draws.give(arrays), draws.give(changed)
        if before is None or after is None:
            return None
        for a, b in zip(before, after, strict=True):
            found.add(_of_output(a, b, sizes[group[0]], middle))
    found.discard("none")
    if not found:
        return "none"
    if found == {"rows"}:
        return "rows"
    return "all" if found == {"all"} else "steps"


def _changed(
    draws: Draws, arrays: Sequence[np.ndarray[Any, Any]], group: Sequence[str], index: int
) -> list[np.ndarray[Any, Any]]:
    """The arrays with other values at an index of a dimension; numbers of steps stay."""
    rng = np.random.default_rng(1)
    changed = [array.copy() for array in arrays]
    for axis in draws.axes:
        number, place = axis.place
        array = changed[number]
        if axis.dim not in group or number in draws.counted or not array.size:
            continue
        at: list[Any] = [slice(None)] * array.ndim
        at[place] = slice(index * axis.factor, (index + 1) * axis.factor)
        part = array[tuple(at)]
        if array.dtype.kind == "f":
            part = part + rng.standard_normal(part.shape)
        elif array.dtype.kind == "b":
            part = ~part
        else:  # within the bounds of the vocabulary
            part = array.max() + array.min() - part
        array[tuple(at)] = part
    return changed


def _of_output(before: torch.Tensor, after: torch.Tensor, size: int, index: int) -> Influence:
    """What changed in one output."""
    if before.shape != after.shape:
        return "all"
    differs = before.ne(after) & ~(before.isnan() & after.isnan())
    if not differs.any():
        return "none"
    found: Influence = "all"
    for axis, length in enumerate(before.shape):
        others = [i for i in range(before.ndim) if i != axis]
        along = differs.sum(others).bool() if others else differs
        where = along.nonzero().flatten().tolist()
        if length == size > 1 and where == [index]:
            return "rows"
        if len(where) < length:
            found = "steps"
    return found

"""Dimensions that follow another one: found by running the module.

samples that are 10 for each frame   ->   "10*time"
a target of one step more            ->   "time+1"
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rnnbench.models.example.axes import Axis
from rnnbench.models.example.draws import Draws

_MOST_MORE = 4  # steps that one has more than another
_OTHERS = (1, 3)  # steps more than in the example, at which it has to run


def scaled(draws: Draws) -> list[Axis]:
    """The axes, those of a dimension that follows a smaller one as so many times that.

    Args:
        draws: how inputs of other sizes are made; axes of one dimension have the same `dim`.
    """
    axes = list(draws.axes)
    sizes = {axis.dim: axis.size for axis in axes}
    counted = {axis.dim for axis in axes if axis.place[0] in draws.counted}  # rows
    for large in [dim for dim in sizes if dim not in counted]:
        for small in [dim for dim in sizes if dim != large and dim not in counted]:
            way = next(_ways(draws, sizes, large, small), None)
            if way is not None:
                factor, offset = way
                axes = [
                    replace(a, dim=small, size=sizes[small], factor=factor, offset=offset)
                    if a.dim == large
                    else a
                    for a in axes
                ]
                break
        else:
            continue
        return scaled(replace(draws, axes=tuple(axes)))
    return axes


def _ways(draws: Draws, sizes: dict[str, int], large: str, small: str) -> Iterator[tuple[int, int]]:
    """Factors and offsets with which it runs at other sizes, where it does with no other."""
    a, b = sizes[large], sizes[small]
    if a <= b or any(x.dim == large and (x.factor, x.offset) != (1, 0) for x in draws.axes):
        return
    tried = [(a // b, 0)] if a % b == 0 else [(1, a - b)] if a - b <= _MOST_MORE else []
    for factor, offset in tried:
        together = [{small: b + k, large: factor * (b + k) + offset} for k in _OTHERS]
        alone = [{large: sizes_of[large]} for sizes_of in together]
        if all(draws.run(s) for s in together) and not any(draws.run(s) for s in alone):
            yield factor, offset

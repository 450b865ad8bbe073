"""Slices and indices in one spelling; the examples are of an x [time, batch, 4] with 3 steps."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rnnbench.capture.graph_edit import (
    SELECT,
    UNSQUEEZE,
    dim_of,
    new_node,
    replace,
    shape_of,
    size_at,
)

aten = torch.ops.aten
_END = sys.maxsize


def selects(graph: fx.Graph, node: fx.Node) -> None:
    """Indices are from the front.

    select(x, 0, -1)  ->  select(x, 0, 2)
    """
    if node.target is not SELECT or shape_of(node.args[0]) is None:
        return
    x, _, index = node.args
    dim = dim_of(node)
    size = size_at(x, dim)
    if size is not None and isinstance(index, int):
        node.args = (x, dim, index % size)


@dataclass(frozen=True)
class _Range:
    """Which steps of a dimension a slice is of: `first` to `stop`, of a known size."""

    dim: int
    first: int = 0
    stop: int = 0
    whole: bool = False

    @property
    def is_step(self) -> bool:
        """Whether it is one step."""
        return self.stop == self.first + 1


def _range(x: Any, rest: Sequence[Any]) -> _Range | None:
    """What `(dim, start, end, step)` takes of a tensor; None where that is no known range."""
    filled: list[Any] = [*rest, *(0, None, None, 1)[len(rest) :]]  # with the operator's defaults
    dim, start, end, step = filled
    shape = shape_of(x)
    if shape is None or step != 1:
        return None
    dim %= len(shape)
    # A whole range is known as such where its size is a symbol, too.
    if (start or 0) == 0 and (end is None or end == _END or _is_size(end, shape[dim])):
        return _Range(dim, whole=True)
    size = size_at(x, dim)
    if size is None or not isinstance(start or 0, int) or not isinstance(end or 0, int):
        return None
    first, stop, _ = slice(start, end).indices(size)
    return _Range(dim, first, stop, whole=(first, stop) == (0, size))


def _is_size(end: Any, size: Any) -> bool:
    """Whether an end is a size itself, or the node of one."""
    known = end.meta.get("val") if isinstance(end, fx.Node) else end
    return known is size or (isinstance(known, torch.SymInt) and str(known) == str(size))


def slices(graph: fx.Graph, node: fx.Node) -> None:
    """Slices of all steps, or of one.

    slice(x, 1, 0, 9223372036854775807)  ->  x
    slice(x, 0, 1, 2)                    ->  unsqueeze(select(x, 0, 1), 0)
    slice(x, 0, -2, 9223372036854775807) ->  slice(x, 0, 1, 3)
    """
    if node.target is not aten.slice.Tensor:
        return
    x: Any = node.args[0]
    taken = _range(x, node.args[1:])
    if taken is None:
        return
    if taken.whole:
        replace(graph, node, x)
    elif taken.is_step:
        one = new_node(graph, node, SELECT, x, taken.dim, taken.first)
        replace(graph, node, new_node(graph, node, UNSQUEEZE, one, taken.dim))
    else:
        node.args = (x, taken.dim, taken.first, taken.stop)


def slice_scatters(graph: fx.Graph, node: fx.Node) -> None:
    """The same for writes.

    slice_scatter(zeros, y, 0, 1, 2)  ->  select_scatter(zeros, select(y, 0, 0), 0, 1)
    """
    if node.target is not aten.slice_scatter.default:
        return
    x, source = node.args[:2]
    written = _range(x, node.args[2:])
    if written is None:
        return
    if written.whole:
        replace(graph, node, source)  # type: ignore[arg-type]
    elif written.is_step:
        one = new_node(graph, node, SELECT, source, written.dim, 0)
        put = aten.select_scatter.default
        replace(graph, node, new_node(graph, node, put, x, one, written.dim, written.first))
    else:
        node.args = (x, source, written.dim, written.first, written.stop)

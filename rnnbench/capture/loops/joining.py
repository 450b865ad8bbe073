"""Steps that are taken from a tensor, or made one by one, and put together again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import fx

from rnnbench.capture.graph_edit import (
    SELECT,
    UNSQUEEZE,
    drop_dead,
    new_node,
    replace,
    shape_of,
    size_at,
)

aten = torch.ops.aten

APART = 3
"""Of how many steps every other one is a pattern: two may be any two."""

AsSelect = Callable[[Any, int], fx.Node | None]
"""The select that a part of a join along a dimension is, or None."""


def join_steps(graph: fx.Graph) -> None:
    """`stack` or `cat` of steps of one tensor, in order or reversed: that tensor, or a slice.

    Of an x [time, batch, 4] with 3 steps:

        select = select(x, 0, 0)
        select_1 = select(x, 0, 1)
        select_2 = select(x, 0, 2)
        stack([select, select_1, select_2], 1)  ->  movedim(x, 0, 1)
        stack([select_2, select_1, select], 1)  ->  movedim(flip(x, [0]), 0, 1)
        cat([exp, unsqueeze(select, 0), ...])   ->  cat([exp, x], 0)
        stack([select_1, select_2], 0)          ->  slice(x, 0, 1, end)
        stack([select, select_2, select_4], 0)  ->  slice(x, 0, 0, end, 2), of one with 5 or 6 steps
    """
    for node in list(graph.find_nodes(op="call_function", target=aten.cat.default)):
        _flatten(node)
    for node in list(graph.nodes):
        if node.target is aten.stack.default:
            _join(graph, node, _selected)
        elif node.target is aten.cat.default:
            _join(graph, node, _selected_and_unsqueezed)  # parts [1, batch, 4]: a step each
            _join(graph, node, _selected)  # parts [several, batch, 4] of an x with one more axis
    drop_dead(graph)


def _selected(node: Any, dim: int) -> fx.Node | None:
    return node if isinstance(node, fx.Node) and node.target is SELECT else None


def _selected_and_unsqueezed(node: Any, dim: int) -> fx.Node | None:
    if not isinstance(node, fx.Node) or node.target is not UNSQUEEZE:
        return None
    shape = shape_of(node)
    same = shape is not None and node.args[1] % len(shape) == dim  # type: ignore[operator]
    return _selected(node.args[0], dim) if same else None


def _join(graph: fx.Graph, node: fx.Node, as_select: AsSelect) -> None:
    """Replaces a run of parts that are all the steps of one tensor by that tensor."""
    parts = list(node.args[0]) if isinstance(node.args[0], list | tuple) else []
    joined = shape_of(node)
    dim = node.args[1] if len(node.args) > 1 else 0
    if joined is None or not isinstance(dim, int):
        return
    dim %= len(joined)
    run = _find_run([as_select(p, dim) for p in parts])
    if run is None:
        return
    stacks = node.target is aten.stack.default
    whole = _along(graph, node, run, dim)
    # Parts of several steps each, one after the other: [parts, several, 4] -> [parts * several, 4]
    if not stacks and as_select is _selected:
        whole = new_node(graph, node, aten.flatten.using_ints, whole, dim, dim + 1)
    before, after = parts[: run.start], parts[run.start + run.length :]
    if before or after:
        before, after = (
            [new_node(graph, node, UNSQUEEZE, p, dim) if stacks else p for p in rest]
            for rest in (before, after)
        )
        whole = new_node(graph, node, aten.cat.default, [*before, whole, *after], dim)
    replace(graph, node, whole)


@dataclass(frozen=True)
class _Run:
    """Parts `start` to `start + length`: every `stride`-th step of a dimension, from `first` on."""

    start: int
    length: int
    source: fx.Node
    dim: int
    first: int
    stride: int


def _find_run(selects: list[fx.Node | None]) -> _Run | None:
    """The longest run of selects that are steps of one tensor, one after the other or reversed."""
    best: _Run | None = None
    start = 0
    while start < len(selects):
        run = _run_from(selects, start)
        start += 1 if run is None else run.length
        if run is not None and (best is None or run.length > best.length):
            best = run
    return best


def _run_from(selects: list[fx.Node | None], start: int) -> _Run | None:
    """The run that begins at a place: of two steps at least, or the only one that there is."""
    head = selects[start]
    if head is None or not isinstance(head.args[2], int):
        return None
    same = list(takewhile(lambda s: s is not None and s.args[:2] == head.args[:2], selects[start:]))
    indices: list[Any] = [s.args[2] for s in same if s is not None]
    stride = indices[1] - indices[0] if len(indices) > 1 else 1
    length = next((i for i, n in enumerate(indices) if n != indices[0] + i * stride), len(indices))
    if stride == 0 or (abs(stride) > 1 and length < APART):
        return None
    source, dim, _ = head.args
    assert isinstance(source, fx.Node)
    assert isinstance(dim, int)
    if length == 1 and size_at(source, dim) != 1:
        return None
    return _Run(start, length, source, dim, indices[0], stride)


def _along(graph: fx.Graph, node: fx.Node, run: _Run, dim: int) -> fx.Node:
    """The tensor that a run is of, its steps in the run's order and along `dim`."""
    whole = run.source  # x [batch, time, 4], say, for a stack along 0
    size: Any = size_at(whole, run.dim)
    first, last = run.first, run.first + run.stride * (run.length - 1)
    step, flipped = abs(run.stride), run.stride < 0
    if flipped and step > 1:  # which is the lowest depends on the size; the first does not
        whole = new_node(graph, node, aten.flip.default, whole, [run.dim])
        first, last, flipped = size - 1 - first, size - 1 - last, False
    low, high = min(first, last), max(first, last)
    if run.length != size:
        # As far as another one could not begin.
        end = sys.maxsize if high + step >= size else high + 1
        rest = (low, end) if step == 1 else (low, end, step)
        whole = new_node(graph, node, aten.slice.Tensor, whole, run.dim, *rest)
    if flipped:
        whole = new_node(graph, node, aten.flip.default, whole, [run.dim])
    if run.dim != dim:
        whole = new_node(graph, node, aten.movedim.int, whole, run.dim, dim)
    return whole


def _flatten(node: fx.Node) -> None:
    """A tensor that grows by one `cat` a step is one `cat` of all steps.

    cat = cat([exp, exp_1])
    cat_1 = cat([cat, exp_2])  ->  cat_1 = cat([exp, exp_1, exp_2], 0)
    """
    dim = _cat_dim(node)
    given: Any = node.args[0]
    if dim is None:
        return
    parts: list[Any] = []
    for part in given:
        if part.target is aten.cat.default and list(part.users) == [node] and _cat_dim(part) == dim:
            parts += part.args[0]
        elif size_at(part, dim) != 0:  # it grew from nothing: torch.empty(0, ...)
            parts.append(part)
    if parts:
        node.args, node.kwargs = (parts, dim), {}


def _cat_dim(node: fx.Node) -> int | None:
    """The dimension of a `cat`, from 0; None where the shapes are not known."""
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    shape = shape_of(node)
    return dim % len(shape) if isinstance(dim, int) and shape else None

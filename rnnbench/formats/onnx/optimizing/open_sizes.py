"""Whether a file is right at a batch and a length that are written down in it no longer.

The file as it was takes one size only. A larger batch is compared with it in parts, and a shorter
sequence with the beginning of one that it takes: of what runs forwards that is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.engines import TOLERANCE, CannotRunError, Runner, distance
from rnnbench.formats.onnx.optimizing.feeding import dims_of, feeds
from rnnbench.formats.onnx.optimizing.graph import Array, Graph
from rnnbench.formats.onnx.optimizing.loading import graph_of
from rnnbench.formats.onnx.optimizing.proving import Proof

_PARTS = (2, 3)
_FREE = 2  # the size of what has a name already


@dataclass(frozen=True)
class Opened:
    """A size that has a name now.

    Attributes:
        name: of the dimension.
        size: that was written down.
        axes: input -> the axis that it is of.
    """

    name: str
    size: int
    axes: dict[str, int]


def prove_batch(graph: Graph, model: Any, batch: Opened) -> Proof:
    """A file with an open batch against the one before, on two and three times as many rows."""
    try:
        before, after = Runner(graph.model, graph.folder), Runner(model, graph.folder)
        worst = 0.0
        for parts in _PARTS:
            given = _given(graph, parts)
            rows = {n: [g[n] for g in given] for n in given[0]}
            whole = {
                n: np.concatenate(r, batch.axes[n]) if n in batch.axes else r[0]
                for n, r in rows.items()
            }
            shared = [g | {n: whole[n] for n in whole if n not in batch.axes} for g in given]
            expected = [before(g) for g in shared]
            found = after(whole)
            for name, array in found.items():
                each = [e[name] for e in expected]
                worst = max(worst, _apart(array, each, batch.size * parts))
    except CannotRunError as error:
        return Proof(0, 0.0, f"it cannot be run with more rows ({error})")
    why = "" if worst <= TOLERANCE else "rows of a larger batch would not be what they are alone"
    return Proof(len(_PARTS), worst, why)


def _apart(whole: Array, parts: list[Array], rows: int) -> float:
    """The distance of an output to those of the parts, side by side along its batch."""
    first = parts[0]
    if whole.ndim != first.ndim:
        return float("inf")
    axes = [i for i, (a, b) in enumerate(zip(whole.shape, first.shape, strict=True)) if a != b]
    if len(axes) != 1 or whole.shape[axes[0]] != rows:
        return float("inf")
    return distance(whole, np.concatenate(parts, axes[0]))


def prove_length(graph: Graph, model: Any, time: Opened, states: Iterable[str]) -> Proof:
    """A file with an open length against the beginning of what the one before gives.

    Args:
        graph: of the file before.
        model: the file after.
        time: the length.
        states: outputs that are last states, or are computed of these: they have no time.
    """
    last = {*states}
    try:
        before, after = Runner(graph.model, graph.folder), Runner(model, graph.folder)
        given = _given(graph, 1)[0]
        expected, worst, runs = before(given), 0.0, 0
        for length in sorted({1, max(time.size // 2, 1), max(time.size - 1, 1)}):
            cut = {
                n: np.take(a, range(length), time.axes[n]) if n in time.axes else a
                for n, a in given.items()
            }
            for name, array in after(cut).items():
                if name not in last:
                    worst = max(worst, _off(array, expected[name], length, time.size))
            runs += 1
        more = _given(graph, 2)[1]
        longer = {
            n: np.concatenate([a, more[n]], time.axes[n]) if n in time.axes else a
            for n, a in given.items()
        }
        for name, array in after(longer).items():
            if name not in last:
                worst = max(worst, _off(expected[name], array, time.size, 2 * time.size))
        runs += 1
    except CannotRunError as error:
        return Proof(0, 0.0, f"it cannot be run with other lengths ({error})")
    why = "" if worst <= TOLERANCE else "its first steps would not be those of a longer sequence"
    return Proof(runs, worst, why)


def _off(short: Array, full: Array, length: int, size: int) -> float:
    """The distance of an output to the beginning of another along time."""
    if short.ndim != full.ndim:
        return float("inf")
    if length == size:
        return distance(short, full)
    axes = [i for i, (a, b) in enumerate(zip(short.shape, full.shape, strict=True)) if a != b]
    if len(axes) != 1 or (short.shape[axes[0]], full.shape[axes[0]]) != (length, size):
        return float("inf")
    return distance(short, np.take(full, range(length), axes[0]))


def _given(graph: Graph, count: int) -> list[dict[str, Array]]:
    """Random inputs of the sizes that the file has."""
    model = graph.model
    names = {n for dims in dims_of(model).values() for n in dims if isinstance(n, str)}
    sizes = dict.fromkeys(names, _FREE)
    own = graph_of(model, graph.folder)
    return [feeds(own, model, sizes, seed) for seed in range(count)]

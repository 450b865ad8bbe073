"""Parts of a dimension whose size is not known: slices, which every format has.

    chunk = chunk(x, 2, 0)              size = sym_size(x, 0)
    a = chunk[0]                    ->  part = (size + 1) // 2
    b = chunk[1]                        a = slice(x, 0, 0, part)
                                        b = slice(x, 0, part, part * 2)

    split = split(x, batch, 0)      ->  a = slice(x, 0, 0, batch)
    a, b = split[0], split[1]           b = slice(x, 0, batch, batch * 2)

ONNX has a `Split` into parts of known sizes alone.
"""

from __future__ import annotations

import itertools
import operator
from typing import Any

import torch
from torch import fx

from rnnbench.capture.graph_edit import number, replace, shape_of

aten = torch.ops.aten


def split_by_slices(graph: fx.Graph) -> None:
    """Rewrites `chunk` and `split` along dimensions that are dynamic, in place."""
    for target in (aten.chunk.default, aten.split.Tensor, aten.split_with_sizes.default):
        for node in list(graph.find_nodes(op="call_function", target=target)):
            _rewrite(graph, node)
    graph.eliminate_dead_code()


def _rewrite(graph: fx.Graph, node: fx.Node) -> None:
    x: Any = node.args[0]
    given: Any = node.args[1]
    dim: Any = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
    shape = shape_of(x)
    users = list(node.users)
    if shape is None or any(u.target is not operator.getitem for u in users):
        return
    sizes = given if isinstance(given, list | tuple) else [given]
    if number(shape[dim]) is not None and not any(isinstance(s, fx.Node) for s in sizes):
        return
    with graph.inserting_before(node):
        bounds = _Bounds(graph, node, x, dim).of(given)
        for user in users:
            start, end = bounds[int(user.args[1])]  # type: ignore[arg-type]
            part = graph.call_function(aten.slice.Tensor, (x, dim, start, end))
            part.meta = dict(user.meta)
            replace(graph, user, part)


class _Bounds:
    """Where the parts begin and end, as numbers or nodes."""

    def __init__(self, graph: fx.Graph, node: fx.Node, x: fx.Node, dim: int) -> None:
        self._call = graph.call_function
        self._node, self._x, self._dim = node, x, dim

    def of(self, given: Any) -> list[tuple[Any, Any]]:
        """(start, end) of each part."""
        count = len(self._node.meta["val"])
        if isinstance(given, list | tuple):  # split_with_sizes
            ends: list[Any] = [0]
            for size in given:
                ends.append(self._sum(ends[-1], size))
            return list(itertools.pairwise(ends))
        part = given
        if self._node.target is aten.chunk.default:
            size = self._call(aten.sym_size.int, (self._x, self._dim))
            # rounded up, as torch.chunk does: the last part may be smaller
            part = self._call(operator.floordiv, (self._sum(size, given - 1), given))
        return [(self._times(part, i), self._times(part, i + 1)) for i in range(count)]

    def _sum(self, a: Any, b: Any) -> Any:
        nodes = isinstance(a, fx.Node) or isinstance(b, fx.Node)
        if not nodes:
            return a + b
        return self._call(operator.add, (a, b)) if a != 0 and b != 0 else (a or b)

    def _times(self, part: Any, k: int) -> Any:
        if k < 2 or not isinstance(part, fx.Node):
            return part * k if not isinstance(part, fx.Node) else (part if k else 0)
        return self._call(operator.mul, (part, k))

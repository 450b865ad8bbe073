"""Negative indices of a .pt2 program counted from the front, for an engine that reads elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

aten = torch.ops.aten

_BY_TENSORS = (aten.index.Tensor, aten.index_put.default)


def count_from_front(program: ExportedProgram) -> None:
    """Makes every negative index positive, in place: of one element, and of tensors of indices.

        select.int(x [5, 3], 0, -1)  ->  select.int(x, 0, 4)
        index.Tensor(x, [i])         ->  index.Tensor(x, [remainder(i, 5)])

    The program has been decomposed (`run_decompositions`), and its sizes are fixed.
    """
    graph = program.graph
    for node in list(graph.nodes):
        if node.target is aten.select.int:
            value, dim, index = node.args
            if isinstance(index, int) and index < 0:
                node.update_arg(2, index + value.meta["val"].shape[dim])
        elif node.target in _BY_TENSORS:
            _wrap(graph, node)
    graph.lint()
    program.graph_module.recompile()


def _wrap(graph: fx.Graph, node: fx.Node) -> None:
    """Indices that a tensor holds, which may be negative, modulo the size."""
    value, indices = node.args[:2]
    sizes = value.meta["val"].shape  # type: ignore[union-attr]
    wrapped: list[Any] = []
    for size, index in zip(sizes, indices, strict=False):  # type: ignore[arg-type]
        known = None if index is None else index.meta["val"]
        if known is None or known.dtype == torch.bool:
            wrapped.append(index)
            continue
        with graph.inserting_before(node):
            new = graph.call_function(aten.remainder.Scalar, (index, int(size)))
        new.meta["val"] = known
        wrapped.append(new)
    node.update_arg(1, wrapped)

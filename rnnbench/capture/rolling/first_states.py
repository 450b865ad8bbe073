"""States that a loop begins with, in the shape that they have from its first step on."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rnnbench.capture.graph_edit import shape_of
from rnnbench.capture.loops.created import size_node
from rnnbench.capture.loops.steps import Block

aten = torch.ops.aten


def expand_first_states(graph: fx.Graph, block: Block) -> None:
    """A first state without a batch, or of one row, is that of every row.

    zeros = zeros([4])                             expand = expand(zeros([4]), [batch, 4])
    mul = mul(zeros, 0.9); add = add(x_0, mul) ->  mul = mul(expand, 0.9) ...      [batch, 4]
    """
    before = next(n for n in block.steps[0] if n is not None)
    known = set(graph.nodes)
    for j, first in block.carried.items():
        own, wanted = shape_of(first), shape_of(block.body[j])
        if not isinstance(first, fx.Node) or own is None or wanted is None:
            continue
        if first not in known or _alike(own, wanted) or not _spreads(own, wanted):
            continue
        sizes = [size_node(graph, before, size) for size in wanted]
        if None in sizes:  # a size that no input has
            continue
        with graph.inserting_before(before):
            expanded = graph.call_function(aten.expand.default, (first, sizes))
        value: Any = block.body[j].meta["val"]
        expanded.meta = dict(first.meta) | {"val": value}
        block.carried[j] = expanded


def _alike(own: Any, wanted: Any) -> bool:
    return list(map(str, own)) == list(map(str, wanted))


def _spreads(own: Any, wanted: Any) -> bool:
    """Whether a tensor broadcasts to a shape."""
    pairs = zip(reversed(own), reversed(wanted), strict=False)
    return len(own) <= len(wanted) and all(str(a) in ("1", str(b)) for a, b in pairs)

"""What a step of an outer loop takes for a loop inside it is taken once, before that loop.

for i in range(sentences):
    for j in range(words):
        h = cell(x[:, i, j], h)

    select = select(x, 1, 0)                      part = taken_once(x, 1, 0)
    word = select(select, 1, 0)                   word = select(part, 1, 0)
    ...                                       ->  ...
    select_1 = select(x, 1, 0)
    word_1 = select(select_1, 1, 1)               word_1 = select(part, 1, 1)

So that what the inner loop walks along comes from outside of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from rnnbench.capture.graph_edit import SELECT, replace
from rnnbench.capture.loops.canonical import canonicalise


def taken_once(x: Tensor, dim: int, index: int) -> Tensor:
    """`x.select(dim, index)`, which it is when the graph is traced anew."""
    return torch.select(x, dim, index)


def take_once(graph: fx.Graph) -> None:
    """A part of which single steps are taken is one node, and no step of a loop itself."""
    canonicalise(graph)
    known: dict[Any, fx.Node] = {}
    for node in list(graph.nodes):
        if node.target is not SELECT or not all(user.target is SELECT for user in node.users):
            continue
        if node.args not in known:
            with graph.inserting_before(node):
                known[node.args] = graph.call_function(taken_once, node.args)
            known[node.args].meta = dict(node.meta)
        replace(graph, node, known[node.args])

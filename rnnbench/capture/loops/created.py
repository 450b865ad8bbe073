"""Tensors that a step makes: of the sizes of inputs, whatever they were made like."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rnnbench.capture.graph_edit import number, replace, shape_of

aten = torch.ops.aten

_LIKE: dict[Any, Any] = {
    aten.zeros_like.default: aten.zeros.default,
    aten.new_zeros.default: aten.zeros.default,
    aten.ones_like.default: aten.ones.default,
    aten.new_ones.default: aten.ones.default,
    aten.full_like.default: aten.full.default,
    aten.new_full.default: aten.full.default,
    aten.empty_like.default: aten.empty.memory_format,
    aten.new_empty.default: aten.empty.memory_format,
}


def made_like(graph: fx.Graph, node: fx.Node) -> None:
    """What is made like another tensor, by its sizes: that tensor need not be there yet.

        zeros_like(linear)              ->  zeros([batch, 4])
        new_full(linear, [batch, 4], 1) ->  full([batch, 4], 1)

    A state that is made in the first step like something computed there comes before the loop.
    """
    if node.target not in _LIKE or not isinstance(node.meta.get("val"), torch.Tensor):
        return
    new = "new_" in str(node.target)
    value = node.meta["val"]
    given: Any = node.args[1] if new else [None] * value.dim()
    sizes = [
        size if isinstance(size, int | fx.Node) else size_node(graph, node, own)
        for size, own in zip(given, value.shape, strict=True)
    ]
    if None in sizes:  # a size that no input has
        return
    target, *rest = _LIKE[node.target], *node.args[2 if new else 1 :]
    with graph.inserting_before(node):
        made = graph.call_function(
            target, (sizes, *rest), {"dtype": value.dtype, "device": value.device}
        )
    made.meta = dict(node.meta)
    replace(graph, node, made)


def add_zero(graph: fx.Graph, node: fx.Node) -> None:
    """`0 + x`, the first step of a sum, as the other steps are: a tensor and `x`.

    `sum(x[t] for t in range(3))` begins so:

        select = select(x, 0, 0)          select = select(x, 0, 0)
        add = add(select, 0)              zeros = zeros([batch, 4])
                                      ->  add = add(zeros, select)
        select_1 = select(x, 0, 1)        select_1 = select(x, 0, 1)
        add_1 = add(add, select_1)        add_1 = add(add, select_1)
    """
    if node.target is not aten.add.Tensor or node.kwargs or not isinstance(node.args[0], fx.Node):
        return
    if type(node.args[1]) is not int or node.args[1] != 0:
        return
    shape = [size_node(graph, node, size) for size in shape_of(node) or ()]
    if None in shape:  # a size that no input has
        return
    value = node.meta["val"]
    with graph.inserting_before(node):
        zeros = graph.call_function(
            aten.zeros.default, (shape,), {"dtype": value.dtype, "device": value.device}
        )
    zeros.meta["val"] = value
    node.args = (zeros, node.args[0])


def size_node(graph: fx.Graph, before: fx.Node, size: Any) -> int | fx.Node | None:
    """A size as an argument: a number, or that of an input of the graph; None: no input has it."""
    if number(size) is not None:
        return number(size)
    for node in graph.find_nodes(op="placeholder"):
        for dim, other in enumerate(shape_of(node) or ()):
            if str(other) == str(size):
                with graph.inserting_before(before):
                    made = graph.call_function(aten.sym_size.int, (node, dim))
                made.meta["val"] = other
                return made
    return None

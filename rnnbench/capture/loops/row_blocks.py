"""Steps whose rows lie one after another in one dimension, as in the data of a packed sequence.

The examples are of an x [time * batch, 4] with 3 steps; batch is a symbol.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from rnnbench.capture.graph_edit import SELECT, dim_of, new_node, number, replace, shape_of
from rnnbench.capture.loops.created import size_node

aten = torch.ops.aten
_STEPS = "rows of steps"  # on a node that lays steps out: of which it is, along what dimension


def row_blocks(graph: fx.Graph, node: fx.Node) -> None:
    """The rows of one step are a select of the steps.

    slice(x, 0, batch, 2 * batch)  ->  steps = reshape(x, [3, batch, 4])
                                       select(steps, 0, 1)
    """
    if node.target is not aten.slice.Tensor or len(node.args) not in (4, 5):
        return
    x: Any
    x, _, start, end, *stride = node.args
    dim = dim_of(node)
    found = _block(x, dim, start, end) if stride in ([], [1]) else None
    if found is None:
        return
    index, count = found
    steps = _steps(graph, node, x, dim, count)
    if steps is not None:
        replace(graph, node, new_node(graph, node, SELECT, steps, dim, index))


def split_row_blocks(graph: fx.Graph, node: fx.Node) -> None:
    """The parts of a split, each the rows of one step.

    split = split_with_sizes(x, [batch, batch, batch])
    getitem = getitem(split, 1)                         ->  select(reshape(x, [3, batch, 4]), 0, 1)
    """
    if node.target is not aten.split_with_sizes.default:
        return
    x: Any = node.args[0]
    dim = dim_of(node, 2)
    parts = node.meta["val"]
    widths = {str(part.shape[dim]) for part in parts}
    if len(widths) != 1 or number(parts[0].shape[dim]) is not None:
        return
    for user in list(node.users):
        steps = _steps(graph, user, x, dim, len(parts))
        if user.target is operator.getitem and steps is not None:
            replace(graph, user, new_node(graph, user, SELECT, steps, dim, user.args[1]))


def written_row_blocks(graph: fx.Graph, node: fx.Node) -> None:
    """The same for writes.

    slice_scatter(x, h, 0, batch, 2 * batch)  ->  steps = reshape(x, [3, batch, 4])
                                                  put = select_scatter(steps, h, 0, 1)
                                                  reshape(put, [3 * batch, 4])
    """
    if node.target is not aten.slice_scatter.default or len(node.args) not in (5, 6):
        return
    x: Any
    x, source, _, start, end, *stride = node.args
    if shape_of(x) is None or stride not in ([], [1]):
        return
    dim = dim_of(node, 2)
    found = _block(x, dim, start, end)
    steps = None if found is None else _steps(graph, node, x, dim, found[1])
    if found is None or steps is None:
        return
    put = new_node(graph, node, aten.select_scatter.default, steps, source, dim, found[0])
    flat = new_node(graph, node, aten.flatten.using_ints, put, dim, dim + 1)
    flat.meta[_STEPS] = (put, dim)
    replace(graph, node, flat)


def _block(x: Any, dim: int, start: Any, end: Any) -> tuple[int, int] | None:
    """Which block of equal rows a range is, and how many there are; None: it is none."""
    shape = shape_of(x)
    if shape is None or not isinstance(shape[dim], torch.SymInt):
        return None
    size, first, last = (_expression(v) for v in (shape[dim], start or 0, end))
    if size is None or first is None or last is None:
        return None
    width = last - first
    if width.is_number or not width.is_positive:
        return None
    index, count = first / width, size / width
    if not (index.is_Integer and count.is_Integer and int(count) > 1):
        return None
    return int(index), int(count)


def _expression(size: Any) -> Any:
    """A size, or the node of one, as an expression of SymPy."""
    import sympy

    size = size.meta.get("val") if isinstance(size, fx.Node) else size
    if isinstance(size, torch.SymInt):
        return size.node.expr
    return sympy.Integer(size) if type(size) is int else None


def _steps(graph: fx.Graph, before: fx.Node, x: fx.Node, dim: int, count: int) -> fx.Node | None:
    """A tensor with its steps in a dimension of their own; each is laid out once.

    x [time * batch, 4]  ->  reshape(x, [time, batch, 4])
    """
    put = x.meta.get(_STEPS)
    if put is not None and put[1] == dim:  # it was laid out so before it was flattened
        return put[0]  # type: ignore[no-any-return]
    known = [u for u in x.users if u.meta.get(_STEPS) == (x, dim)]
    if known:
        return known[0]
    shape = x.meta["val"].shape
    rows = shape[dim] // count
    behind = x.next
    sizes = [size_node(graph, behind, s) for s in (*shape[:dim], rows, *shape[dim + 1 :])]
    if None in sizes:  # a size that no input has
        return None
    sizes.insert(dim, count)
    with graph.inserting_before(behind):
        steps = graph.call_function(aten.reshape.default, (x, sizes))
    steps.meta["val"] = x.meta["val"].reshape([*shape[:dim], count, rows, *shape[dim + 1 :]])
    steps.meta[_STEPS] = (x, dim)
    return steps

"""One spelling for what can be written in many ways, so that the steps of a loop look alike.

Works on a trace at fixed lengths: sizes that are numbers are known here. The examples are of an
x [time, batch, 4] with 3 steps.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from rnnbench.capture.graph_edit import (
    SELECT,
    UNSQUEEZE,
    casts_to_the_same,
    dim_of,
    drop_dead,
    new_node,
    replace,
    shape_of,
    size_at,
)
from rnnbench.capture.loops.created import add_zero, made_like
from rnnbench.capture.loops.row_blocks import row_blocks, split_row_blocks, written_row_blocks
from rnnbench.capture.loops.slices import selects, slice_scatters, slices

aten = torch.ops.aten
_MOST_ROUNDS = 5


def canonicalise(graph: fx.Graph) -> None:
    """Rewrites `unbind`, `split`, `chunk`, indexing and writing into tensors to selects.

    Afterwards one step of a sequence is `select(x, dim, index)` with an index of 0 or more, made
    right before its one user, and one written step is `select_scatter(...)`.
    """
    rules = (
        _views,
        _no_ops,
        made_like,
        add_zero,
        _take_apart,
        _indexed,
        _moved,
        selects,
        slices,
        slice_scatters,
        row_blocks,
        split_row_blocks,
        written_row_blocks,
        _undone,
        _parts,
        _copies,
        _forward_reads,
    )
    for _ in range(_MOST_ROUNDS):  # what one rule leaves, another one may take up
        before = _spelling(graph)
        for rule in rules:
            for node in list(graph.nodes):
                if node.op == "call_function":
                    rule(graph, node)
            drop_dead(graph)
        if _spelling(graph) == before:
            return


def _spelling(graph: fx.Graph) -> list[Any]:
    return [(node, node.target, node.args) for node in graph.nodes]


def _views(graph: fx.Graph, node: fx.Node) -> None:
    """A view needs what a copy before it has laid out, and copies are taken out here.

    view(x, [-1, 2])  ->  reshape(x, [-1, 2])
    """
    if node.target in (aten.view.default, aten._unsafe_view.default):
        node.target = aten.reshape.default


def _no_ops(graph: fx.Graph, node: fx.Node) -> None:
    """What only copies: in a functional graph nobody can tell a copy from the original.

    clone = clone(x)
    add = add(clone, 1)  ->  add = add(x, 1)
    """
    always = (
        aten.clone.default,
        aten.contiguous.default,
        aten.detach.default,
        aten.alias.default,
        aten.lift_fresh_copy.default,
    )
    x = node.args[0] if node.args else None
    if not isinstance(x, fx.Node) or not node.users:  # what nobody reads is taken out as dead
        return
    off = node.target is aten.dropout.default and node.args[2] is False
    if node.target in always or off or casts_to_the_same(node):
        replace(graph, node, x)


def _take_apart(graph: fx.Graph, node: fx.Node) -> None:
    """`unbind`, `split` and `chunk` into steps of size 1: a select for each piece.

    unbind = unbind(x)
    getitem = getitem(unbind, 2)    ->  select(x, 0, 2)

    split = split(x, 1)
    getitem = getitem(split, 2)     ->  unsqueeze(select(x, 0, 2), 0)
    """
    if node.target not in (aten.unbind.int, aten.split.Tensor, aten.chunk.default):
        return
    x = node.args[0]
    assert isinstance(x, fx.Node)
    if shape_of(x) is None:  # a loop that was rolled before wrote it, for all its steps
        return
    dim = dim_of(node, 1 if node.target is aten.unbind.int else 2)
    steps = size_at(x, dim)
    pieces = node.meta["val"]  # unbind: [batch, 4] each; split: [1, batch, 4] each
    if steps is None or len(pieces) != steps:
        return
    for user in list(node.users):
        assert user.target is operator.getitem
        index = user.args[1]
        assert isinstance(index, int)
        piece = new_node(graph, user, SELECT, x, dim, index % steps)
        if node.target is not aten.unbind.int:
            piece = new_node(graph, user, UNSQUEEZE, piece, dim)
        replace(graph, user, piece)


def _indexed(graph: fx.Graph, node: fx.Node) -> None:
    """A list of one index takes one step.

    full = full([1], 2)
    index = index(x, [full])  ->  unsqueeze(select(x, 0, 2), 0)      (`x[[2]]`)
    """
    if node.target is not aten.index.Tensor:
        return
    x: Any = node.args[0]
    given: Any = node.args[1]
    at = [dim for dim, index in enumerate(given) if index is not None]
    number = given[at[0]] if len(at) == 1 else None
    if not isinstance(number, fx.Node) or number.target is not aten.full.default:
        return
    shape, value = number.args
    if shape not in ([], [1]) or type(value) is not int:
        return
    piece = new_node(graph, node, SELECT, x, at[0], value)
    replace(graph, node, new_node(graph, node, UNSQUEEZE, piece, at[0]) if shape else piece)


def _moved(graph: fx.Graph, node: fx.Node) -> None:
    """A dimension of size 1 that is added, and moved past its neighbour.

    unsqueeze = unsqueeze(x, 1)
    transpose = transpose(unsqueeze, 0, 1)  ->  unsqueeze(x, 0)
    """
    if node.target is not aten.transpose.int:
        return
    added: Any = node.args[0]
    shape = shape_of(added)
    if shape is None or added.target is not UNSQUEEZE:
        return
    own, *dims = (int(d) % len(shape) for d in (added.args[1], *node.args[1:]))
    if own in dims and abs(dims[0] - dims[1]) == 1:
        to = dims[0] if own == dims[1] else dims[1]
        replace(graph, node, new_node(graph, node, UNSQUEEZE, added.args[0], to))


def _parts(graph: fx.Graph, node: fx.Node) -> None:
    """What is taken of a join of single steps is the step.

    stack = stack([h, c])
    select = select(stack, 0, 1)  ->  c

    cat = cat([unsqueeze(h, 0), unsqueeze(c, 0)])
    select = select(cat, 0, 1)    ->  c

    (Where a part has several steps, the join is a sequence that a loop may walk.)
    """
    if node.target is not SELECT:
        return
    joined: Any = node.args[0]
    index: Any = node.args[2]
    shape = shape_of(joined)
    if joined.target not in (aten.stack.default, aten.cat.default) or shape is None:
        return
    parts: Any = joined.args[0]
    along = joined.args[1] if len(joined.args) > 1 else joined.kwargs.get("dim", 0)
    dim = dim_of(node)
    if along % len(shape) != dim or not isinstance(index, int):
        return
    if joined.target is aten.stack.default:
        replace(graph, node, parts[index])
    elif all(size_at(part, dim) == 1 for part in parts):
        taken = new_node(graph, node, SELECT, parts[index], dim, 0)
        replace(graph, node, taken)
        _undone(graph, taken)


def _undone(graph: fx.Graph, node: fx.Node) -> None:
    """A dimension of size 1 that is added and taken away again.

    unsqueeze = unsqueeze(x, 0)
    squeeze = squeeze(unsqueeze, 0)  ->  x       (so does select(unsqueeze, 0, 0))
    """
    if node.target not in (SELECT, aten.squeeze.dim):
        return
    added = node.args[0]
    shape = shape_of(added)
    if not isinstance(added, fx.Node) or added.target is not UNSQUEEZE or shape is None:
        return
    if added.args[1] % len(shape) == node.args[1] % len(shape):  # type: ignore[operator]
        replace(graph, node, added.args[0])  # type: ignore[arg-type]


def _copies(graph: fx.Graph, node: fx.Node) -> None:
    """What is copied to a place, as it is, where it has the place's shape and dtype already.

    `y[1] = x[1].exp()` in a y of zeros:

        select_1 = select(zeros, 0, 1)
        copy = copy(select_1, exp)
        select_scatter(zeros, copy, 0, 1)  ->  select_scatter(zeros, exp, 0, 1)
    """
    if node.target is not aten.copy.default:
        return
    place, source = (n.meta["val"] if isinstance(n, fx.Node) else None for n in node.args[:2])
    if source is None or place is None:
        return
    if place.dtype == source.dtype and _same_shape(place.shape, source.shape):
        replace(graph, node, node.args[1])  # type: ignore[arg-type]


def _same_shape(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(str(p) == str(q) for p, q in zip(a, b, strict=True))


def _forward_reads(graph: fx.Graph, node: fx.Node) -> None:
    """A read of a step that was written before is what was written.

    scatter = select_scatter(zeros, select, 0, 0)
    read = select(scatter, 0, 0)
    exp = exp(read)                      ->  exp = exp(select)
    other = select(scatter, 0, 1)        ->  other = select(zeros, 0, 1)
    """
    while node.target is SELECT:
        written, dim, index = node.args
        if not isinstance(written, fx.Node) or written.target is not aten.select_scatter.default:
            return
        below, value, to_dim, to_index = written.args
        shape = shape_of(written)
        size = size_at(written, dim)
        if shape is None or size is None or to_dim % len(shape) != dim:  # type: ignore[operator]
            return
        if to_index % size == index:  # type: ignore[operator]
            replace(graph, node, value)  # type: ignore[arg-type]
            return
        # Another step was written: look at what was there before.
        node.args = (below, dim, index)


def give_each_user_its_own(graph: fx.Graph) -> None:
    """A step that is taken early or used twice is taken anew right before each user.

        select = select(x, 0, 0)          select_1 = select(x, 0, 0)
        exp = exp(select)             ->  exp = exp(select_1)
        tanh = tanh(select)               select_2 = select(x, 0, 0)
                                          tanh = tanh(select_2)

    So that a step's nodes are the same ones in the same order, whoever took its input first.
    """
    for node in reversed(list(graph.nodes)):
        of_step = (
            node.target is UNSQUEEZE
            and isinstance(node.args[0], fx.Node)
            and node.args[0].target is SELECT
        )
        if node.target is not SELECT and not of_step:
            continue
        for user in list(node.users):
            # Of a node with one user right behind it there is nothing to gain.
            if user.op == "output" or (len(node.users) == 1 and node.next is user):
                continue
            with graph.inserting_before(user):
                copy = graph.node_copy(node, lambda n: n)
            user.replace_input_with(node, copy)
        if not node.users:
            graph.erase_node(node)
    drop_dead(graph)
    graph.lint()

"""Reads and rewrites the nodes of a graph: what the stages of a capture have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

aten = torch.ops.aten
SELECT = aten.select.int
UNSQUEEZE = aten.unsqueeze.default


def shape_of(node: Any) -> tuple[int | torch.SymInt, ...] | None:
    """The shape of a node's value, or None where it is not one tensor."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None


def number(size: Any) -> int | None:
    """A size as a number, also where a guard made it one after it was symbolic; else None."""
    if isinstance(size, int):
        return size
    # Comparing a symbolic size would add a guard to the trace; asking its expression does not.
    known = isinstance(size, torch.SymInt) and size.node.expr.is_number
    return int(size.node.expr) if known else None


def size_at(node: Any, dim: Any) -> int | None:
    """A size of a tensor, where it is a number."""
    shape = shape_of(node)
    if shape is None or not -len(shape) <= dim < len(shape):
        return None
    return number(shape[dim])


def dim_of(node: fx.Node, position: int = 1) -> int:
    """A `dim` argument, from the front."""
    dim = node.args[position] if len(node.args) > position else node.kwargs.get("dim", 0)
    shape = shape_of(node.args[0])
    assert isinstance(dim, int)
    assert shape is not None
    return dim % len(shape)


def new_node(graph: fx.Graph, before: fx.Node, target: Callable[..., Any], *args: Any) -> fx.Node:
    """A call before another node, with its value worked out and the other's place in the source."""
    with graph.inserting_before(before):
        node = graph.call_function(target, args)
    values = fx.node.map_arg(args, lambda n: n.meta.get("val"))
    fake = next((v.fake_mode for v in _leaves(values) if hasattr(v, "fake_mode")), None)
    if fake is not None:  # a trace's values have shapes and no numbers
        with fake:
            node.meta["val"] = target(*values)
    if "stack_trace" in before.meta:
        node.meta["stack_trace"] = before.meta["stack_trace"]
    return node


def _leaves(values: Any) -> list[Any]:
    return list(torch.utils._pytree.tree_leaves(values))


def replace(graph: fx.Graph, node: fx.Node, by: fx.Node) -> None:
    """Takes a node out, and another into its place."""
    node.replace_all_uses_with(by)
    graph.erase_node(node)


def drop_dead(graph: fx.Graph) -> None:
    """Takes out what nobody reads, of what only computes.

    As `Graph.eliminate_dead_code`, which first checks the whole graph: a rewrite of many small
    rules would spend most of its time there.
    """
    for node in reversed(graph.nodes):
        if not node.users and not node.is_impure():
            graph.erase_node(node)


def drop_casts(graph: fx.Graph) -> None:
    """Takes out what casts to the dtype and device that is there, each time over the last result.

        to = to(x, torch.float32)
        squeeze = squeeze(to)      ->  squeeze = squeeze(x)

    `x.to(y)` in a loop returns its own result of the step before, where that is the same tensor.
    """
    for node in list(graph.nodes):
        if node.op == "call_function" and casts_to_the_same(node):
            replace(graph, node, node.args[0])


def casts_to_the_same(node: fx.Node) -> bool:
    """Whether a call casts to the dtype and the device that its argument has."""
    if node.target not in (aten.to.dtype, aten._to_copy.default, aten.to.dtype_layout):
        return False
    x = node.args[0]
    before: Any = x.meta.get("val") if isinstance(x, fx.Node) else None
    after: Any = node.meta.get("val")
    if before is None or after is None:
        return False
    return bool(before.dtype == after.dtype and before.device == after.device)


def settle_squeezes(graph: fx.Graph) -> None:
    """`x.squeeze()` takes away the dimensions that are 1 at any size, and no other.

    Of an x [time, batch, 1]:

        squeeze(x)     ->  squeeze(x, [2])
        squeeze(x, 0)  ->  x, in a trace of 3 steps
        squeeze(y)     ->  y, of a y [time, batch]

    Which ones those are depends on the batch size otherwise, and ONNX has no rank for the result.
    What takes away a dimension that is not 1, or none, does nothing, in PyTorch alone.
    """
    for target in (aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims):
        for node in graph.find_nodes(op="call_function", target=target):
            shape = shape_of(node.args[0])
            if shape is None:
                continue
            given = node.args[1] if len(node.args) > 1 else list(range(len(shape)))
            dims = [given] if isinstance(given, int) else given
            gone = [i for i in dims if number(shape[i]) == 1]
            if not gone:
                replace(graph, node, node.args[0])
            elif len(gone) < len(dims) or target is aten.squeeze.default:
                node.target, node.args = aten.squeeze.dims, (node.args[0], gone)


def keep_constants(graph: fx.GraphModule) -> None:
    """Tensors that are plain attributes become buffers: a scan over others cannot be traced.

    `self.k = torch.tensor(0.9)` is one, and so is what a step makes of numbers alone.
    """
    for node in graph.graph.find_nodes(op="get_attr"):
        path, _, name = str(node.target).rpartition(".")
        owner = graph.get_submodule(path)
        value = vars(owner).get(name)
        if isinstance(value, torch.Tensor):
            delattr(owner, name)
            owner.register_buffer(name, value, persistent=False)

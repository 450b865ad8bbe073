"""Autocast to a smaller type, spelled out: floats that are rounded where autocast rounds them.

    wrap_with_autocast('cpu', bfloat16, True, ..., submod_1, x, w)
        def submod_1(x, w): return (linear(x, w),)    # a bfloat16
    ->
    linear = linear(round(x), round(w))
    round(linear)                                     # to(to(linear, bfloat16), float32)

A product of bfloat16 is summed in float32 by PyTorch too, and rounded once. Inside of a fused layer
nothing is rounded between two steps: that is nearer to the float64 of the module than it is itself.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from rnnbench.capture.tracing.regions import inline_autocast

aten = torch.ops.aten
_CASTS = (aten.to.dtype, aten._to_copy.default)


def spell_autocast(module: fx.GraphModule) -> None:
    """Computes in float32 what a graph computes in autocast to a smaller type, and rounds it."""
    types = inline_autocast(module)
    if not types:
        return
    spelled = _Spelled(module.graph, types)
    for node in list(module.graph.nodes):
        if node.target is aten._assert_tensor_metadata.default:
            module.graph.erase_node(node)
        elif node.op == "call_function":
            spelled.call(node)
    module.graph.eliminate_dead_code()
    module.recompile()


class _Spelled:
    """The calls of one graph.

    Args:
        graph: whose calls they are.
        types: the smaller ones.
    """

    def __init__(self, graph: fx.Graph, types: set[torch.dtype]) -> None:
        self._graph, self._types = graph, types
        self._rounded: dict[tuple[fx.Node, torch.dtype], fx.Node] = {}
        self._dtypes = {n: getattr(n.meta.get("val"), "dtype", None) for n in graph.nodes}

    def call(self, node: fx.Node) -> None:
        """Rounds what it takes and gives, where it gives a smaller type."""
        value = node.meta.get("val")
        small = self._smaller(value)
        if small is None:
            return
        is_cast = node.target in _CASTS
        if not is_cast and node.target is not operator.getitem:
            for given in node.all_input_nodes:
                if self._dtypes.get(given) is torch.float32:
                    node.replace_input_with(given, self._round(given, small, before=node))
        if not is_cast:
            node.args, node.kwargs = self._wide(node.args), self._wide(node.kwargs)
            node.meta["val"] = self._wide(value)
        if not isinstance(value, torch.Tensor):  # what takes each of the results is rounded
            return
        first = node
        if not is_cast:
            first = self._cast(node, value.to(small), node)
        wide = self._cast(first, value.to(torch.float32), node)
        node.replace_all_uses_with(wide, delete_user_cb=lambda user: user not in (first, wide))

    def _smaller(self, value: Any) -> torch.dtype | None:
        """The smaller type of what a node gives; None where it is none."""
        given = torch.utils._pytree.tree_leaves(value)
        found = [v.dtype for v in given if isinstance(v, torch.Tensor) and v.dtype in self._types]
        return found[0] if found else None

    def _round(self, given: fx.Node, small: torch.dtype, before: fx.Node) -> fx.Node:
        """The same number for every call that takes it: weights are rounded before a loop."""
        if (given, small) not in self._rounded:
            value = given.meta["val"]
            with self._graph.inserting_before(before):
                narrow = self._graph.call_function(aten.to.dtype, (given, small))
                wide = self._graph.call_function(aten.to.dtype, (narrow, torch.float32))
            narrow.meta = {**before.meta, "val": value.to(small)}
            wide.meta = {**before.meta, "val": value}
            self._rounded[given, small] = wide
        return self._rounded[given, small]

    def _cast(self, node: fx.Node, value: torch.Tensor, like: fx.Node) -> fx.Node:
        """A cast right behind a node."""
        with self._graph.inserting_after(node):
            made = self._graph.call_function(aten.to.dtype, (node, value.dtype))
        made.meta = {**like.meta, "val": value}
        return made

    def _wide(self, given: Any) -> Any:
        """Types and tensors of a smaller type as those of float32."""

        def wide(value: Any) -> Any:
            if isinstance(value, torch.dtype):
                return torch.float32 if value in self._types else value
            if isinstance(value, torch.Tensor) and value.dtype in self._types:
                return value.to(torch.float32)
            return value

        return torch.utils._pytree.tree_map(wide, given)

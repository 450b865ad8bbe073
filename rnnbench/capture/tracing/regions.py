"""Regions of a forward in which gradients or autocast are switched: part of the graph around them.

    with torch.no_grad():               wrap_with_set_grad_enabled(False, submod_1, x)
        y = self.layer(x)           ->      def submod_1(x): return (linear(x, ...),)
                                    ->  linear = linear(x, ...)

`torch.export` makes a submodule of each. This is the one place that names those operators: tried on
torch 2.11 to 2.13.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from rnnbench.core.errors import RnnbenchError

# operator -> where among its arguments the submodule is
_GRADIENTS = "wrap_with_set_grad_enabled"
_AUTOCAST = "wrap_with_autocast"
_AUTOCAST_BODY = 4  # (device, dtype, enabled, cache_enabled, submodule, *arguments)


def inline_regions(module: fx.GraphModule) -> None:
    """Puts the graphs of regions in their place; of autocast where that changes no dtype."""
    while True:
        found = [n for n in module.graph.nodes if _body_at(n) is not None]
        if not found:
            break
        for node in found:
            _inline(module, node, _body_at(node))
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()


def inline_autocast(module: fx.GraphModule) -> set[torch.dtype]:
    """Puts the graphs of regions of autocast in their place, also where that changes dtypes.

    Returns:
        The types that they compute in, which their nodes still say.
    """
    types: set[Any] = set()
    while True:
        found = [n for n in module.graph.nodes if getattr(n.target, "__name__", "") == _AUTOCAST]
        if not found:
            break
        for node in found:
            types.add(node.args[1])
            _inline(module, node, _AUTOCAST_BODY)
    if types:
        module.graph.eliminate_dead_code()
        module.recompile()
    return types


def refuse_autocast(module: fx.GraphModule, name: str, form: str) -> None:
    """Refuses a region of autocast that changes dtypes, in a format that cannot hold one.

    Args:
        module: the program's graph.
        name: the model's.
        form: what it cannot be written as.

    Raises:
        RnnbenchError: there is one.
    """
    for node in module.graph.nodes:
        if getattr(node.target, "__name__", "") == _AUTOCAST:
            dtype = str(node.args[1]).removeprefix("torch.")
            raise RnnbenchError(
                f"model {name!r} has no {form} form: it computes in autocast to {dtype}: leave "
                f"autocast out of the forward, or export pt2"
            )


def _body_at(node: fx.Node) -> int | None:
    """Where among a region's arguments its graph is; None where the node is no such region."""
    if node.op != "call_function":
        return None
    name = getattr(node.target, "__name__", str(node.target))
    if name == _GRADIENTS:
        return 1
    if name == _AUTOCAST and (not node.args[2] or node.args[1] is torch.float32):
        return _AUTOCAST_BODY
    return None


def _inline(module: fx.GraphModule, node: fx.Node, at: int | None) -> None:
    assert at is not None
    holder: Any = node.args[at]
    body: Any = module.get_submodule(str(holder.target))
    given = iter(node.args[at + 1 :])
    values: dict[fx.Node, Any] = {}
    with module.graph.inserting_before(node):
        for inner in body.graph.nodes:
            if inner.op == "placeholder":
                values[inner] = next(given)
            elif inner.op == "get_attr":
                path = f"{holder.target}.{inner.target}"
                values[inner] = module.graph.get_attr(path)
                values[inner].meta = dict(inner.meta)
            elif inner.op != "output":
                values[inner] = module.graph.node_copy(inner, values.__getitem__)
    results = fx.node.map_arg(body.graph.output_node().args[0], values.__getitem__)
    for user in list(node.users):
        if user.target is operator.getitem:
            user.replace_all_uses_with(results[user.args[1]])
            module.graph.erase_node(user)
        else:
            node.replace_all_uses_with(results)
    if not node.users:
        module.graph.erase_node(node)

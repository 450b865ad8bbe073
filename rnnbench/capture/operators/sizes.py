"""Numbers that a module makes of its sizes, in functions that every format has.

math.ceil(samples / 4), math.floor(0.7 * time), round(time / 3)
"""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any

import torch
from torch import fx

WHOLE: tuple[Any, ...] = (math.ceil, math.floor, math.trunc, torch.sym_int, builtins.round)
"""Functions that give a whole number."""


def settle_whole(graph: fx.Graph) -> None:
    """A whole number stays as it is: `math.ceil(2 * time)` is `2 * time`."""
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in WHOLE and node.args[1:] in ((), (None,)):
            (given, *_) = node.args
            if isinstance(value_of(given), int | torch.SymInt):
                node.replace_all_uses_with(given)
                graph.erase_node(node)


def spell_rounding(graph: fx.Graph) -> None:
    """Rounds by `//`, since .pt2 files and TorchScript have neither `math.ceil` nor `round`.

    ceil(x)   ->  -int(-x // 1.0)
    floor(x)  ->  int(x // 1.0)
    round(x)  ->  up - up % 2 if x + 0.5 == up else up, with up = int((x + 0.5) // 1.0)
    """
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target not in _SPELLINGS:
            continue
        if len(node.args) > 1 and node.args[1] is not None:
            continue  # round(x, 2)
        with graph.inserting_before(node):
            new = _SPELLINGS[node.target](graph, node.args[0])
        new.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(new)
        graph.erase_node(node)


def value_of(argument: Any) -> Any:
    """What a node's value is in the trace, or the number itself."""
    return argument.meta.get("val") if isinstance(argument, fx.Node) else argument


def _floor(graph: fx.Graph, x: Any) -> fx.Node:
    down = math.floor(value_of(x))
    floored = _call(graph, operator.floordiv, torch.sym_float(down), x, 1.0)
    return _call(graph, torch.sym_int, down, floored)


def _ceil(graph: fx.Graph, x: Any) -> fx.Node:
    below = _floor(graph, _call(graph, operator.neg, -value_of(x), x))
    return _call(graph, operator.neg, -value_of(below), below)


def _round(graph: fx.Graph, x: Any) -> fx.Node:
    """To the even one of two that are as near, as Python does."""
    above = _call(graph, operator.add, value_of(x) + 0.5, x, 0.5)
    up = _floor(graph, above)
    odd = _call(graph, operator.mod, value_of(up) % 2, up, 2)
    even = _call(graph, operator.sub, value_of(up) - value_of(odd), up, odd)
    between = _call(graph, operator.eq, value_of(above) == value_of(up), above, up)
    return _call(graph, torch.sym_ite, value_of(up), between, even, up)


def _call(graph: fx.Graph, target: Any, value: Any, *args: Any) -> fx.Node:
    node = graph.call_function(target, args)
    node.meta["val"] = value
    return node


_SPELLINGS: dict[Any, Any] = {math.ceil: _ceil, math.floor: _floor, builtins.round: _round}

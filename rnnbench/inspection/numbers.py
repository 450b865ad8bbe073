"""Numbers that a graph works out of constants: shapes, indices, lengths."""

from __future__ import annotations

from typing import Any

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.program import Node, Ref

_DEEPEST = 32
_AS_IT_IS = (
    *("Identity", "Cast", "Squeeze", "Unsqueeze", "Flatten", "Reshape", "aten.to", "aten.clone"),
    *("aten.alias", "aten.detach", "aten.contiguous", "aten.lift_fresh_copy", "aten._to_copy"),
    *("aten.squeeze", "aten.unsqueeze", "aten.view", "aten.reshape"),
)
_REPEATS = ("Expand", "Tile", "aten.expand", "aten.repeat", "aten.expand_as")
_JOINS = ("Concat", "aten.cat", "aten.stack")
_FILLS = {"aten.full": 1, "aten.new_full": 2, "aten.full_like": 1}

Vector = list[int | None]
"""Whole numbers; None where one depends on the input."""


def vector(flow: Flow, value: Any, deepest: int = _DEEPEST) -> Vector | None:
    """The entries of a shape or of indices, in order; None where not even their count is known."""
    if isinstance(value, list | tuple):
        return [v if _is_whole(v) else _single(vector(flow, v, deepest - 1)) for v in value]
    if _is_whole(value):
        return [value]
    if not isinstance(value, Ref) or deepest <= 0:
        return None
    tensor = flow.program.constants.get(value)
    if tensor is not None:
        return None if tensor.values is None else [int(n) for n in tensor.values]
    makers = flow.makers.get(value, [])
    if len(makers) == 1:
        found = _made(flow, makers[0], deepest - 1)
        if found is not None:
            return found
    return [None] if flow.program.shape(value) in ((), (1,)) else None


def _made(flow: Flow, node: Node, deepest: int) -> Vector | None:
    if node.op in _AS_IT_IS and node.args:
        return vector(flow, node.args[0], deepest)
    if node.op in _JOINS:
        parts = [vector(flow, part, deepest) for part in node.args]
        return None if None in parts else [n for part in parts for n in part or ()]
    if node.op == "Shape" and not node.attributes:
        shape = flow.program.shape(node.args[0])
        return None if shape is None else [d if isinstance(d, int) else None for d in shape]
    if node.op == "Gather":
        whole, at = vector(flow, node.args[0], deepest), vector(flow, node.args[1], deepest)
        if whole and at and all(i is not None and -len(whole) <= i < len(whole) for i in at):
            return [whole[i] for i in at if i is not None]
    return None


def fixed_numbers(flow: Flow, value: Any, deepest: int = _DEEPEST) -> tuple[float, ...] | None:
    """The numbers that a value holds whatever the input is, though perhaps as often as it has rows.

    None where one depends on the input: on its sizes, too.
    """
    if isinstance(value, list | tuple):
        parts = [fixed_numbers(flow, v, deepest - 1) for v in value]
        return None if None in parts else tuple(n for part in parts for n in part or ())
    if isinstance(value, int | float):
        return (float(value),)
    if value in flow.program.constants:
        return flow.program.constants[value].values
    makers = flow.makers.get(value, []) if isinstance(value, Ref) and deepest > 0 else []
    source = _repeated(makers[0]) if len(makers) == 1 else None
    return None if source is None else fixed_numbers(flow, source, deepest - 1)


def _repeated(node: Node) -> Any:
    """What the results of a node are made of, each as it is; None of other nodes."""
    if node.op in (*_AS_IT_IS, *_REPEATS):
        return node.args[0]
    if node.op in _JOINS:
        return node.args
    if node.op == "ConstantOfShape":
        return float(node.attributes.get("value") or 0.0)
    return node.arg(_FILLS[node.op], "fill_value") if node.op in _FILLS else None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _single(found: Vector | None) -> int | None:
    return found[0] if found is not None and len(found) == 1 else None

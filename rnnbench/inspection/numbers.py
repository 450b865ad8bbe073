"""Numbers that a graph works out of constants: shapes, indices, lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.program import Dim, Node, Ref

_DEEPEST = 32
_AS_IT_IS = (
    *("Identity", "Cast", "Squeeze", "Unsqueeze", "Flatten", "Reshape", "aten.to", "aten.clone"),
    *("aten.alias", "aten.detach", "aten.contiguous", "aten.lift_fresh_copy", "aten._to_copy"),
    *("aten.squeeze", "aten.unsqueeze", "aten.view", "aten.reshape"),
)
_REPEATS = ("Expand", "Tile", "aten.expand", "aten.repeat", "aten.expand_as")
_JOINS = ("Concat", "aten.cat", "aten.stack")
_FILLS = {"aten.full": 1, "aten.new_full": 2, "aten.full_like": 1}

_SAME_SHAPE = ("Identity", "Cast", "aten.contiguous", "aten.to", "aten.clone", "aten.detach")
_MOST = 256  # numbers that are repeated or joined
_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Mul": lambda a, b: a * b,
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Equal": lambda a, b: a == b,
    "Where": lambda a, b, c: b if a else c,
}

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
    if value in flow.vectors:
        return flow.vectors[value]
    flow.vectors[value] = None  # until it is known, also where a damaged file goes in circles
    found = flow.vectors[value] = _of_value(flow, value, deepest)
    return found


def _of_value(flow: Flow, value: Ref, deepest: int) -> Vector | None:
    tensor = flow.program.constants.get(value)
    if tensor is not None:
        whole = tensor.values is not None and all(float(n).is_integer() for n in tensor.values)
        return [int(n) for n in tensor.values or ()] if whole else None
    makers = flow.makers.get(value, [])
    if len(makers) == 1:
        found = _made(flow, makers[0], deepest - 1)
        if found is not None:
            return found
    return [None] if flow.program.shape(value) in ((), (1,)) else None


def _made(flow: Flow, node: Node, deepest: int) -> Vector | None:
    if node.op in _AS_IT_IS and node.args:
        return vector(flow, node.args[0], deepest)
    if node.op == "Shape" and not node.attributes:
        shape = flow.program.shape(node.args[0])
        return None if shape is None else [d if isinstance(d, int) else None for d in shape]
    if node.op not in (*_JOINS, *_ARITHMETIC, "ConstantOfShape", "Gather"):
        return None
    members = node.args[0] if node.op in ("aten.cat", "aten.stack") else node.args
    parts = [vector(flow, part, deepest) for part in members]
    known = [part for part in parts if part is not None]
    return _of_parts(node, known) if known and len(known) == len(parts) else None


def _of_parts(node: Node, parts: list[Vector]) -> Vector | None:
    if node.op in _JOINS:
        return [n for part in parts for n in part] if sum(map(len, parts)) <= _MOST else None
    if node.op == "ConstantOfShape":
        return _filled(parts[0], node.attributes.get("value"))
    if node.op in _ARITHMETIC:
        return _worked_out(node.op, parts)
    whole, at = parts  # of a Gather
    inside = [whole[i] for i in at if i is not None and -len(whole) <= i < len(whole)]
    return inside if len(inside) == len(at) else None


def _filled(shape: Vector, number: Any) -> Vector | None:
    """As many as a shape of one dimension says of the same number."""
    size = shape[0] if len(shape) == 1 else None
    number = number or 0.0
    if size is None or not 0 <= size <= _MOST or not float(number).is_integer():
        return None
    return [int(number)] * size


def _worked_out(op: str, parts: list[Vector]) -> Vector | None:
    """Number by number; one number stands for as many as the others are."""
    count = max(len(part) for part in parts)
    if any(len(part) not in (1, count) for part in parts):
        return None
    rows = zip(*(part * count if len(part) == 1 else part for part in parts), strict=True)
    return [None if None in row else int(_ARITHMETIC[op](*row)) for row in rows]


def known_shape(flow: Flow, value: Any, deepest: int = _DEEPEST) -> tuple[Dim, ...] | None:
    """The sizes of a value: those that are said, or those that it is expanded to."""
    value = flow.chosen.get(value, value) if isinstance(value, Ref) else value
    shape = flow.program.shape(value)
    makers = flow.makers.get(value, []) if isinstance(value, Ref) and deepest > 0 else []
    if (shape is not None and None not in shape) or len(makers) != 1:
        return shape
    node = makers[0]
    if node.op in _SAME_SHAPE:
        return known_shape(flow, node.args[0], deepest - 1)
    if node.op in ("Expand", "aten.expand"):
        target = vector(flow, node.arg(1, "size"))
        before = known_shape(flow, node.args[0], deepest - 1) or ()
        if target is not None:
            kept = [*[1] * (len(target) - len(before)), *before][: len(target)]
            pairs = zip(target, kept, strict=False)
            return tuple(d if n in (-1, 1) else n for n, d in pairs)
    return shape


def fixed_numbers(flow: Flow, value: Any, deepest: int = _DEEPEST) -> tuple[float, ...] | None:
    """The numbers that a value holds whatever the input is, though perhaps as often as it has rows.

    None where one depends on the input: on its sizes, too.
    """
    if isinstance(value, list | tuple):
        parts = [fixed_numbers(flow, v, deepest - 1) for v in value[:_MOST]]
        numbers = tuple(n for part in parts for n in part or ())
        return None if None in parts or len(numbers) > _MOST or len(value) > _MOST else numbers
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

"""Which names, attributes and lists some statements change."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
"""What has names of its own."""

_CHANGES = {"append", "extend", "insert", "pop", "update", "clear", "setdefault", "remove", "sort"}
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def places_of(
    statements: list[ast.stmt],
) -> tuple[dict[str, None], dict[str, None], dict[str, None]]:
    """What statements give a value to: by assignment, in place to a tensor, and to a list."""
    stored: dict[str, None] = {}
    written: dict[str, None] = {}
    touched: dict[str, None] = {}
    for node in _inside(statements):
        context = getattr(node, "ctx", None)
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(context, ast.Store):
            if (name := _place(node)) is not None:
                stored[name] = None
        elif isinstance(node, ast.Subscript) and isinstance(context, ast.Store):
            if (name := _place(_base(node))) is not None:
                written[name] = touched[name] = None
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            method, name = node.func.attr, _place(_base(node.func.value))
            in_place = method.endswith("_") and not method.endswith("__")
            if name is not None and (in_place or method in _CHANGES):
                touched[name] = None
                if in_place:
                    written[name] = None
        if isinstance(node, ast.AugAssign) and (name := _place(_base(node.target))) is not None:
            written[name] = None
    return stored, written, touched


def names_in(nodes: Sequence[ast.AST]) -> list[str]:
    """Each name as often as it stands there; an argument of the function stands in its head."""
    inside = [n for node in nodes for n in ast.walk(node)]
    found = [n.id for n in inside if isinstance(n, ast.Name)]
    return found + [n.arg for n in inside if isinstance(n, ast.arg)]


def _inside(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a function's own scope."""
    for node in nodes:
        yield node
        if not isinstance(node, (*SCOPES, *_COMPREHENSIONS)):
            yield from _inside(list(ast.iter_child_nodes(node)))


def _base(node: ast.expr) -> ast.expr:
    """`x` of `x[0][:, t]`."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node


def _place(node: ast.expr) -> str | None:
    """`self.h` as it is written; None where it is no name or attribute of one."""
    inner = node
    while isinstance(inner, ast.Attribute):
        inner = inner.value
    if not isinstance(inner, ast.Name):
        return None
    text = ast.unparse(node)
    return None if text.startswith("_rnnbench_both") else text

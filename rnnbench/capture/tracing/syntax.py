"""Parts of the syntax of a rewritten function."""

from __future__ import annotations

import ast
import re
from typing import Any

_SAYS = ("debug", "info", "warning", "warn", "error", "critical", "exception", "log")
HELPERS = "__rnnbench_both__"
"""The name of what a rewritten function calls; `H` where its code is shown."""


def helper_call(name: str, *args: ast.expr) -> ast.Call:
    """`H.name(*args)`."""
    return ast.Call(helper(name), list(args), [])


def helper(name: str) -> ast.Attribute:
    """`H.name`."""
    return ast.Attribute(ast.Name(HELPERS, ast.Load()), name, ast.Load())


def later(value: ast.expr) -> ast.Lambda:
    """`lambda: value`."""
    nothing = ast.arguments([], [], None, [], [], None, [])
    return ast.Lambda(nothing, value)


def at(node: Any, place: ast.AST) -> Any:
    """The node, whose new parts are where something else stood: an error names that line."""
    for inner in ast.walk(node):
        if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
            ast.copy_location(inner, place)
    return node


def only_says(statement: ast.stmt) -> bool:
    """Whether a statement prints, logs or warns, and does nothing else."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call):
        return False
    *of, does = ast.unparse(call.func).split(".")
    if not of:
        return does == "print"
    return (
        does in _SAYS and re.fullmatch(r"_?(log|logger|logging|warnings)", of[-1], re.I) is not None
    )


def parsed(text: str, place: ast.AST) -> list[ast.stmt]:
    """New statements, where something else stood."""
    statements = ast.parse(text).body
    for statement in statements:
        for inner in ast.walk(statement):
            if "lineno" in inner._attributes:
                ast.copy_location(inner, place)
    return statements

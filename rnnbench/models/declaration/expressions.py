"""Values that are given as Python text: names, calls of them, and lists and dicts of both.

torch.nn.LayerNorm             ->   the class
[nn.ReLU, nn.Tanh]             ->   both, as the class's own module knows nn
{"norm": Norm(size=8), "n": 2} ->   an object and a number
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from rnnbench.models.declaration.values import Chosen, literal


def expression(text: str, cls: type) -> Chosen | None:
    """The value of a text that has a dotted name, a call, or a list of such in it; None otherwise.

    Nothing else is run: there are no operators, and a name alone is a str.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    if isinstance(tree, ast.Name | ast.Constant):
        return None
    try:
        return _value(tree, vars(sys.modules[cls.__module__]))
    except Exception:  # a user's class may raise anything
        return None


def _value(tree: ast.expr, own: Any) -> Chosen:
    """The value of a part of a text.

    Raises:
        Exception: it is none that is known, or raises when it is made.
    """
    if isinstance(tree, ast.Attribute | ast.Name):
        return _found(ast.unparse(tree).split("."), own)
    if isinstance(tree, ast.Call):
        of = _value(tree.func, own)
        args = [_value(arg, own) for arg in tree.args]
        given = {str(k.arg): _value(k.value, own) for k in tree.keywords}
        made = of.value(*(a.value for a in args), **{k: v.value for k, v in given.items()})
        inner = ", ".join([*(a.text for a in args), *(f"{k}={v.text}" for k, v in given.items())])
        return Chosen(made, f"{of.text}({inner})", _imports([of, *args, *given.values()]))
    if isinstance(tree, ast.List | ast.Tuple):
        parts = [_value(part, own) for part in tree.elts]
        inner = ", ".join(part.text for part in parts)
        values = [part.value for part in parts]
        if isinstance(tree, ast.List):
            return Chosen(values, f"[{inner}]", _imports(parts))
        text = f"({inner},)" if len(parts) == 1 else f"({inner})"
        return Chosen(tuple(values), text, _imports(parts))
    if isinstance(tree, ast.Dict):
        keys = [_value(key, own) for key in tree.keys if key is not None]
        pairs = list(zip(keys, (_value(v, own) for v in tree.values), strict=True))
        inner = ", ".join(f"{k.text}: {v.text}" for k, v in pairs)
        held = {k.value: v.value for k, v in pairs}
        return Chosen(held, f"{{{inner}}}", _imports([part for pair in pairs for part in pair]))
    return literal(ast.literal_eval(tree))


def _found(parts: Sequence[str], own: Any) -> Chosen:
    """What a dotted name stands for: of what is imported by it, else of the class's own module.

    Raises:
        LookupError: there is no such name.
    """
    for n in range(len(parts) - 1, 0, -1):
        where = ".".join(parts[:n])
        try:
            held: Any = importlib.import_module(where)
            for part in parts[n:]:
                held = getattr(held, part)
        except (ImportError, AttributeError):
            continue
        return Chosen(held, ".".join(parts[n:]), (f"from {where} import {parts[n]}",))
    held = own[parts[0]]
    where, rest = own["__name__"], list(parts)
    while len(rest) > 1 and hasattr(held, "__path__"):  # a package that it knows by another name
        where, rest = held.__name__, rest[1:]
        held = getattr(held, rest[0])
    for part in rest[1:]:
        held = getattr(held, part)
    return Chosen(held, ".".join(rest), (f"from {where} import {rest[0]}",))


def _imports(parts: Sequence[Chosen]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line for part in parts for line in part.imports))

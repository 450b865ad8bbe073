"""A function's syntax where the number of a step is a value of the step (`step_numbers.py`)."""

from __future__ import annotations

import ast
import copy
from typing import Any

from rnnbench.capture.tracing.places import names_in
from rnnbench.capture.tracing.syntax import HELPERS, at, helper, helper_call, parsed


def with_numbered_steps(function: ast.FunctionDef) -> ast.FunctionDef | None:
    """A copy whose loops have their steps numbered by the helpers, which read what has an index.

        for t in range(T):            for t in H.range(T):
            y = x[:, t // 2]    ->        y = H.at(x, (H.part(None, None, None), t // 2))

        while t < T:                  while t < T:
            t += 1                        t = H.number_of_step(t)
                                ->        t += 1

    Args:
        function: as it is written.

    Returns:
        The copy; None where there is nothing of the kind.
    """
    numbered = _Numbered()
    copied: ast.FunctionDef = numbered.visit(copy.deepcopy(function))
    return copied if numbered.changed else None


class _Numbered(ast.NodeTransformer):
    """Rewrites loops and indices.

    Attributes:
        changed: whether there were any.
    """

    def __init__(self) -> None:
        self.changed = False

    def visit_For(self, node: ast.For) -> Any:
        for inner in ast.walk(node.iter):
            if not isinstance(inner, ast.Call) or not isinstance(inner.func, ast.Name):
                continue
            if inner.func.id in ("range", "enumerate"):
                self.changed = True
                inner.func = at(helper(inner.func.id), inner)
        return self.generic_visit(node)

    def visit_While(self, node: ast.While) -> Any:
        self.generic_visit(node)
        inside = [n for statement in node.body for n in ast.walk(statement)]
        grown = [n.target for n in inside if isinstance(n, ast.AugAssign)]
        asked = set(names_in([node.test]))
        for name in {t.id for t in grown if isinstance(t, ast.Name)} & asked:
            self.changed = True
            node.body[:0] = parsed(f"{name} = {HELPERS}.number_of_step({name})", node.test)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        self.changed = True
        return at(helper_call("at", node.value, _index(node.slice)), node)

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        return node


def _index(index: ast.expr) -> ast.expr:
    """What stands in brackets, as an expression of its own."""
    if isinstance(index, ast.Slice):
        ends = [end or ast.Constant(None) for end in (index.lower, index.upper, index.step)]
        return helper_call("part", *ends)
    if isinstance(index, ast.Tuple):
        return ast.Tuple([_index(part) for part in index.elts], ast.Load())
    return index

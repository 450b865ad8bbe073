"""What a function demands of sizes, in its syntax.

assert a == b                        assert H.demanded(lambda: a == b, True)
if a != b: raise ValueError(...) ->  if H.demanded(lambda: a != b, False): raise ValueError(...)
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

from rnnbench.capture.tracing.syntax import at, helper_call, later

_AWAY = (ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Await)


def demands_of(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """The tests on which a function raises, or not.

    Args:
        function: as it is written.
    """
    for node in ast.walk(function):
        if _otherwise(node) is not None:
            assert isinstance(node, ast.Assert | ast.If)
            yield node.test


def with_demands(function: ast.FunctionDef) -> ast.FunctionDef | None:
    """A copy without decorators in which such tests are asked by a helper; None: it has none.

    Args:
        function: as it is written.
    """
    changed: ast.FunctionDef = copy.deepcopy(function)
    changed.decorator_list = []
    found = False
    for node in ast.walk(changed):
        otherwise = _otherwise(node)
        if otherwise is not None:
            assert isinstance(node, ast.Assert | ast.If)
            asked = helper_call("demanded", later(node.test), ast.Constant(otherwise))
            node.test = at(asked, node.test)
            found = True
    return changed if found else None


def _otherwise(node: ast.AST) -> bool | None:
    """The truth of a statement's test on which it does not raise; None where it never does."""
    if not isinstance(node, ast.Assert | ast.If):
        return None
    if any(isinstance(inner, _AWAY) for inner in ast.walk(node.test)):
        return None
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node.body[-1], ast.Raise):
        return False
    return True if node.orelse and isinstance(node.orelse[-1], ast.Raise) else None

"""Loops that count the rows which a step has, where the rows lie in the order of their lengths.

    for t in range(steps):                  for t in range(steps):
        while lengths[last] <= t:   ->          last = H.last_row(lambda: lengths, lambda: t, ...)
            last -= 1
        h[: last + 1] = cell(x[: last + 1, t], h[: last + 1])

How many rows of falling lengths l are longer than t is what `batch_sizes[t]` of a packed sequence
is, and is walked like it: see `walking.py`. From the end, with `lengths[last + 1] > t` and
`last += 1`, rows join.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor

from rnnbench.capture.tracing.syntax import at, helper_call, later
from rnnbench.capture.tracing.walking import LastRow, Walk

_TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.LtE: ast.GtE,
    ast.Lt: ast.Gt,
    ast.GtE: ast.LtE,
    ast.Gt: ast.Lt,
}


def counting(node: ast.AST) -> ast.stmt | None:
    """The assignment in the place of a loop that counts rows; None: it does something else."""
    if not isinstance(node, ast.While) or len(node.body) != 1 or node.orelse:
        return None
    (inside,) = node.body
    if not isinstance(inside, ast.AugAssign) or not isinstance(inside.target, ast.Name):
        return None
    down = isinstance(inside.op, ast.Sub)
    one = isinstance(inside.value, ast.Constant) and inside.value.value == 1
    if not one or not (down or isinstance(inside.op, ast.Add)):
        return None
    row = inside.target.id
    both = isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And)
    tests = node.test.values if both else [node.test]  # type: ignore[attr-defined]
    found = [(test, _compared(test, row, down)) for test in tests]
    compared = [pair for _, pair in found if pair is not None]
    bounds = [_bound(test, row, down) for test, pair in found if pair is None]
    if len(compared) != 1 or None in bounds:
        return None
    lengths, step = compared[0]
    # `len()` gives a number in Python, which a dynamic batch has none of: it is all rows.
    none_of_all = ("0", f"len({ast.unparse(lengths)})")
    bounds = [b for b in bounds if b is not None and ast.unparse(b) not in none_of_all]
    arguments = ast.arguments([], [ast.arg(row)], None, [], [], None, [])
    run = ast.Lambda(arguments, copy.deepcopy(node.test))
    call = helper_call(
        "last_row", later(lengths), later(step), ast.Name(row, ast.Load()), run,
        ast.List([later(bound) for bound in bounds if bound is not None], ast.Load()),
        ast.Constant(down),
    )  # fmt: skip
    return at(ast.Assign([ast.Name(row, ast.Store())], call), node)  # type: ignore[no-any-return]


def _compared(test: ast.expr, row: str, down: bool) -> tuple[ast.expr, ast.expr] | None:
    """The lengths and the step of `lengths[row] <= step`, upwards of `lengths[row + 1] > step`."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    left, operator, right = test.left, type(test.ops[0]), test.comparators[0]
    if isinstance(right, ast.Subscript) and operator in _TURNED:
        left, operator, right = right, _TURNED[operator], left
    if not isinstance(left, ast.Subscript) or operator not in _TURNED:
        return None
    if ast.unparse(left.slice) != (row if down else f"{row} + 1"):
        return None
    if row in _names(left.value) or row in _names(right):
        return None
    if down is not (operator in (ast.LtE, ast.Lt)):
        return None
    # `<` and `>=` are about the step before.
    before = ast.BinOp(right, ast.Sub(), ast.Constant(1))
    return left.value, before if operator in (ast.Lt, ast.GtE) else right


def _bound(test: ast.expr, row: str, down: bool) -> ast.expr | None:
    """How many rows there may be at most, or 0 at least, by `row < n - 1` or `row > 0`."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    left, operator, right = ast.unparse(test.left), type(test.ops[0]), test.comparators[0]
    if down:
        least = {ast.Gt: (0, -1), ast.GtE: (0, 1)}.get(operator, ())
        fits = left == row and isinstance(right, ast.Constant) and right.value in least
        return ast.Constant(0) if fits else None
    if operator is not ast.Lt or row in _names(right):
        return None
    if left == f"{row} + 1":
        return right
    one_less = isinstance(right, ast.BinOp) and isinstance(right.op, ast.Sub)
    if left != row or not one_less or ast.unparse(right.right) != "1":  # type: ignore[attr-defined]
        return None
    return right.left  # type: ignore[attr-defined, no-any-return]


def _names(node: ast.expr) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def last_row(
    walk_of: Callable[[Tensor], Walk | None],
    lengths: Callable[[], Any],
    step: Callable[[], Any],
    row: Any,
    test: Callable[[Any], Any],
    bounds: list[Callable[[], Any]],
    down: bool,
) -> Any:
    """The row at which a loop that counts rows ends.

    Args:
        walk_of: of lengths, what their rows do; None of a tensor that is not traced.
        lengths: [batch] the lengths, which fall.
        step: of whose rows the last one is wanted.
        row: where the loop begins.
        test: whether it goes on at a row.
        bounds: of how many rows it is, where it asks for that.
        down: whether it goes to earlier rows.
    """
    of, t = lengths(), step()
    of = getattr(of, "tensor", of)  # a list of the numbers in a tensor
    walk = walk_of(of) if isinstance(of, Tensor) and of.dim() == 1 and type(t) is int else None
    counted = walk is not None and t >= 0 and _begins_well(walk, row, t, down)
    if counted and walk is not None and all(walk.has_rows(bound()) for bound in bounds):
        return LastRow(walk.rows(t))
    while test(row):
        row = row - 1 if down else row + 1
    return row


def _begins_well(walk: Walk, row: Any, step: int, down: bool) -> bool:
    """Whether the loop comes to the last row of the step: it does not begin behind it."""
    if isinstance(row, LastRow):
        return row.rows.walk is walk and (row.rows.step <= step if down else row.rows.step >= step)
    return walk.has_rows(row + 1) if down else type(row) is int and row == 0

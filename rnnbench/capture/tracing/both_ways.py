"""A function's syntax with both ways of each `if` on data.

    if x[:, t].max() > 0.5:             both = H.Both(x[:, t].max() > 0.5)
        h = self.cell(x[:, t], h)       both.keep(h, skipped)
    else:                               if both.first:
        skipped += 1                        h = self.cell(x[:, t], h)
                                ->      both.switch(h, skipped); h = both.before["h"] ...
                                        if both.second:
                                            skipped += 1
                                        both.merge(h, skipped); h = both.result["h"] ...

What follows a `continue` or a `return` on one way is the other way:

    if done: continue                   if done: pass
    h = cell(h)                 ->      else: h = cell(h)
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rnnbench.capture.tracing.counted_rows import counting
from rnnbench.capture.tracing.numbered_loops import with_numbered_steps
from rnnbench.capture.tracing.places import SCOPES, names_in, places_of
from rnnbench.capture.tracing.syntax import HELPERS, at, helper_call, later, only_says, parsed

_LOOPS = (ast.For, ast.While, ast.AsyncFor)
_AWAY = (ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Await)


def with_both_ways(function: ast.FunctionDef, steps: bool) -> ast.FunctionDef | None:
    """A copy without decorators that runs both ways; None where it would do nothing else.

    Args:
        function: as it is written.
        steps: whether the number of a step is a value of it: `range`, `enumerate` and indices
            inside of loops are rewritten too.
    """
    numbered = with_numbered_steps(function) if steps else None
    function = numbered or function
    changer = _Changer(Counter(names_in([function])))
    changed = copy.deepcopy(function)
    changed.decorator_list = []
    changed.body = changer.block(changed.body, ast.Return)
    return changed if changer.changed or numbered else None


class _Changer:
    """Rewrites statements, and the expressions in them.

    Attributes:
        changed: whether any was.
    """

    def __init__(self, names: Counter[str]) -> None:
        """Begins with a function.

        Args:
            names: how often each name stands in it.
        """
        self.changed = False
        self._all = names
        self._made = 0

    def block(self, statements: Sequence[ast.stmt], tail: type[ast.stmt] | None) -> list[ast.stmt]:
        """Statements in a row, rewritten.

        Args:
            statements: as they are written.
            tail: what would say nothing at their end: `return` of a function, `continue` of a loop.
        """
        result: list[ast.stmt] = []
        for place, statement in enumerate(statements):
            counted = counting(statement)
            if counted is not None:
                self.changed = True
                result.append(counted)
            elif isinstance(statement, ast.If):
                rest = list(statements[place + 1 :])
                moved = tail is not None and _absorb(statement, rest, tail)
                result += self._branch(statement, tail if moved or not rest else None)
                if moved:
                    return result
            else:
                result.append(self._statement(statement))
        return result

    def _statement(self, statement: ast.stmt) -> ast.stmt:
        if isinstance(statement, SCOPES):
            return statement
        if isinstance(statement, ast.Assert):
            self.changed = True
            statement.test = self._unless_data(statement.test, True)
        inside = ast.Continue if isinstance(statement, _LOOPS) else None
        for name, value in ast.iter_fields(statement):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                setattr(statement, name, self.block(value, inside if name == "body" else None))
            elif isinstance(value, ast.expr):
                setattr(statement, name, self._expression(value))
        for handler in getattr(statement, "handlers", ()):
            handler.body = self.block(handler.body, None)
        return statement

    def _branch(self, node: ast.If, tail: type[ast.stmt] | None) -> list[ast.stmt]:
        """An `if`, and what its two ways leave."""
        if not node.orelse and all(map(only_says, node.body)):
            self.changed = True
            if not any(isinstance(n, _AWAY) for n in ast.walk(node.test)):
                node.test = at(helper_call("says", later(self._test(node.test))), node.test)
            return [node]
        here = Counter(names_in([node]))
        own = {name for name, count in here.items() if count == self._all[name]}
        ways = [self.block(node.body, tail), self.block(node.orelse, tail)]
        if tail is ast.Continue:
            ways = [w[:-1] if w and isinstance(w[-1], ast.Continue) else w for w in ways]
        raises = [bool(w) and isinstance(w[-1], ast.Raise) for w in ways]
        node.body, node.orelse = ways[0] or [ast.Pass()], ways[1]
        if any(raises):
            self.changed = True
            node.test = self._unless_data(node.test, raises[1])
            return [node]
        returns = tail is ast.Return and any(w and isinstance(w[-1], ast.Return) for w in ways)
        name = self._name("returned")
        if returns:
            ways = [_returning(w, name) for w in ways]
        if any(_leaves(s) for way in ways for s in way):
            node.test = self._expression(node.test)
            return [node]
        self.changed = True
        made = _Both(self._name("both"), node.test, [s for way in ways for s in way], own)
        code = [*made.before(self._test(node.test)), *made.way("first", ways[0]), *made.between()]
        code += [*made.way("second", ways[1]), *made.after()]
        if returns:
            code += parsed(f"return {name}", node.test)
        return [at(statement, node) for statement in code]

    def _test(self, test: ast.expr) -> ast.expr:
        """The test of an `if`: `and`, `or`, `not`, `bool()` and `.item()` leave tensors tensors."""
        if any(isinstance(n, _AWAY) for n in ast.walk(test)):
            return test
        if isinstance(test, ast.BoolOp):
            name = "all" if isinstance(test.op, ast.And) else "any"
            *values, last = [self._test(v) for v in test.values]
            for value in reversed(values):
                last = helper_call(name, value, later(last))
            placed: ast.expr = at(last, test)
            return placed
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            negated: ast.expr = at(helper_call("no", self._test(test.operand)), test)
            return negated
        if _calls(test, "bool"):
            assert isinstance(test, ast.Call)
            return self._test(test.args[0])
        return _Items().visit(self._expression(test))  # type: ignore[no-any-return]

    def _unless_data(self, test: ast.expr, otherwise: bool) -> ast.expr:
        if any(isinstance(n, _AWAY) for n in ast.walk(test)):
            return test
        known = helper_call("unless_data", later(self._test(test)), ast.Constant(otherwise))
        placed: ast.expr = at(known, test)
        return placed

    def _expression(self, value: ast.expr) -> ast.expr:
        """An expression in which `a if test else b` chooses."""
        changer = self

        class Choices(ast.NodeTransformer):
            def visit_IfExp(self, node: ast.IfExp) -> Any:
                if any(isinstance(n, _AWAY) for n in ast.walk(node)):
                    return node
                changer.changed = True
                yes, no = self.visit(node.body), self.visit(node.orelse)
                choose = helper_call("choose", changer._test(node.test), later(yes), later(no))
                return at(choose, node)

            def visit_Lambda(self, node: ast.Lambda) -> Any:
                return node

        return Choices().visit(value)  # type: ignore[no-any-return]

    def _name(self, kind: str) -> str:
        self._made += 1
        return f"_rnnbench_{kind}_{self._made}"


class _Both:
    """The statements around the two ways of an `if`."""

    def __init__(self, name: str, place: ast.expr, inside: list[ast.stmt], own: set[str]) -> None:
        """Finds what the ways change.

        Args:
            name: of the `Both`.
            place: the test; a call that spans lines would be where its last line is.
            inside: the statements of both ways.
            own: names that are nowhere else in the function: what they are in the end is nobody's.
        """
        self._name, self._place = name, place
        self._stored, self._written, touched = places_of(inside)
        self._all = [*{**self._stored, **touched}]
        self._kept = [p for p in self._all if p not in own]

    def before(self, test: ast.expr) -> list[ast.stmt]:
        (made,) = parsed(f"{self._name} = {HELPERS}.Both(None)", self._place)
        assert isinstance(made, ast.Assign)
        assert isinstance(made.value, ast.Call)
        made.value.args = [test]
        keep = self._code(f"keep({_readers(self._all)}, {tuple(self._written)!r})")
        return [made, *keep, *self._assigned("before")]

    def way(self, which: str, statements: list[ast.stmt]) -> list[ast.stmt]:
        (branch,) = parsed(f"if {self._name}.{which}: pass", self._place)
        assert isinstance(branch, ast.If)
        branch.body = statements or branch.body
        return [branch]

    def between(self) -> list[ast.stmt]:
        return [*self._code(f"switch({_readers(self._all)})"), *self._assigned("before")]

    def after(self) -> list[ast.stmt]:
        return [*self._code(f"merge({_readers(self._kept)})"), *self._assigned("result")]

    def _code(self, call: str) -> list[ast.stmt]:
        return parsed(f"{self._name}.{call}", self._place)

    def _assigned(self, held: str) -> list[ast.stmt]:
        lines = [
            f"if {p!r} in {self._name}.{held}: {p} = {self._name}.{held}[{p!r}]"
            for p in self._stored
        ]
        return parsed("\n".join(lines), self._place)


def _readers(places: Sequence[str]) -> str:
    return "{" + ", ".join(f"{p!r}: lambda: {p}" for p in places) + "}"


class _Items(ast.NodeTransformer):
    """`x.item()` and `float(x)` in a test: compared as the tensor that it is."""

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        item = isinstance(node.func, ast.Attribute) and node.func.attr == "item" and not node.args
        if item:
            assert isinstance(node.func, ast.Attribute)
            return at(helper_call("item", node.func.value), node)
        return at(helper_call("number", node.args[0]), node) if _calls(node, "float") else node

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        return node


def _absorb(node: ast.If, rest: list[ast.stmt], tail: type[ast.stmt]) -> bool:
    """Moves what follows an `if` into the way that goes on to it, where the other ends."""
    ends = [bool(way) and isinstance(way[-1], tail) for way in (node.body, node.orelse)]
    if not any(ends):
        return False
    if not ends[0]:
        node.body = node.body + rest
    if not ends[1]:
        node.orelse = node.orelse + rest
    return True


def _returning(way: list[ast.stmt], name: str) -> list[ast.stmt]:
    """A way that gives what it returns a name."""
    last = way[-1] if way and isinstance(way[-1], ast.Return) else None
    value = (last.value if last is not None else None) or ast.Constant(None)
    assigned = ast.Assign([ast.Name(name, ast.Store())], value)
    kept = way[:-1] if last is not None else way
    return [*kept, at(assigned, last or (way[-1] if way else assigned))]


def _leaves(statement: ast.AST, in_loop: bool = False) -> bool:
    """Whether a statement may go somewhere else, or cannot be run twice."""
    if isinstance(statement, ast.Return | ast.Delete | ast.Global | ast.Nonlocal):
        return True
    if isinstance(statement, ast.Break | ast.Continue):
        return not in_loop
    if isinstance(statement, _AWAY):
        return True
    if isinstance(statement, SCOPES):
        return False
    inside = in_loop or isinstance(statement, _LOOPS)
    return any(_leaves(child, inside) for child in ast.iter_child_nodes(statement))


def _calls(node: ast.expr, name: str) -> bool:
    """Whether it is a call of a built-in function with one argument."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == name
        and len(node.args) == 1
        and not node.keywords
    )

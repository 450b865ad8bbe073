"""Sizes of a captured program as expressions of C, in the names of the model's dimensions.

Mul(4, s0), FloorDiv(s1, 2) + 1  ->  4 * batch, time / 2 + 1
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy

from rnnbench.core.errors import RnnbenchError
from rnnbench.formats.c.values import atom

_FUNCTIONS = {
    "FloorDiv": "model_floor_div",
    "CleanDiv": "model_floor_div",
    "Mod": "model_mod",
    "PythonMod": "model_mod",
    "Max": "model_max",
    "Min": "model_min",
}
Size = Any
"""An int, or an expression of SymPy."""


def size_of(size: Any) -> Size:
    """A size of a tensor in a program: a number, or its expression."""
    if isinstance(size, int):
        return int(size)
    expression = size.node.expr
    return int(expression) if expression.is_Integer else expression


def numel(sizes: Sequence[Size]) -> Size:
    """How many elements a shape has."""
    found: Size = 1
    for size in sizes:
        found = found * size
    return found


def at_least_none(size: Size) -> Size:
    """The size, or 0 where it may be below."""
    if isinstance(size, int) or size.is_Symbol or size.is_nonnegative:
        return size
    return sympy.Max(0, size)


class NoForm(RnnbenchError):  # noqa: N818  (an answer, which becomes that of a line)
    """A size that C cannot say."""


class Sizes:
    """Writes sizes.

    Args:
        names: symbol -> the C variable that holds it.

    Attributes:
        names: as given, and those that data say, once they are read.
        bounds: symbol that data say -> the most that it can be.
        fixed: the symbols of the model's dimensions.
        limit: of sizes that data say and that have no other bound.
    """

    def __init__(self, names: Mapping[sympy.Symbol, str]) -> None:
        self.names = dict(names)
        self.bounds: dict[Any, Size] = {}
        self.fixed: frozenset[Any] = frozenset()
        self.limit: int | None = None

    def most(self, size: Size) -> Size:
        """The size, or the most that it can be where data say it."""
        while not isinstance(size, int) and size.free_symbols & self.bounds.keys():
            size = size.xreplace(self.bounds)
        for symbol in getattr(size, "free_symbols", set()) - self.fixed:
            if self.limit is None:
                raise NoForm(
                    f"a size that data say ({symbol}) has no limit, and no room in C without one: "
                    "declare max_steps=..., or torch._check it against a size"
                )
            size = size.xreplace({symbol: self.limit})
        return size

    def text(self, size: Size) -> str:
        """An expression of C, which needs no parentheses around it in a product."""
        if isinstance(size, int) or size.is_Integer:
            return str(int(size))
        text = self._text(size)
        return text if size.is_Symbol or not isinstance(size, sympy.Add) else f"({text})"

    def said(self, size: Size) -> str:
        """The size in a comment, where it may be one that data are about to say."""
        try:
            return self.text(size)
        except NoForm:
            return "?"

    def worth_at_one(self, sizes: Sequence[Size], dims: Sequence[str]) -> int | None:
        """How many elements a shape has where each dimension is 1; None where data say it."""
        ones = {symbol: 1 for symbol, name in self.names.items() if name in dims}
        found = sympy.sympify(numel(sizes)).subs(ones)
        return int(found) if found.is_Integer else None

    def product(self, sizes: Sequence[Size]) -> str:
        """How many elements a shape has; what is known is one number: C's int may overflow."""
        numbers = [s for s in sizes if isinstance(s, int) or s.is_Integer]
        factors = [self.text(s) for s in sizes if s not in numbers]
        known = math.prod(map(int, numbers))
        if known != 1 or not factors:
            factors.append(str(known))
        return " * ".join(factors)

    def _text(self, e: Any) -> str:
        if e.is_Integer:
            return str(int(e))
        if e.is_Symbol:
            return self._symbol(e)
        if isinstance(e, sympy.Add | sympy.Mul):
            sign = " + " if isinstance(e, sympy.Add) else " * "
            text: str = sign.join(self._factor(a) for a in e.args)
            return text
        if isinstance(e, sympy.Pow) and e.exp.is_Integer and e.exp > 0:
            factor: str = self._factor(e.base)
            return " * ".join([factor] * int(e.exp))
        whole = _whole(e)
        if whole is not None:
            return f"(int64_t)({whole(self._real)})"
        function = _FUNCTIONS.get(type(e).__name__)
        if function is None:
            raise NoForm(f"a size {e} has no form in C yet")
        found = self._text(e.args[0])
        for other in e.args[1:]:
            found = f"{function}({found}, {self._text(other)})"
        return found

    def _real(self, e: Any) -> str:
        """A real number that is made of sizes, as a double."""
        if e.is_Number:
            return repr(float(e))
        name = type(e).__name__
        if name == "ToFloat":
            return f"(double)({self._text(e.args[0])})"
        if name == "IntTrueDiv":
            return " / ".join(f"(double)({self._text(a)})" for a in e.args)
        if isinstance(e, sympy.Add | sympy.Mul) or name == "FloatTrueDiv":
            sign = {"Add": " + ", "Mul": " * "}.get(name, " / ")
            return sign.join(f"({self._real(a)})" for a in e.args)
        raise NoForm(f"a size made of {e} has no form in C yet")

    def _symbol(self, symbol: Any) -> str:
        if symbol not in self.names:
            raise NoForm(f"a size that data say ({symbol}) has no form in C yet")
        name: str = self.names[symbol]
        return name

    def _factor(self, e: Any) -> str:
        text = self._text(e)
        return atom(text)


def _whole(e: Any) -> Callable[[Callable[[Any], str]], str] | None:
    """How a real number becomes a size; None of what is no such thing."""
    called = {"TruncToInt": "{}", "FloorToInt": "floor({})", "CeilToInt": "ceil({})"}
    called["RoundToInt"] = "rint({})"  # half to even, as Python's
    template = called.get(type(e).__name__)
    if template is None:
        return None
    return lambda real: template.format(real(e.args[0]))

"""Functions of a model that run both ways of an `if` on data, while they are traced.

A trace runs a loop step by step, and would go one of two ways in each. Only the functions that ask
are rewritten (`both_ways.py`), their places in memory stay, and an `if` on anything else does what
it did.
"""

from __future__ import annotations

import ast
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

from torch import Tensor

from rnnbench.capture.source_lines import is_library
from rnnbench.capture.tracing import merging
from rnnbench.capture.tracing.both_ways import HELPERS, with_both_ways

Known = Callable[[Tensor], bool | None]


class Helpers:
    """What a rewritten function calls.

    Args:
        known: the truth of a tensor, where it is made of constants alone.
    """

    def __init__(self, known: Known) -> None:
        self.Both = partial(merging.Both, known=known)
        self.all = partial(merging.both_of, known)
        self.any = partial(merging.either_of, known)
        self.no = partial(merging.negated, known)
        self._known = known

    def choose(self, test: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
        """`yes if test else no`."""
        both = self.Both(test)
        values: list[Any] = [yes()] if both.first else []
        if both.second:
            values.append(no())
        return both.choose("an expression", *values) if both.both else values[0]

    def unless_data(self, test: Any, otherwise: bool) -> bool:
        """The truth of a test; of one that a trace does not know, that on which nothing raises."""
        truth = self._known(test) if merging.is_data(test) else bool(test)
        return otherwise if truth is None else truth

    def item(self, value: Any) -> Any:
        """`value.item()`, where it is known."""
        unknown = merging.is_data(value) and self._known(value) is None
        return value.reshape(()) if unknown else value.item()

    def number(self, value: Any) -> Any:
        """`float(value)`, where it is known."""
        unknown = merging.is_data(value) and self._known(value) is None
        return value.reshape(()) if unknown else float(value)


@contextmanager
def running_both_ways(functions: Sequence[FunctionType], known: Known) -> Iterator[None]:
    """While it lasts, functions run both ways of an `if` on data.

    Args:
        functions: those that ask for the truth of tensors.
        known: the truth of a tensor, where it is made of constants alone.
    """
    before = [(function, function.__code__) for function in functions]
    names = {id(f.__globals__): f.__globals__ for f in functions}
    try:
        for function, code in before:
            function.__code__ = rewritten(code) or code
        for its in names.values():
            its[HELPERS] = Helpers(known)
        yield
    finally:
        for function, code in before:
            function.__code__ = code
        for its in names.values():
            its.pop(HELPERS, None)


def functions_that_ask(
    error: BaseException, already: Sequence[FunctionType]
) -> tuple[FunctionType, ...]:
    """The model's own function in which an error arose, where it can be rewritten; or nothing.

    Args:
        error: raised in a trace.
        already: those that are rewritten as it is.
    """
    frame = None
    traceback = error.__traceback__
    while traceback is not None:
        here = traceback.tb_frame
        frame = frame if is_library(here.f_code.co_filename) else here
        traceback = traceback.tb_next
    if frame is None or any(_same(frame.f_code, f.__code__) for f in already):
        return ()
    return _functions(frame) if rewritten(frame.f_code) is not None else ()


def rewritten(code: CodeType) -> CodeType | None:
    """The code of a function with both ways of each `if` that allows it; None: there is none."""
    try:
        tree = ast.parse(Path(code.co_filename).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
    found = _find(tree, code)
    function = with_both_ways(found[0]) if found else None
    if found is None or function is None:
        return None
    # Around it stands what it takes names from: those stay free in it, and `self.__x` its class's.
    inside: list[ast.stmt] = [function]
    if found[1] is not None:
        inside = [
            ast.ClassDef(name=found[1], bases=[], keywords=[], body=inside, decorator_list=[])
        ]
        inside[0].type_params = []  # type: ignore[attr-defined]
    free = [name for name in code.co_freevars if name != "__class__"]
    (outer,) = ast.parse(f"def outer({', '.join(free)}): pass").body
    assert isinstance(outer, ast.FunctionDef)
    outer.body = inside
    module = ast.fix_missing_locations(ast.Module([outer], []))
    compiled = compile(module, code.co_filename, "exec")
    made = next(c for c in _codes(compiled) if c.co_name == code.co_name)
    same = made.co_freevars == code.co_freevars
    return made.replace(co_qualname=code.co_qualname) if same else None


def _functions(frame: FrameType) -> tuple[FunctionType, ...]:
    """The functions that have the code of a frame now: in its file, or wherever they are kept."""
    code = frame.f_code
    values = list(frame.f_globals.values())
    values += [v for c in values if isinstance(c, type) for v in vars(c).values()]
    values += gc.get_referrers(code)
    found = {id(f): f for value in values for f in _inside(value) if f.__code__ is code}
    return tuple(found.values())


def _inside(value: Any) -> Iterator[FunctionType]:
    """A function, and those that decorators have put others around."""
    while value is not None:
        if isinstance(value, FunctionType):
            yield value
        value = getattr(value, "__wrapped__", None) or getattr(value, "__func__", None)


def _same(a: CodeType, b: CodeType) -> bool:
    return (a.co_filename, a.co_qualname) == (b.co_filename, b.co_qualname)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield const
            yield from _codes(const)


def _find(tree: ast.Module, code: CodeType) -> tuple[ast.FunctionDef, str | None] | None:
    """The function in its file, and the class that it is directly in."""
    for parent in ast.walk(tree):
        for node in ast.iter_child_nodes(parent):
            if not isinstance(node, ast.FunctionDef) or node.name != code.co_name:
                continue
            lines = [node.lineno, *(d.lineno for d in node.decorator_list)]
            if min(lines) == code.co_firstlineno:
                return node, parent.name if isinstance(parent, ast.ClassDef) else None
    return None

"""Functions of a model that run both ways of an `if` on data, while they are traced.

A trace runs a loop step by step, and would go one of two ways in each. Only the functions that ask
are rewritten (`both_ways.py`), their places in memory stay, and an `if` on anything else does what
it did.
"""

from __future__ import annotations

import ast
import dis
import gc
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from rnnbench.capture.tracing import merging
from rnnbench.capture.tracing.both_ways import with_both_ways
from rnnbench.capture.tracing.counted_rows import counting, last_row
from rnnbench.capture.tracing.demanded import demanded, is_of_sizes
from rnnbench.capture.tracing.demands import demands_of, with_demands
from rnnbench.capture.tracing.filled import filled, taken, with_filled_lists
from rnnbench.capture.tracing.packing import Packing
from rnnbench.capture.tracing.step_numbers import Numbering, value_of
from rnnbench.capture.tracing.syntax import HELPERS
from rnnbench.core.one_thread import exchanged_code, replaced
from rnnbench.models.own_files import is_library

Known = Callable[[Tensor], bool | None]


@dataclass(frozen=True)
class Rewritten:
    """The functions of a model that are rewritten while it is traced.

    Attributes:
        functions: those that run both ways of an `if` on data.
        steps: whether the number of a step is data to them: `if t % 2`.
        demanding: those of which only what they demand of sizes is rewritten.
    """

    functions: tuple[FunctionType, ...] = ()
    steps: bool = False
    demanding: tuple[FunctionType, ...] = ()

    @property
    def counts_rows(self) -> bool:
        """Whether one counts the rows of a step by their lengths."""
        found = (_function_of(f.__code__) for f in self.functions)
        return any(counting(node) for pair in found if pair for node in ast.walk(pair[0]))

    def and_those_of(self, error: BaseException) -> Rewritten | None:
        """With the model's own function in which an error arose; None: it cannot be rewritten.

        Args:
            error: raised in a trace.
        """
        frame, line = None, 0
        traceback = error.__traceback__
        while traceback is not None:
            if not is_library(traceback.tb_frame.f_code.co_filename):
                frame, line = traceback.tb_frame, traceback.tb_lineno
            traceback = traceback.tb_next
        if frame is None or any(_same(frame.f_code, f.__code__) for f in self.functions):
            return None
        known = tuple(f for f in self.demanding if _same(frame.f_code, f.__code__))
        if not known and is_of_sizes(error) and _demands_at(frame.f_code, line):
            found = _functions(frame)
            return replace(self, demanding=self.demanding + found) if found else None
        if rewritten(frame.f_code, self.steps) is None:
            return None
        found = known or _functions(frame)
        return replace(self, functions=self.functions + found) if found else None


class Helpers(Numbering):
    """What a rewritten function calls.

    Args:
        known: the truth of a tensor, where it is made of constants alone.
        sizes: the sizes that loops over steps have in this trace.
        packing: knows of the rows of packed sequences.
    """

    def __init__(self, known: Known, sizes: Collection[int], packing: Packing) -> None:
        super().__init__(sizes)
        self.last_row = partial(last_row, packing.walk_of)
        self._packing = packing
        self.all = partial(merging.both_of, known)
        self.any = partial(merging.either_of, known)
        self.filled = filled
        self.taken = taken
        self._known = known

    def Both(self, test: Any) -> merging.Both:  # noqa: N802  (it makes one)
        """Reaches an `if`."""
        value = value_of(test)
        told = self._packing.no_row_is_full(value)
        return merging.Both(value if told is None else told, self._known)

    def no(self, value: Any) -> Any:
        """`not value`."""
        return merging.negated(self._known, value_of(value))

    def choose(self, test: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
        """`yes if test else no`."""
        both = self.Both(test)
        values: list[Any] = [yes()] if both.first else []
        if both.second:
            values.append(no())
        return both.choose("an expression", *values) if both.both else values[0]

    def unless_data(self, test: Callable[[], Any], otherwise: bool) -> bool:
        """The truth of a test; of one that a trace does not know, that on which nothing raises."""

        def asked() -> bool | None:
            value = value_of(test())
            return self._known(value) if merging.is_data(value) else bool(value)

        truth = demanded(asked, otherwise)
        return otherwise if truth is None else truth

    def says(self, test: Callable[[], Any]) -> bool:
        """The truth of a test on which it is only said something; of data nothing is said."""
        try:
            value = value_of(test())
            return bool(self._known(value) if merging.is_data(value) else value)
        except GuardOnDataDependentSymNode:  # how many there are, in `x.nonzero().numel() > 0`
            return False

    def demanded(self, test: Callable[[], Any], otherwise: bool) -> bool:
        """The truth of a test; of sizes that a trace does not know, that on which none raises."""
        return bool(demanded(lambda: bool(test()), otherwise))

    def item(self, value: Any) -> Any:
        """`value.item()`, where it is known."""
        unknown = merging.is_data(value) and self._known(value) is None
        return value.reshape(()) if unknown else value.item()

    def number(self, value: Any) -> Any:
        """`float(value)`, where it is known."""
        unknown = merging.is_data(value) and self._known(value) is None
        return value.reshape(()) if unknown else float(value)


@contextmanager
def running_both_ways(
    those: Rewritten, known: Known, sizes: Collection[int] = (), packing: Packing | None = None
) -> Iterator[None]:
    """While it lasts, functions run both ways of an `if` on data.

    Args:
        those: the functions.
        known: the truth of a tensor, where it is made of constants alone.
        sizes: the sizes that loops over steps have in this trace.
        packing: knows of the rows of packed sequences.
    """
    demanding = [f for f in those.demanding if f not in those.functions]
    names = {id(f.__globals__): f.__globals__ for f in (*those.functions, *demanding)}
    with ExitStack() as instead:
        for its in names.values():
            helpers = Helpers(known, sizes if those.steps else (), packing or Packing())
            instead.enter_context(replaced(its, HELPERS, helpers))
        for function in (*those.functions, *demanding):
            changed = _changed_by(those.steps) if function in those.functions else with_demands
            code = _recompiled(function.__code__, changed)
            if code is not None:
                instead.enter_context(exchanged_code(function, code))
        yield


def numbering_steps(module: nn.Module, those: Rewritten) -> Rewritten | None:
    """The functions of a model, to which numbers of steps are data; None: it has no loop.

    Args:
        module: the model.
        those: what is rewritten already.
    """
    classes = {cls for part in module.modules() for cls in type(part).__mro__}
    methods = {f for cls in classes for value in vars(cls).values() for f in _inside(value)}
    own = {f for f in methods if not is_library(f.__code__.co_filename)}
    files = {f.__code__.co_filename for f in own}
    beside = {f for m in own for value in m.__globals__.values() for f in _inside(value)}
    own |= {f for f in beside if f.__code__.co_filename in files}
    if not any(_goes_back(f.__code__) for f in own):
        return None
    found = {f for f in own if rewritten(f.__code__, steps=True) is not None}
    return Rewritten(tuple(sorted({*those.functions, *found}, key=_place)), steps=True)


def _goes_back(code: CodeType) -> bool:
    """Whether there is a loop."""
    jumps = {*dis.hasjrel, *dis.hasjabs}
    return any(i.opcode in jumps and i.argval < i.offset for i in dis.get_instructions(code))


def _place(function: FunctionType) -> tuple[str, int]:
    return function.__code__.co_filename, function.__code__.co_firstlineno


def rewritten(code: CodeType, steps: bool = False) -> CodeType | None:
    """The code of a function with both ways of each `if` that allows it; None: there is none.

    Args:
        code: of the function.
        steps: whether the number of a step is data as well.
    """
    return _recompiled(code, _changed_by(steps))


def _demands_at(code: CodeType, line: int) -> bool:
    """Whether a line of a function is of an `assert`, or of an `if` with a `raise`."""
    found = _function_of(code)
    return found is not None and any(
        test.lineno <= line <= (test.end_lineno or 0) for test in demands_of(found[0])
    )


def _function_of(code: CodeType) -> tuple[ast.FunctionDef, str | None] | None:
    """The function in its file, and the class that it is directly in; None where it is not."""
    try:
        tree = _parsed(Path(code.co_filename).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
    return _find(tree, code)


def _recompiled(
    code: CodeType, change: Callable[[ast.FunctionDef], ast.FunctionDef | None]
) -> CodeType | None:
    """The code of a function whose syntax is changed; None where nothing is."""
    found = _function_of(code)
    function = change(found[0]) if found else None
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


@lru_cache(maxsize=16)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _changed_by(steps: bool) -> Callable[[ast.FunctionDef], ast.FunctionDef | None]:
    """What gives a function with all that is rewritten, or None where that is nothing."""

    def changed(function: ast.FunctionDef) -> ast.FunctionDef | None:
        both = with_both_ways(function, steps)
        return with_filled_lists(both or function) or both

    return changed


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

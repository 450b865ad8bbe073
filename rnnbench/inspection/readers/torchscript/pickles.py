"""Reads what a pickle says without unpickling it: nothing is imported, nothing is called.

The opcodes come from the standard library's `pickletools`. What a pickle would call is kept as a
`Call`. Only the opcodes that PyTorch's own writer uses are known; any other is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rnnbench.core.errors import RnnbenchError

_MARK = object()


@dataclass(frozen=True)
class Global:
    """The name of a class or function."""

    name: str


@dataclass(eq=False)
class Call:
    """A call that the pickle asks for, and that nobody makes.

    Attributes:
        function: its name, `module.function`.
        args: its arguments.
        state: what is set on the result.
    """

    function: str
    args: tuple[Any, ...]
    state: Any = field(default=None)


@dataclass(frozen=True)
class Persistent:
    """A reference to something outside of the pickle: a storage."""

    key: Any


def describe(data: bytes) -> Any:
    """The object that a pickle describes: lists, dicts and literals, with `Call` for the rest.

    Raises:
        RnnbenchError: it is damaged, or uses opcodes that PyTorch does not write.
    """
    try:
        return _Machine().run(pickletools.genops(data))
    except RnnbenchError:
        raise
    except Exception as error:  # pickletools raises whatever a damaged stream leads it to
        raise RnnbenchError("the pickle in it is damaged") from error


class _Machine:
    """The stack of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, opcodes: Iterator[tuple[Any, Any, int | None]]) -> Any:
        for opcode, argument, _ in opcodes:
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _LITERALS:
                self.stack.append(_LITERALS[name])
            elif name in _GIVEN:
                self.stack.append(argument)
            elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
                self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[argument])
            elif name == "GLOBAL":
                self.stack.append(Global(argument.replace(" ", ".")))
            elif name not in ("PROTO", "FRAME"):
                self._act(name)
        raise RnnbenchError("the pickle in it is truncated")

    def _act(self, name: str) -> None:
        if name not in _ACTIONS:
            raise RnnbenchError(
                f"the pickle in it has the opcode {name}, which PyTorch never writes"
            )
        _ACTIONS[name](self)

    def extend(self, items: list[Any]) -> None:
        """Adds to the list that is on top."""
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        """Sets keys and values, in turn, of the dict that is on top; a `Call` keeps none."""
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(target, dict):
                target[_hashable(key)] = value

    def call(self) -> None:
        """Notes the call of a function with its arguments."""
        args, function = self.stack.pop(), self.stack.pop()
        self.stack.append(Call(function.name, tuple(args)))

    def build(self) -> None:
        """Notes the state that is set on a result."""
        state = self.stack.pop()
        self.stack[-1].state = state

    def take(self, count: int) -> list[Any]:
        """The topmost values, the last one last."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def to_mark(self) -> list[Any]:
        """The values since the last mark."""
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]


def _hashable(key: Any) -> Any:
    return key if isinstance(key, str | int | float | bool | tuple | None) else id(key)


_LITERALS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_GIVEN = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES"),
    *("BINSTRING", "SHORT_BINSTRING"),
)
_ACTIONS: dict[str, Callable[[_Machine], None]] = {
    "MARK": lambda m: m.stack.append(_MARK),
    "EMPTY_LIST": lambda m: m.stack.append([]),
    "EMPTY_DICT": lambda m: m.stack.append({}),
    "EMPTY_TUPLE": lambda m: m.stack.append(()),
    "TUPLE": lambda m: m.stack.append(tuple(m.to_mark())),
    "TUPLE1": lambda m: m.stack.append(tuple(m.take(1))),
    "TUPLE2": lambda m: m.stack.append(tuple(m.take(2))),
    "TUPLE3": lambda m: m.stack.append(tuple(m.take(3))),
    "APPEND": lambda m: m.extend(m.take(1)),
    "APPENDS": lambda m: m.extend(m.to_mark()),
    "SETITEM": lambda m: m.update(m.take(2)),
    "SETITEMS": lambda m: m.update(m.to_mark()),
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": lambda m: m.stack.append(Persistent(m.stack.pop())),
}

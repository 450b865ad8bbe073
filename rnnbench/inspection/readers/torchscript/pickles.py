"""Reads what a pickle says without unpickling it: nothing is imported, nothing is called.

The opcodes come from the standard library's `pickletools`. What a pickle would call is kept as a
`Call`. Only the opcodes that PyTorch's own writer uses are known; any other is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
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
                self._build(name)
        raise RnnbenchError("the pickle in it is truncated")

    def _build(self, name: str) -> None:
        stack = self.stack
        if name == "MARK":
            stack.append(_MARK)
        elif name in _NEW:
            stack.append(_NEW[name]())
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[5:] or 0)
            items = [stack.pop() for _ in range(count)][::-1] if count else self._to_mark()
            stack.append(tuple(items))
        elif name in ("APPEND", "APPENDS"):
            items = self._to_mark() if name == "APPENDS" else [stack.pop()]
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._to_mark() if name == "SETITEMS" else [stack.pop() for _ in "kv"][::-1]
            target = stack[-1]
            for key, value in zip(items[::2], items[1::2], strict=True):
                if isinstance(target, dict):
                    target[_hashable(key)] = value
        elif name in ("REDUCE", "NEWOBJ"):
            args, function = stack.pop(), stack.pop()
            stack.append(Call(function.name, tuple(args)))
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].state = state
        elif name == "BINPERSID":
            stack.append(Persistent(stack.pop()))
        else:
            raise RnnbenchError(
                f"the pickle in it has the opcode {name}, which PyTorch never writes"
            )

    def _to_mark(self) -> list[Any]:
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
_NEW = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}

"""What is exchanged in a process while a model is exported, for the exporting thread alone.

A trace needs other functions in the place of some of torch's, of Python's and of the model's, and
silence from torch's loggers and warnings. All of that belongs to the process, so one export runs
at a time (`one_at_a_time`), and what stands in for a function looks who calls:

    thread that exports   nn.GRU.forward(...)  ->  the stand-in
    any other thread      nn.GRU.forward(...)  ->  the function that was there

Nothing here remembers the whole of a list or a stream to put it back later: another thread may
have changed it meanwhile. Only what was put there is taken away again.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import re
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from threading import get_ident
from types import CodeType, FunctionType
from typing import Any

_turn = threading.RLock()
_MISSING = object()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Waits until no other thread exports; the thread that does may enter again."""
    with _turn:
        yield


class _ByThread:
    """Chooses between two functions by the thread that calls; after its end there is one.

    Args:
        instead: for the thread that made this.
        otherwise: for all others, and for all once `over` was called.
    """

    def __init__(self, instead: Callable[..., Any], otherwise: Callable[..., Any]) -> None:
        self._thread: int | None = get_ident()
        self._instead, self._otherwise = instead, otherwise

    def choose(self) -> Callable[..., Any]:
        """The function for the thread that asks."""
        return self._instead if self._thread == get_ident() else self._otherwise

    def over(self) -> None:
        """Who has kept a reference gets what was there before."""
        self._thread, self._instead = None, self._otherwise

    def as_function(self) -> Callable[..., Any]:
        """A plain function, so that it is bound to objects where it is a method."""

        @functools.wraps(self._otherwise)
        def chosen(*args: Any, **named: Any) -> Any:
            return self.choose()(*args, **named)

        return chosen


def by_thread(instead: Callable[..., Any], otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is `instead` for this thread, and `otherwise` for all others."""
    return _ByThread(instead, otherwise).as_function()


@contextmanager
def exchanged(
    owner: Any, name: str, instead: Callable[..., Any], otherwise: Any = None
) -> Iterator[None]:
    """A function of a class, a module or a dict of names is another one, for this thread.

    Args:
        owner: where it is; what a class inherits is exchanged for that class.
        name: as which.
        instead: what this thread calls.
        otherwise: what the others call; what is there, unless given.
    """
    if otherwise is None:
        otherwise = owner[name] if isinstance(owner, dict) else getattr(owner, name)
    chosen = _ByThread(instead, otherwise)
    try:
        with replaced(owner, name, chosen.as_function()):
            yield
    finally:
        chosen.over()


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """A name of a class, a module or a dict of names has another value, for every thread.

    For what does nothing else in other threads than what was there: it passes their values on.
    """
    with _turn:
        names = owner if isinstance(owner, dict) else vars(owner)
        before = names.get(name, _MISSING)
        _set(owner, name, value)
        try:
            yield
        finally:
            if names.get(name, _MISSING) is value:  # else somebody has put another there since
                _set(owner, name, before)


def _set(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, dict):
        if value is _MISSING:
            del owner[name]
        else:
            owner[name] = value
    elif value is _MISSING:
        delattr(owner, name)
    else:
        setattr(owner, name, value)


class _Setting:
    """A class's attribute that is another one for a thread; that of an object goes before it."""

    def __init__(self, value: Any, otherwise: Any) -> None:
        self._thread, self._value, self._otherwise = get_ident(), value, otherwise

    def __get__(self, _instance: Any, _owner: Any = None) -> Any:
        return self._value if self._thread == get_ident() else self._otherwise


@contextmanager
def exchanged_setting(owner: type, name: str, value: Any) -> Iterator[None]:
    """An attribute of a class, which is no function, has another value for this thread."""
    with _turn:
        before = getattr(owner, name)
        setattr(owner, name, _Setting(value, before))
        try:
            yield
        finally:  # also where torch itself has set it: dynamo does so, once, with its first trace
            setattr(owner, name, before)


@contextmanager
def exchanged_code(function: FunctionType, code: CodeType) -> Iterator[None]:
    """A function, wherever it has been imported to, does something else, for this thread.

    Args:
        function: it stays the object that it is.
        code: takes the same arguments, and the same free variables.
    """

    def of(code: CodeType) -> FunctionType:
        parts = function.__name__, function.__defaults__, function.__closure__
        made = FunctionType(code, function.__globals__, *parts)
        made.__kwdefaults__ = function.__kwdefaults__
        return made

    with _turn:
        before = function.__code__
        chosen = _ByThread(of(code), of(before))
        chooses = _choosing(before, chosen.choose)
        # `*args` would else be all that `inspect` knows of it.
        own = vars(function).get("__signature__", _MISSING)
        shown = _signature(function)
        try:
            function.__code__ = chooses
            if shown is not None and own is _MISSING:
                function.__signature__ = shown  # type: ignore[attr-defined]
            yield
        finally:
            chosen.over()
            if function.__code__ is chooses:
                function.__code__ = before
            if own is _MISSING:
                vars(function).pop("__signature__", None)


def _signature(function: FunctionType) -> Any:
    import inspect

    try:
        return inspect.signature(function, follow_wrapped=False)
    except ValueError:
        return None


_CALLED = "what is called: a constant of the code, so that no names have to be added"


def _choosing(code: CodeType, choose: Callable[[], Callable[..., Any]]) -> CodeType:
    """Code with the free variables of another that hands its arguments to what is chosen."""
    free = code.co_freevars
    text = (
        f"def outer({', '.join(free)}):\n"
        f" def f(*_by_thread, **_by_name):\n"
        f"  _chosen = {_CALLED!r}\n"
        f"  return _chosen()(*_by_thread, **_by_name)\n"
        f"  ({', '.join(free)})\n"  # never reached, but free in it
    )
    outer = next(c for c in compile(text, "<by thread>", "exec").co_consts if _is_code(c))
    made: CodeType = next(c for c in outer.co_consts if _is_code(c))
    constants = tuple(choose if c == _CALLED else c for c in made.co_consts)
    return made.replace(co_consts=constants, co_name=code.co_name, co_qualname=code.co_qualname)


def _is_code(value: Any) -> bool:
    return isinstance(value, CodeType)


# -- what is said meanwhile -----------------------------------------------------------------------


class _InThread(type):
    """Makes categories of warnings that only a thread's own warnings belong to."""

    def __subclasscheck__(cls, category: type) -> bool:
        mine: bool = cls.thread == get_ident()  # type: ignore[attr-defined]
        return mine and issubclass(category, cls.category)  # type: ignore[attr-defined]


@contextmanager
def ignoring(*those: tuple[str, type[Warning]]) -> Iterator[None]:
    """This thread's warnings of these kinds are not shown; `warnings.catch_warnings` is global.

    Args:
        those: how the text begins, a regular expression, and the category.
    """
    entries = [
        (
            "ignore",
            re.compile(text, re.IGNORECASE) if text else None,
            _InThread("InThread", (), {"thread": get_ident(), "category": category}),
            None,
            0,
        )
        for text, category in those
    ]
    _filters()[:0] = entries
    _filters_changed()
    try:
        yield
    finally:
        kept = _filters()
        for entry in entries:
            with contextlib.suppress(ValueError):  # somebody has put other filters there
                kept.remove(entry)
        _filters_changed()


def _filters() -> list[Any]:
    own = getattr(warnings, "_get_filters", None)  # from Python 3.14: those of this context
    return own() if own is not None else warnings.filters  # type: ignore[return-value]


def _filters_changed() -> None:
    for name in ("_filters_mutated", "_filters_mutated_lock_held"):  # the latter from Python 3.14
        changed = getattr(warnings, name, None)
        if changed is not None:
            with getattr(warnings, "_lock", contextlib.nullcontext()):
                changed()
            return


@contextmanager
def quiet_loggers(names: Collection[str], level: int) -> Iterator[None]:
    """What this thread logs below a level to these loggers, and to those under them, is dropped."""
    handle = logging.Logger.handle
    under = tuple(f"{name}." for name in names)

    def unless_quiet(logger: logging.Logger, record: logging.LogRecord) -> None:
        named = record.name in names or record.name.startswith(under)
        if not named or record.levelno >= level:
            handle(logger, record)

    with exchanged(logging.Logger, "handle", unless_quiet):
        yield


class _Stream:
    """A stream of this process that is another one for a thread."""

    def __init__(self, own: Any, otherwise: Any) -> None:
        self._thread: int | None = get_ident()
        self._own, self._otherwise = own, otherwise

    def over(self) -> None:
        self._thread = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own if self._thread == get_ident() else self._otherwise, name)


@contextmanager
def printing_to(name: str) -> Iterator[io.StringIO]:
    """What this thread prints to `stdout` or `stderr` goes to what it yields."""
    printed = io.StringIO()
    stream = _Stream(printed, getattr(sys, name))
    try:
        with replaced(sys, name, stream):
            yield printed
    finally:
        stream.over()

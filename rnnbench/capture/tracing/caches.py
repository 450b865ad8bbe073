"""What functions beside a model keep from one call to the next is not there while it is traced.

@lru_cache                             a size that may change cannot be looked up in a cache,
def window(size): ...                  and what is put into one by a trace is no tensor

def steps(n):                          `steps.held`, which a function of the model's files stores,
if n > steps.held.numel(): ...         is as before the first call, as far as that can be known
steps.held = torch.arange(n)

scaled.table = torch.linspace(1, 2, 8)     stored by no function, it is a constant, and stays

All of it for the thread that traces: in the others functions keep what they kept.
"""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from threading import get_ident
from types import CodeType, FunctionType
from typing import Any

from torch import Tensor, nn
from torch._subclasses import FakeTensor

from rnnbench.core.one_thread import exchanged, replaced
from rnnbench.models.own_files import own_files

_ABSENT, _EMPTY, _AS_IT_IS = "absent", "empty", "as it is"
_way: ContextVar[str] = ContextVar("_way", default=_ABSENT)
_MISSING = object()


def ways_to_begin(root: nn.Module) -> tuple[str, ...]:
    """How what functions keep may be at the start of a trace, likeliest first; one if none does.

    `if not hasattr(steps, "held")` wants it to be absent, `steps.held.numel()` to be empty, and
    `if steps.held is None` is content with what is there.

    Args:
        root: the model.
    """
    return (_ABSENT, _EMPTY, _AS_IT_IS) if _keeping(own_files(root)) else (_ABSENT,)


@contextmanager
def beginning(way: str) -> Iterator[None]:
    """Traces meanwhile begin in one of the ways."""
    token = _way.set(way)
    try:
        yield
    finally:
        _way.reset(token)


@contextmanager
def without_caches(files: Sequence[dict[str, Any]]) -> Iterator[None]:
    """While it lasts, cached functions compute, and no function has what it kept, for this thread.

    Args:
        files: the global names of the model's files.
    """
    keeping = {id(f): _Beginning(f, _begun(f, held)) for f, held in _keeping(files)}
    before = [(function, dict(vars(function))) for function in _functions(files)]
    with ExitStack() as instead:
        for names in files:
            for name, value in list(names.items()):
                if isinstance(value, functools._lru_cache_wrapper):
                    instead.enter_context(_computing(names, name, value))
                elif id(value) in keeping:
                    instead.enter_context(replaced(names, name, keeping[id(value)]))
        try:
            yield
        finally:
            for beginning in keeping.values():
                _end(beginning)
            for function, held in before:
                _take_away(function, held)


@contextmanager
def _computing(names: dict[str, Any], name: str, cached: Any) -> Iterator[None]:
    """A cached function computes, for this thread; what it offers besides is there for all."""
    with exchanged(names, name, cached.__wrapped__, otherwise=cached):
        for offered in ("cache_info", "cache_clear", "cache_parameters"):
            setattr(names[name], offered, getattr(cached, offered))
        yield


class _Beginning:
    """A function that has other attributes for a thread; all else is the function's own.

    What the thread stores is stored here. Other threads read and write the function's attributes.
    """

    def __init__(self, function: FunctionType, own: dict[str, Any]) -> None:
        object.__setattr__(self, "_kept", [get_ident(), function, own])

    def __call__(self, *args: Any, **named: Any) -> Any:
        return _function_of(self)(*args, **named)

    def __getattribute__(self, name: str) -> Any:
        own = _own(self)
        if own is None or name not in own:
            return getattr(_function_of(self), name)
        if own[name] is _MISSING:
            raise AttributeError(f"function has no attribute {name!r}", name=name, obj=self)
        return own[name]

    def __setattr__(self, name: str, value: Any) -> None:
        own = _own(self)
        if own is None or name.startswith("__"):
            setattr(_function_of(self), name, value)
        else:
            own[name] = value

    def __delattr__(self, name: str) -> None:
        own = _own(self)
        if own is None:
            delattr(_function_of(self), name)
        else:
            getattr(self, name)  # raises where it is not there
            own[name] = _MISSING


def _function_of(beginning: _Beginning) -> Any:
    return object.__getattribute__(beginning, "_kept")[1]


def _own(beginning: _Beginning) -> dict[str, Any] | None:
    """The attributes of this thread; None in another one."""
    thread, _, own = object.__getattribute__(beginning, "_kept")
    return own if thread == get_ident() else None


def _end(beginning: _Beginning) -> None:
    """Who has kept a reference has the function."""
    object.__getattribute__(beginning, "_kept")[0] = None


def _begun(function: FunctionType, held: Sequence[str]) -> dict[str, Any]:
    """What a trace finds in the place of what a function keeps."""
    way = _way.get()
    if way == _ABSENT:
        return dict.fromkeys(held, _MISSING)
    values = {name: vars(function)[name] for name in held}
    return {n: v.new_empty(0) for n, v in values.items() if v.dim()} if way == _EMPTY else {}


def _take_away(function: FunctionType, before: dict[str, Any]) -> None:
    """What a trace has put into an attribute by other means is no tensor for anybody else."""
    for name, value in list(vars(function).items()):
        if isinstance(value, FakeTensor):
            if name in before:
                setattr(function, name, before[name])
            else:
                delattr(function, name)


def _keeping(files: Sequence[dict[str, Any]]) -> list[tuple[FunctionType, list[str]]]:
    """Each function that keeps tensors, with the names of those that the files' functions store."""
    holding = [f for f in _functions(files) if any(isinstance(v, Tensor) for v in vars(f).values())]
    if not holding:
        return []
    stores = {pair for code in _codes(files) for pair in _stored_by(code)}
    found = []
    for function in holding:
        names = {function.__name__} | {n for each in files for n in each if each[n] is function}
        stored = {attribute for name, attribute in stores if name in names}
        held = [k for k, v in vars(function).items() if k in stored and isinstance(v, Tensor)]
        if held:
            found.append((function, held))
    return found


def _functions(files: Sequence[dict[str, Any]]) -> list[FunctionType]:
    """The functions that have a name in the files, each once."""
    values = (value for names in files for value in list(names.values()))
    return list({id(v): v for v in values if type(v) is FunctionType}.values())


def _codes(files: Sequence[dict[str, Any]]) -> Iterator[CodeType]:
    """The code of the files' functions and methods, and of what is inside of them."""
    classes = {v for n in files for v in list(n.values()) if isinstance(v, type)}
    own = {str(names.get("__name__")) for names in files}
    methods = [m for c in classes if c.__module__ in own for m in vars(c).values()]
    waiting = [
        value.__code__
        for value in (*_functions(files), *(getattr(m, "__func__", m) for m in methods))
        if isinstance(value, FunctionType)
    ]
    while waiting:
        code = waiting.pop()
        yield code
        waiting += [const for const in code.co_consts if isinstance(const, CodeType)]


def _stored_by(code: CodeType) -> set[tuple[str, str]]:
    """What a piece of code stores in what it reads by a name.

    steps.held = torch.arange(n)             LOAD_GLOBAL steps, STORE_ATTR held
    steps.held += 1                          LOAD_GLOBAL steps, COPY, LOAD_ATTR held ...
    setattr(steps, "held", torch.arange(n))  LOAD_GLOBAL steps, LOAD_CONST "held"
    """
    found = set()
    steps = [*dis.get_instructions(code)]
    stores = ("STORE_ATTR", *(["LOAD_CONST"] if "setattr" in code.co_names else []))
    for first, second, third in zip(steps, steps[1:], steps[2:], strict=False):
        attribute = third if second.opname == "COPY" else second
        in_place = second.opname == "COPY" and third.opname == "LOAD_ATTR"
        names = isinstance(first.argval, str) and isinstance(attribute.argval, str)
        if names and first.opname.startswith("LOAD_") and (in_place or second.opname in stores):
            found.add((first.argval, attribute.argval))
    return found

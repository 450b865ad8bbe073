"""`len(x)` and `int(size / 2)` stay sizes that may change, where Python would make them numbers.

`max(lengths)` is `lengths.max()`: Python would compare the rows one by one.

    n = len(x)                  n is 5, or sym_size(x, 0)
    m = int(n * 0.5) + 1        m is 3, or sym_int(n * 0.5) + 1
    x[:m]                   ->  slice(x, 0, 0, m)
    y / math.sqrt(n)        ->  div(y, n ** 0.5)

Python wants numbers of `len`, `int`, `float`, `math.sqrt` and others, so in the model's own files
others bear those names while the model is traced. (`range(n)` still asks for a number, and a loop
is found by its steps.)
"""

from __future__ import annotations

import builtins
import math
import re
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from rnnbench.capture.tracing.listed import (
    Listed,
    as_tensor,
    in_order,
    is_number_of_a_trace,
    largest,
    listed_in,
    smallest,
)
from rnnbench.core.one_thread import exchanged, replaced
from rnnbench.models.own_files import own_files


@contextmanager
def symbolic_numbers(root: nn.Module) -> Iterator[None]:
    """While it lasts, `len` and `int` in the files of the model leave sizes as they are.

    Args:
        root: the module that is traced.
    """
    with ExitStack() as instead:
        for names in own_files(root):
            for name, function in _BUILTINS.items():
                # A file may have one of that name, or give it to torch, which takes Python's alone.
                if name not in names and not (name in _TYPES and _as_dtype(names, name)):
                    instead.enter_context(_for_this_thread(names, name, function))
            for name, value in list(names.items()):
                ours = _OF_MODULES.get(id(value))
                if ours is not None:
                    instead.enter_context(replaced(names, name, ours))
        yield


def _for_this_thread(
    names: dict[str, Any], name: str, function: Any
) -> AbstractContextManager[None]:
    """A name of Python's in a file; the types pass on what is no size, in any thread."""
    if name in _TYPES:
        return replaced(names, name, function)
    return exchanged(names, name, function, otherwise=getattr(builtins, name))


def _max(*values: Any, **options: Any) -> Any:
    return _extreme("max", largest, values, options)


def _min(*values: Any, **options: Any) -> Any:
    return _extreme("min", smallest, values, options)


def _extreme(name: str, of_listed: Any, values: Any, options: Any) -> Any:
    """The largest or smallest of numbers in a tensor: the one tensor, or list, that is there."""
    python = getattr(builtins, name)  # torch has another one there while it exports
    if options:
        return python(*values, **options)
    if len(values) == 1 and isinstance(values[0], Tensor) and values[0].dim() == 1:
        return getattr(values[0], name)()
    listed = [listed_in(v) for v in values]
    if len(values) == 1 and listed[0] is not None:
        return of_listed(Listed(listed[0].tensor))
    if len(values) == 2 and any(isinstance(v, Listed) for v in values):
        one, other = values if isinstance(values[0], Listed) else reversed(values)
        return of_listed(one, other)
    return python(*values)


def _len(x: Any) -> Any:
    listed = listed_in(x)
    if listed is not None:
        return listed.tensor.shape[0]
    return x.size(0) if isinstance(x, Tensor) and x.dim() else builtins.len(x)


def _enumerate(values: Any, start: int = 0) -> Iterator[tuple[int, Any]]:
    for i, value in builtins.enumerate(values, start):
        if _is_each(value):  # the first row would stand for all
            value.refuse()
        yield i, value


def _zip(*values: Any, **options: Any) -> Iterator[tuple[Any, ...]]:
    for together in builtins.zip(*values, **options):  # noqa: B905  (as the model says)
        if builtins.any(map(_is_each, together)) and not builtins.all(map(_is_each, together)):
            next(builtins.filter(_is_each, together)).refuse()
        yield together


def _sorted(values: Any, *, key: Any = None, reverse: bool = False) -> Any:
    values = list(values)
    keys = values if key is None else [key(value) for value in values]
    found = in_order(values, keys, reverse)
    return builtins.sorted(values, key=key, reverse=reverse) if found is None else found


def _is_each(value: Any) -> bool:
    return isinstance(value, Listed) and value.kind == "each"


class _StandsFor(type):
    """What `int` and `float` are asked besides being called: `isinstance(x, int)`, `float.fromhex`.

    A class of it has `python`, the type that it stands for, and `of_size`.
    """

    python: Any
    of_size: Any

    def __call__(cls, x: Any = 0, *base: Any) -> Any:
        sizes = isinstance(x, torch.SymInt | torch.SymFloat)
        if sizes or _is_each(x):
            return cls.of_size(x)
        if cls.python is builtins.int and is_number_of_a_trace(x):
            return x.item()  # a number in a tensor, which `int` would want to know
        return cls.python(x, *base)

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, cls.python)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.python)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.python, name)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is cls.python

    def __hash__(cls) -> builtins.int:
        return hash(cls.python)


class _Int(metaclass=_StandsFor):
    """`int`, but for sizes."""

    python = builtins.int

    @staticmethod
    def of_size(x: Any) -> Any:
        """A size, or a number of each row, as a whole number."""
        if isinstance(x, Listed):
            return x.like(x.tensor.to(torch.int64))
        return x if isinstance(x, torch.SymInt) else torch.sym_int(x)


class _Float(metaclass=_StandsFor):
    """`float`, but for sizes."""

    python = builtins.float

    @staticmethod
    def of_size(x: Any) -> Any:
        """A size, or a number of each row, as a number that need not be whole."""
        if isinstance(x, Listed):
            return x.like(x.tensor.to(torch.get_default_dtype()))
        return torch.sym_float(x)


def _divmod(a: Any, b: Any) -> Any:
    sizes = isinstance(a, torch.SymInt) or isinstance(b, torch.SymInt)
    return (a // b, a % b) if sizes else builtins.divmod(a, b)


def _sqrt(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def sqrt(x: Any) -> Any:
        sizes = torch.SymInt | torch.SymFloat
        return x**0.5 if isinstance(x, sizes) else function(x)

    return sqrt


def _array(function: Callable[..., Any]) -> Callable[..., Any]:
    """`np.array` and `np.asarray`, which would ask for the numbers."""

    def array(numbers: Any, *given: Any, **named: Any) -> Any:
        listed = listed_in(numbers)
        if listed is None or given or not {"dtype"} >= named.keys():
            return function(numbers, *given, **named)
        made = Listed(as_tensor(listed), "array")
        return made.astype(named["dtype"]) if "dtype" in named else made

    return array


class _Sizes(types.ModuleType):
    """`math` or `numpy`, but for the square root of a size, and for arrays of unknown numbers."""

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__)
        self._module = module
        self.sqrt = _sqrt(module.sqrt)
        for name in ("array", "asarray"):
            if hasattr(module, name):
                setattr(self, name, _array(getattr(module, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


_TYPES = ("int", "float")
_BUILTINS: dict[str, Any] = {
    "len": _len,
    "int": _Int,
    "float": _Float,
    "divmod": _divmod,
    "max": _max,
    "min": _min,
    "enumerate": _enumerate,
    "zip": _zip,
    "sorted": _sorted,
}
_OF_MODULES: dict[builtins.int, Any] = {
    id(math): _Sizes(math),
    id(numpy): _Sizes(numpy),
    id(math.sqrt): _sqrt(math.sqrt),
}
"""By the identity of what a file has imported: what is there instead."""


def _as_dtype(names: dict[str, Any], name: str) -> bool:
    """Whether a file has `dtype=int`, `x.to(int)` or `type(x) is int`."""
    return _says_dtype(str(names["__file__"]), name)


@lru_cache(maxsize=1024)
def _says_dtype(file: str, name: str) -> bool:
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return True
    return re.search(rf"(\bdtype\s*=|\.(to|type)\(|\bis( not)?\s)\s*{name}\b", text) is not None

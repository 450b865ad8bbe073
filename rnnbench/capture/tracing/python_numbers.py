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
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from rnnbench.capture.source_lines import is_library
from rnnbench.capture.tracing.listed import Listed


@contextmanager
def symbolic_numbers(root: nn.Module) -> Iterator[None]:
    """While it lasts, `len` and `int` in the files of the model leave sizes as they are.

    Args:
        root: the module that is traced.
    """
    changed: list[tuple[dict[str, Any], str, Any]] = []

    def exchange(names: dict[str, Any], name: str, function: Any) -> None:
        changed.append((names, name, names.get(name, _MISSING)))
        names[name] = function

    try:
        for names in _own_files(root):
            for name, function in _BUILTINS.items():
                # A file may have one of that name, or give it to torch, which takes Python's alone.
                if name not in names and not (name in _TYPES and _as_dtype(names, name)):
                    exchange(names, name, function)
            for name, value in list(names.items()):
                ours = _OF_MODULES.get(id(value))
                if ours is not None:
                    exchange(names, name, ours)
        yield
    finally:
        for names, name, before in reversed(changed):
            if before is _MISSING:
                del names[name]
            else:
                names[name] = before


_MISSING = object()


def _max(*values: Any, **options: Any) -> Any:
    rows = _rows(values, options)
    return builtins.max(*values, **options) if rows is None else rows.max()


def _min(*values: Any, **options: Any) -> Any:
    rows = _rows(values, options)
    return builtins.min(*values, **options) if rows is None else rows.min()


def _rows(values: Any, options: Any) -> Tensor | None:
    """The tensor of one dimension that is all there is, also where it is a list of its numbers."""
    if len(values) != 1 or options:
        return None
    tensor = values[0].tensor if isinstance(values[0], Listed) else values[0]
    return tensor if isinstance(tensor, Tensor) and tensor.dim() == 1 else None


def _len(x: Any) -> Any:
    return x.shape[0] if isinstance(x, Tensor) and x.dim() else builtins.len(x)


class _StandsFor(type):
    """What `int` and `float` are asked besides being called: `isinstance(x, int)`, `float.fromhex`.

    A class of it has `python`, the type that it stands for, and `of_size`.
    """

    python: Any
    of_size: Any

    def __call__(cls, x: Any = 0, *base: Any) -> Any:
        sizes = isinstance(x, torch.SymInt | torch.SymFloat)
        return cls.of_size(x) if sizes else cls.python(x, *base)

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
    of_size = staticmethod(lambda x: x if isinstance(x, torch.SymInt) else torch.sym_int(x))


class _Float(metaclass=_StandsFor):
    """`float`, but for sizes."""

    python = builtins.float
    of_size = staticmethod(torch.sym_float)


def _divmod(a: Any, b: Any) -> Any:
    sizes = isinstance(a, torch.SymInt) or isinstance(b, torch.SymInt)
    return (a // b, a % b) if sizes else builtins.divmod(a, b)


def _sqrt(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def sqrt(x: Any) -> Any:
        sizes = torch.SymInt | torch.SymFloat
        return x**0.5 if isinstance(x, sizes) else function(x)

    return sqrt


class _Sizes(types.ModuleType):
    """`math` or `numpy`, but for the square root of a size."""

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__)
        self._module = module
        self.sqrt = _sqrt(module.sqrt)

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
}
_OF_MODULES: dict[builtins.int, Any] = {
    id(math): _Sizes(math),
    id(numpy): _Sizes(numpy),
    id(math.sqrt): _sqrt(math.sqrt),
}
"""By the identity of what a file has imported: what is there instead."""


def _as_dtype(names: dict[str, Any], name: str) -> bool:
    """Whether a file has `dtype=int`, `x.to(int)` or `type(x) is int`."""
    try:
        text = Path(names["__file__"]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return True
    return re.search(rf"(\bdtype\s*=|\.(to|type)\(|\bis( not)?\s)\s*{name}\b", text) is not None


def _own_files(root: nn.Module) -> list[dict[str, Any]]:
    """The global names of the files that the model's classes are in."""
    classes = {base for module in root.modules() for base in type(module).__mro__}
    found = {}
    for cls in classes:
        file = sys.modules.get(cls.__module__)
        path = getattr(file, "__file__", None)
        if file is not None and path and not is_library(path):
            found[cls.__module__] = vars(file)
    return list(found.values())

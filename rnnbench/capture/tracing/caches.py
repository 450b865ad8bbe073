"""What functions beside a model keep from one call to the next is not there while it is traced.

@lru_cache                             a size that may change cannot be looked up in a cache,
def window(size): ...                  and what is put into one by a trace is no tensor

def steps(n):                          `steps.held` is empty, as before the first call
if n > steps.held.numel(): ...
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from torch import Tensor


@contextmanager
def without_caches(files: Sequence[dict[str, Any]]) -> Iterator[None]:
    """While it lasts, cached functions compute, and attributes of functions hold no tensors.

    Args:
        files: the global names of the model's files.
    """
    cached = [
        (names, name, value)
        for names in files
        for name, value in names.items()
        if isinstance(value, functools._lru_cache_wrapper)
    ]
    functions = {
        id(value): value
        for names in files
        for value in names.values()
        if isinstance(value, FunctionType)
    }
    before = [(function, dict(vars(function))) for function in functions.values()]
    try:
        for names, name, value in cached:
            names[name] = value.__wrapped__
        for function, held in before:
            tensors = {k: v for k, v in held.items() if isinstance(v, Tensor) and v.dim()}
            vars(function).update({k: v.new_empty(0) for k, v in tensors.items()})
        yield
    finally:
        for names, name, value in cached:
            names[name] = value
        for function, held in before:
            vars(function).clear()
            vars(function).update(held)

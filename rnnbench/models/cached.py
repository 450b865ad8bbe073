"""What functions beside a module keep from one call to the next, where one use is none of theirs.

@lru_cache                          a table that was made in float64 would be there for the module
def table(size): ...                in its own precision, which fails with it

def steps(n): ... steps.held = torch.arange(n)
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch

from rnnbench.models.own_files import own_files


@contextmanager
def caches_of_its_own(module: torch.nn.Module) -> Iterator[None]:
    """Cached functions of the module's files begin and end with nothing.

    What their functions hold as attributes is as before, at the end.
    """
    values = [v for names in own_files(module) for v in list(names.values())]
    cached = [v for v in values if isinstance(v, functools._lru_cache_wrapper)]
    held: list[tuple[Any, dict[str, Any]]] = [
        (v, dict(vars(v))) for v in values if type(v) is FunctionType
    ]
    _clear(cached)
    try:
        yield
    finally:
        _clear(cached)
        for function, before in held:
            vars(function).clear()
            vars(function).update(before)


def _clear(cached: list[Any]) -> None:
    for function in cached:
        function.cache_clear()

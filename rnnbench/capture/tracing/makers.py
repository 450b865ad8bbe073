"""Functions that make a tensor of a list, given one whose numbers a trace does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensor

from rnnbench.capture.tracing.listed import as_tensor, listed_in
from rnnbench.core.one_thread import exchanged, replaced


def maker(func: Any, args: tuple[Any, ...]) -> Callable[..., Tensor] | None:
    """What to call in the place of a function, where it is given such a list."""
    given = args[-1] if args else None
    if func in (torch.Tensor.new_tensor, torch.Tensor.new):
        return _of_kind if listed_in(given) is not None or _has_numbers(given) else None
    if func in (torch.tensor, torch.as_tensor):
        return _made if listed_in(args[0]) is not None or _has_numbers(args[0]) else None
    return None


def is_listed_index(index: Any) -> bool:
    """Whether an index has a list of such numbers."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(listed_in(part) is not None or _has_numbers(part) for part in parts)


def indexed(x: Tensor, index: Any) -> Tensor:
    """Stands in for `x[numbers]`."""
    parts = index if isinstance(index, tuple) else (index,)
    taken: Tensor = x[tuple(_made(p) if is_listed_index(p) else p for p in parts)]
    return taken


@contextmanager
def making_tensors() -> Iterator[None]:
    """While it lasts, functions that no mode intercepts take such lists too."""
    kinds = {"LongTensor": torch.int64, "IntTensor": torch.int32, "FloatTensor": torch.float32}
    before = torch.from_numpy

    def from_numpy(array: Any) -> Any:
        return before(array) if listed_in(array) is None else _made(array)

    with ExitStack() as instead:
        for name, dtype in kinds.items():
            legacy = _Legacy(name, (), {"python": getattr(torch, name), "dtype": dtype})
            instead.enter_context(replaced(torch, name, legacy))
        instead.enter_context(exchanged(torch, "from_numpy", from_numpy))
        yield


class _Legacy(type):
    """`torch.LongTensor` and its kin.

    A class of it has `python`, the type that it stands for, and `dtype`.
    """

    python: Any
    dtype: torch.dtype

    def __call__(cls, *given: Any, **named: Any) -> Any:
        if len(given) == 1 and (listed_in(given[0]) is not None or _has_numbers(given[0])):
            return _made(given[0], dtype=cls.dtype)
        return cls.python(*given, **named)

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, cls.python)


def _made(numbers: Any, dtype: Any = None, **_: Any) -> Tensor:
    listed = listed_in(numbers)
    if listed is not None:
        return as_tensor(listed, dtype)
    known = next(v for v in numbers if isinstance(v, Tensor))
    parts = [v if isinstance(v, Tensor) else torch.full_like(known, v) for v in numbers]
    tensor = torch.stack(parts)
    return tensor if dtype is None else tensor.to(dtype)


def _of_kind(x: Tensor, numbers: Any, **options: Any) -> Tensor:
    """Stands in for `x.new_tensor(numbers)` and `x.new(numbers)`."""
    return _made(numbers, **{"dtype": x.dtype} | options)


def _has_numbers(values: Any) -> bool:
    """Whether it is a list with single numbers in tensors."""
    if not isinstance(values, list | tuple):
        return False
    return any(isinstance(v, FakeTensor) and v.dim() == 0 for v in values)

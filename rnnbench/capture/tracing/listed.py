"""The numbers in a tensor as a list, while a module is traced and they are not known."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses import FakeTensor

from rnnbench.capture.graph_edit import number


class AsksForNumbers(Exception):  # noqa: N818  (what a model does; it becomes the error of its line)
    """A model that asks for the numbers in a tensor."""


_LIST, _ARRAY, _EACH = "list", "array", "each"


def _elementwise(function: Callable[[Any, Any], Any], *, swapped: bool = False) -> Any:
    """An operator on the numbers of an array, or on a number of each row."""

    def method(self: Listed, other: Any) -> Listed:
        if self.kind == _LIST or not _fits(other):  # `[1, 2] + [3]` joins lists
            return self.refuse()  # type: ignore[no-any-return]
        pair = self.tensor, _bare(other)
        return self.like(function(*reversed(pair) if swapped else pair))

    return method


class Listed:
    """`lengths.tolist()`, `lengths.numpy()` and `list(lengths)`.

    What is in it is not known while a module is traced. A list of it has one element, which stands
    for the number of each row, so that what a comprehension does with one it does with all:

        [max(int(n) // 2, 1) for n in lengths]  ->  [Listed(lengths // 2 clamped to 1)]

    Where a module does something else with them (it counts rows by `enumerate`), it is traced once
    more, row by row.

    Attributes:
        tensor: [batch] the numbers.
        kind: `list`, `array`, or `each`: the number of each row.
        row_by_row: an array that is walked row by row.
    """

    def __init__(self, tensor: Tensor, kind: str = _LIST, row_by_row: bool = False) -> None:
        self.tensor = tensor
        self.kind = kind
        self.row_by_row = row_by_row

    def like(self, tensor: Tensor) -> Listed:
        """The same with other numbers."""
        return Listed(tensor, self.kind, self.row_by_row)

    def refuse(self, *_: Any, **__: Any) -> Any:
        """Says that the numbers themselves are not known."""
        raise AsksForNumbers(
            "what the module does next depends on the values of a tensor (its numbers as a list "
            "or numpy array): keep it a tensor, without .tolist() or .numpy()"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.refuse()

    def __iter__(self) -> Iterator[Any]:
        if self.row_by_row:
            yield from torch.Tensor.__iter__(self.tensor)  # type: ignore[no-untyped-call]
        else:
            yield Listed(self.tensor, _EACH)

    def __getitem__(self, at: Any) -> Any:
        if self.kind == _EACH:
            return self.refuse()
        if isinstance(at, slice) and at == slice(None, None, -1):
            return self.like(self.tensor.flip(0))
        found = self.tensor[at.tensor if isinstance(at, Listed) else at]
        return found if found.dim() == 0 else self.like(found)

    def __setitem__(self, at: Any, value: Any) -> None:
        if self.kind == _EACH or not _fits(value):
            self.refuse()
        self.tensor = self.tensor.clone()
        self.tensor[at.tensor if isinstance(at, Listed) else at] = _bare(value)

    def __neg__(self) -> Listed:
        return self.refuse() if self.kind == _LIST else self.like(-self.tensor)

    @property
    def shape(self) -> Any:
        """That of an array."""
        return self.tensor.shape if self.kind == _ARRAY else self.refuse()

    def item(self) -> Listed:
        """Of each row."""
        return self if self.kind == _EACH else self.refuse()

    def tolist(self) -> Any:
        """The numbers of an array as a list."""
        if self.row_by_row:
            return list(self)
        return self if self.kind == _EACH else Listed(self.tensor)

    def copy(self) -> Listed:
        """Another one with these numbers."""
        return self.like(self.tensor)

    def astype(self, dtype: Any, **_: Any) -> Listed:
        """An array with another dtype."""
        return self.like(self.tensor.to(_of_numpy(dtype)))

    def argsort(self, *_: Any, **__: Any) -> Listed:
        """The order from the smallest to the largest."""
        return self.like(torch.argsort(self.tensor, stable=True))

    def max(self) -> Tensor:
        """The largest number."""
        return self.tensor.max()

    def min(self) -> Tensor:
        """The smallest number."""
        return self.tensor.min()

    def sum(self) -> Tensor:
        """The sum of the numbers."""
        return self.tensor.sum()

    def __array_ufunc__(self, function: Any, method: str, *given: Any, **named: Any) -> Any:
        """`np.maximum(lengths, 1)`, by torch's function of the same name."""
        ours = getattr(torch, function.__name__, None)
        if method != "__call__" or named or ours is None or not all(map(_fits, given)):
            return self.refuse()
        device = self.tensor.device
        tensors = [
            t if isinstance(t, Tensor) else torch.tensor(t, device=device)
            for t in map(_bare, given)
        ]
        return self.like(ours(*tensors))

    def __array_function__(self, function: Any, _: Any, given: Any, named: Any) -> Any:
        """`np.argsort(lengths)` and others, as far as they have one meaning for these."""
        ours = _FUNCTIONS.get(function)
        if ours is None or len(given) != 1 or not {"kind", "axis"} >= named.keys():
            return self.refuse()
        found = ours(given[0].tensor)
        return found if found.dim() == 0 else given[0].like(found)

    __add__, __radd__ = _elementwise(operator.add), _elementwise(operator.add, swapped=True)
    __sub__, __rsub__ = _elementwise(operator.sub), _elementwise(operator.sub, swapped=True)
    __mul__, __rmul__ = _elementwise(operator.mul), _elementwise(operator.mul, swapped=True)
    __floordiv__, __truediv__ = _elementwise(operator.floordiv), _elementwise(operator.truediv)
    __mod__ = _elementwise(operator.mod)
    __len__ = __contains__ = __array__ = __int__ = __index__ = __float__ = refuse
    __bool__ = __lt__ = __gt__ = __le__ = __ge__ = refuse


_FUNCTIONS: dict[Any, Callable[[Tensor], Tensor]] = {
    np.argsort: lambda x: torch.argsort(x, stable=True),
    np.sort: lambda x: torch.sort(x).values,
    np.flip: lambda x: x.flip(0),
    np.max: torch.max,
    np.min: torch.min,
    np.sum: torch.sum,
}


def listed_in(value: Any) -> Listed | None:
    """The numbers that a list is made of alone, as a comprehension leaves it; None of all else."""
    if isinstance(value, list | tuple) and len(value) == 1:
        (value,) = value
    return value if isinstance(value, Listed) else None


def is_number_of_a_trace(value: Any) -> bool:
    """Whether it is one whole number in a tensor that is traced."""
    return isinstance(value, FakeTensor) and number(value.numel()) == 1 and is_whole(value)


def is_whole(x: Tensor) -> bool:
    """Whether its numbers are whole ones, other than truths."""
    return not (x.dtype.is_floating_point or x.dtype.is_complex or x.dtype is torch.bool)


def as_tensor(numbers: Listed, dtype: Any = None, **_: Any) -> Tensor:
    """What `torch.tensor` makes of them: whole numbers of a list are int64."""
    tensor = numbers.tensor
    if dtype is None and numbers.kind != _ARRAY:
        whole = not (tensor.is_floating_point() or tensor.dtype is torch.bool)
        dtype = torch.int64 if whole else tensor.dtype
    return tensor if dtype is None else tensor.to(dtype)


def largest(numbers: Listed, least: Any = None) -> Any:
    """`max(lengths)`, or of each row and a number `max(n, 1)`."""
    return _extreme(numbers, least, torch.max, "min")


def smallest(numbers: Listed, most: Any = None) -> Any:
    """`min(lengths)`, or of each row and a number `min(n, 1)`."""
    return _extreme(numbers, most, torch.min, "max")


def in_order(values: list[Any], keys: list[Any], reverse: bool) -> list[Any] | None:
    """`sorted`, where its keys are not known; None where they are.

    Args:
        values: what is sorted: numbers, tensors, or tuples of them, all alike.
        keys: numbers or tuples of them, of which some are in tensors.
        reverse: whether the largest comes first; equal ones stay in order.
    """
    columns = _columns(keys)
    if columns is None or not any(isinstance(k, Listed | FakeTensor) for c in columns for k in c):
        return None
    wanted = _columns(values)
    if wanted is None:
        return None
    order: Tensor | None = None
    for column in reversed(columns):  # by the last one first: a stable sort keeps what it gave
        numbers = _joined(column)
        here = numbers if order is None else numbers[order]
        by = torch.argsort(here, stable=True, descending=reverse)
        order = by if order is None else order[by]
    parts = [_joined(column)[order] for column in wanted]
    each = any(isinstance(k, Listed) for c in columns for k in c)
    rows = [[Listed(part, _EACH)] if each else list(part.unbind()) for part in parts]
    if isinstance(values[0], tuple):
        return list(zip(*rows, strict=True))
    return rows[0]


def _columns(rows: list[Any]) -> list[list[Any]] | None:
    """What stands first in each row, second, and so on; None where the rows are not alike."""
    if not all(isinstance(row, tuple) for row in rows):
        return [rows] if rows and all(map(_fits, rows)) else None
    columns = [list(column) for column in zip(*rows, strict=False)]
    alike = len({len(row) for row in rows}) == 1 and all(_fits(v) for c in columns for v in c)
    return columns if alike else None


def _joined(column: list[Any]) -> Tensor:
    if isinstance(column[0], Listed):
        return column[0].tensor
    if all(type(v) is int for v in column) and column == list(range(len(column))):
        return torch.arange(len(column))
    return torch.stack([v if isinstance(v, Tensor) else torch.tensor(v) for v in column])


def _extreme(numbers: Listed, other: Any, function: Callable[..., Tensor], bound: str) -> Any:
    if numbers.kind != _EACH or other is None:
        return function(numbers.tensor).item()
    if isinstance(other, Listed):
        return numbers.like(function(numbers.tensor, other.tensor))
    return numbers.like(torch.clamp(numbers.tensor, **{bound: other}))


def _fits(value: Any) -> bool:
    numbers = int | float | torch.SymInt | torch.SymFloat | np.number
    return isinstance(value, Listed | Tensor | numbers)


def _bare(value: Any) -> Any:
    if isinstance(value, np.number):
        return value.item()
    return value.tensor if isinstance(value, Listed) else value


def _of_numpy(dtype: Any) -> torch.dtype:
    return torch.from_numpy(np.zeros((), np.dtype(getattr(dtype, "python", dtype)))).dtype

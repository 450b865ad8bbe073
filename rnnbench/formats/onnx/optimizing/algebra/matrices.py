"""Weights as expressions: equal ones are one number, and are computed when somebody asks.

A step of an unrolled loop reads the weights of the step before, or copies of them. So what two
steps do is compared by numbers that stand for expressions, without a product of matrices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.graph import Array

Key = tuple[Any, ...]


class Matrices:
    """Expressions of matrices (rows, columns) and vectors (rows), in float64.

    Attributes:
        dtype: of the file's own weights.
    """

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._numbers: dict[Key, int] = {}
        self._constants: dict[Key, Array] = {}
        self._values: dict[int, Array] = {}
        self._by_name: dict[tuple[str, bool], int] = {}
        self.dtype = np.dtype(np.float32)

    def _number(self, *key: Any) -> int:
        known = self._numbers.get(key)
        if known is None:
            known = self._numbers[key] = len(self._keys)
            self._keys.append(key)
        return known

    def constant(self, array: Array, name: str = "", turned: bool = False) -> int:
        """A matrix or vector; copies are one. `turned`: its transpose is meant.

        Args:
            array: the numbers.
            name: of the value, where it has one that stays what it is.
            turned: whether rows and columns change places.
        """
        if name and (name, turned) in self._by_name:
            return self._by_name[name, turned]
        data = np.ascontiguousarray(array)
        if name and data.dtype.kind == "f":
            self.dtype = data.dtype
        digest = hashlib.blake2b(data.tobytes(), digest_size=16).digest()
        key = ("constant", data.shape, str(data.dtype), digest)
        self._constants.setdefault(key, array)
        number = self._number(*key)
        if turned:
            number = self._number("turned", number)
        if name:
            self._by_name[name, turned] = number
        return number

    def eye(self, size: int) -> int:
        """The unit matrix."""
        return self._number("eye", size)

    def is_eye(self, number: int) -> bool:
        """Whether it is the unit matrix, by its form."""
        return bool(self._keys[number][0] == "eye")

    def of_eye(self, number: int) -> float | None:
        """How often it is the unit matrix; None where it is another."""
        kind, *what = self._keys[number]
        if kind == "eye":
            return 1.0
        if kind == "scaled" and self.is_eye(what[0]):
            return float(what[1])
        return None

    def place(self, size: int, offset: int, total: int) -> int:
        """(total, size): the unit matrix from a row on, else zeros."""
        return self._number("place", size, offset, total)

    def is_selection(self, number: int) -> bool:
        """Whether each row has at most one 1, by its form."""
        return self._keys[number][0] in ("eye", "place")

    def is_part(self, number: int) -> bool:
        """Whether it is some rows of the unit matrix, by its form."""
        kind, *what = self._keys[number]
        return bool(kind == "rows" and self.is_eye(what[0]))

    def rows(self, number: int, start: int, stop: int) -> int:
        """Some of the rows."""
        kind, *what = self._keys[number]
        if kind == "sum":
            return self.sum(*(self.rows(part, start, stop) for part in what))
        return self._number("rows", number, start, stop)

    def addends(self, number: int) -> list[int]:
        """What it is the sum of."""
        kind, *what = self._keys[number]
        return [n for part in what for n in self.addends(part)] if kind == "sum" else [number]

    def sum(self, a: int, b: int) -> int:
        """A + b."""
        return self._number("sum", min(a, b), max(a, b))

    def scaled(self, a: int, times: float) -> int:
        """Times a."""
        kind, *what = self._keys[a]
        if kind == "scaled":
            a, times = what[0], times * what[1]
        return a if times == 1 else self._number("scaled", a, times)

    def shifted(self, a: int, by: float) -> int:
        """A + by, of a vector."""
        return a if not by else self._number("shifted", a, by)

    def by_row(self, a: int, factors: int) -> int:
        """Each row times its factor."""
        return self._number("by_row", a, factors)

    def product(self, a: int, b: int) -> int:
        """A @ b; with a unit matrix, or one that only places, no product is left."""
        kind, *what = self._keys[b]
        if kind == "eye":
            return a
        if kind == "place":
            size, offset, _ = what
            return self._number("columns", a, offset, offset + size)
        return self._number("product", a, b)

    def value(self, number: int) -> Array:
        """The numbers, in float64."""
        if number not in self._values:
            self._values[number] = self._evaluate(self._keys[number])
        return self._values[number]

    def _evaluate(self, key: Key) -> Array:
        kind, *what = key
        if kind == "constant":
            return np.asarray(self._constants[key], np.float64)
        if kind == "eye":
            return np.eye(what[0])
        if kind == "place":
            size, offset, total = what
            made = np.zeros((total, size))
            made[offset : offset + size] = np.eye(size)
            return made
        return self._combined(kind, what)

    def _combined(self, kind: str, what: list[Any]) -> Array:
        made: Array = _COMBINED[kind](self.value(what[0]), *self._second(kind, what[1:]))
        return made

    def _second(self, kind: str, what: list[Any]) -> list[Any]:
        return [self.value(what[0])] if kind in ("by_row", "sum", "product") else what


_COMBINED: dict[str, Callable[..., Array]] = {
    "turned": lambda a: a.T,
    "rows": lambda a, start, stop: a[start:stop],
    "columns": lambda a, start, stop: a[:, start:stop],
    "scaled": lambda a, times: a * times,
    "shifted": lambda a, by: a + by,
    "by_row": lambda a, b: a * (b[:, None] if a.ndim > 1 else b),
    "sum": lambda a, b: a + b,
    "product": lambda a, b: a @ b,
}

"""Where each weight of a module is among the arrays that a file holds.

A weight is accounted for where every number of it is found:

    exactly        the same numbers in the same order, or with the axes in another
    rounded        so, once they are rounded to the dtype that the file has
    reordered      row by row or block by block: gates in another order, directions or layers joined
    added          together with another weight, as the two biases of a layer are
    folded         through a function of one number (exp, sigmoid, 1 - w), a factor, or weight norm
    neutral        nothing but 0 or nothing but 1, which a graph may do without

Where nearly all of a weight is found, and a few numbers of it are others, it was altered.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_NEARLY = 0.9  # of a weight, found: the rest was altered
_FEW = 16  # numbers of which nearly all says nothing
_PIECES = 8  # of a vector: gates, twice over
_STARTS = 256  # places that a piece may begin at
_RUN = 4  # numbers in a row that are no chance
_CLOSE = 3e-6  # relative: a function of a number, in float32
_AXES = 4  # of which every order is tried

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "-w": np.negative,
    "1 - w": lambda w: 1 - w,
    "1 + w": lambda w: 1 + w,
    "exp": np.exp,
    "exp(-w)": lambda w: np.exp(-w),
    "-exp": lambda w: -np.exp(w),
    "sigmoid": lambda w: 1 / (1 + np.exp(-w)),
    "1 - sigmoid": lambda w: 1 / (1 + np.exp(w)),
    "tanh": np.tanh,
    "softplus": lambda w: np.logaddexp(w, 0),
    "relu": lambda w: np.maximum(w, 0),
    "square": np.square,
    "sqrt": np.sqrt,
    "1 / sqrt": lambda w: 1 / np.sqrt(w),
    "1 / w": lambda w: 1 / w,
    "exp(-exp)": lambda w: np.exp(-np.exp(w)),
    "exp(-1 / w)": lambda w: np.exp(-1 / w),
    "clamp to 0..1": lambda w: np.clip(w, 0, 1),
}
"""What a graph may hold instead of a weight, number by number."""


@dataclass(frozen=True)
class Account:
    """What became of the weights of a module in one file.

    Attributes:
        found: weight -> how: `exactly`, `reordered`, `folded (exp)` ...
        altered: weight -> what of it is another than in the module.
        missing: those of which nothing is known.
    """

    found: dict[str, str] = field(default_factory=dict)
    altered: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def account(weights: Mapping[str, Array], held: Iterable[Array]) -> Account:
    """Looks for each weight among the arrays of a file."""
    file = _File(held)
    found: dict[str, str] = {}
    for name, weight in weights.items():
        how = file.how(weight)
        if how:
            found[name] = how
    left = {name: weight for name, weight in weights.items() if name not in found}
    found |= _together(left, file)
    left = {name: weight for name, weight in left.items() if name not in found}
    found = _normed(weights, left, file) | found
    left = {name: weight for name, weight in left.items() if name not in found}
    altered = {name: why for name, why in ((n, file.altered(w)) for n, w in left.items()) if why}
    return Account(found, altered, tuple(name for name in left if name not in altered))


class _File:
    """The arrays of a file, by what they are looked up by."""

    def __init__(self, held: Iterable[Array]) -> None:
        self._arrays = [a for a in map(np.asarray, held) if a.size and a.dtype.kind in "fiub"]
        self._whole: dict[tuple[str, int], set[bytes]] = {}
        for array in self._arrays:
            key = str(array.dtype), array.size
            self._whole.setdefault(key, set()).add(array.tobytes())
        self._rows: dict[tuple[int, str], set[bytes]] = {}
        self._vectors = [a.reshape(-1) for a in self._arrays if a.dtype.kind == "f"]
        self._claimed: set[bytes] = set()

    def how(self, weight: Array) -> str:
        """In which way a weight is here, alone; nothing where it is not."""
        if not weight.size or self._is_here(weight):
            self._claimed.add(weight.tobytes())
            return "exactly"
        return self._how_changed(weight) if weight.dtype.kind == "f" else ""

    def _how_changed(self, weight: Array) -> str:
        for dtype in ("float64", "float32", "float16"):
            with np.errstate(over="ignore"):
                rounded = weight.astype(dtype)
            if dtype != str(weight.dtype) and self._is_here(rounded):
                return f"rounded to {dtype}"
        if (weight == weight.flat[0]).all() and weight.flat[0] in (0, 1):
            return "neutral"
        if self._in_rows(weight).all() or self.covers(weight.reshape(-1)):
            return "reordered"
        return self._folded(weight)

    def altered(self, weight: Array) -> str:
        """What of a weight is another here, where nearly all of it is the same."""
        if weight.size < _FEW:
            return ""
        same = self._in_rows(weight)
        if same.size >= _FEW and _NEARLY <= same.mean() < 1:
            rows = np.flatnonzero(~same)
            return f"{len(rows)} of {same.size} rows are others, the first {int(rows[0])}"
        for array in self._arrays:
            if array.size != weight.size or array.tobytes() in self._claimed:
                continue
            for turned in _turned(weight):
                other = turned.reshape(-1) != array.reshape(-1)
                if 0 < other.mean() <= 1 - _NEARLY:
                    where = int(np.flatnonzero(other)[0])
                    at = [int(i) for i in np.unravel_index(where, turned.shape)]
                    return f"{int(other.sum())} of {weight.size} numbers are others, first at {at}"
        return ""

    def covers(self, *choices: Array) -> bool:
        """Whether a vector can be put together of a few pieces of what is here.

        Args:
            choices: of the same length; each piece may be of any of them.
        """
        at, pieces, size = 0, 0, choices[0].size
        while at < size:
            run = max(self._run(choice[at:]) for choice in choices)
            if run == 0 or (run < min(_RUN, size) and pieces >= _PIECES):
                return False
            at, pieces = at + run, pieces + 1
        return pieces <= _PIECES

    def close_to(self, weight: Array) -> bool:
        """Whether an array here has these numbers, but for the rounding of a function."""
        alike = [a.reshape(-1) for a in self._arrays if a.size == weight.size]
        given = [turned.reshape(-1) for turned in _turned(weight)]
        pairs = itertools.product(given, alike)
        return any(np.allclose(w, a, rtol=_CLOSE, atol=0) for w, a in pairs)

    def _is_here(self, weight: Array) -> bool:
        known = self._whole.get((str(weight.dtype), weight.size))
        return known is not None and any(turned.tobytes() in known for turned in _turned(weight))

    def _in_rows(self, weight: Array) -> Array:
        """Which rows (along the last axis, or the last but one) are rows of an array here."""
        if weight.ndim < 2 or min(weight.shape[-2:]) < 2:
            return np.zeros(1, bool)
        best = np.zeros(1, bool)
        for turned in (weight, weight.swapaxes(-1, -2)):
            rows = np.ascontiguousarray(turned).reshape(-1, turned.shape[-1])
            known = self._rows_of(rows.shape[1], str(rows.dtype))
            same = np.fromiter((row.tobytes() in known for row in rows), bool, len(rows))
            best = max(best, same, key=lambda found: float(found.mean()))
        return best

    def _rows_of(self, width: int, dtype: str) -> set[bytes]:
        key = width, dtype
        if key not in self._rows:
            found: set[bytes] = set()
            for array in self._arrays:
                if str(array.dtype) != dtype:
                    continue
                for turned in (array, array.swapaxes(-1, -2)) if array.ndim > 1 else ():
                    if turned.shape[-1] % width == 0:  # joined along that axis, or not
                        rows = np.ascontiguousarray(turned).reshape(-1, width)
                        found.update(row.tobytes() for row in rows)
            self._rows[key] = found
        return self._rows[key]

    def _run(self, vector: Array) -> int:
        """The longest beginning of a vector that is a piece of an array here."""
        best = 0
        for other in self._vectors:
            for start in np.flatnonzero(other == vector[0])[:_STARTS]:
                size = min(vector.size, other.size - start)
                off = np.flatnonzero(vector[:size] != other[start : start + size])
                best = max(best, int(off[0]) if off.size else size)
                if best == vector.size:
                    return best
        return best

    def _folded(self, weight: Array) -> str:
        wide = weight.astype(np.float64)
        with np.errstate(all="ignore"):
            for name, function in FUNCTIONS.items():
                if self.close_to(function(wide)):
                    return f"folded ({name})"
            alike = [a.reshape(-1) for a in self._arrays if a.size == weight.size]
            for turned, a in itertools.product(_turned(wide), alike):
                w = turned.reshape(-1)
                ratio = float(np.median(a / w))
                if w.size >= _RUN and math.isfinite(ratio) and np.allclose(w * ratio, a, _CLOSE, 0):
                    return f"folded ({ratio:.6g} * w)"
        return ""


def _turned(weight: Array) -> Iterator[Array]:
    """A weight with its axes in every order."""
    yield weight
    if sum(size > 1 for size in weight.shape) > 1 and weight.ndim <= _AXES:
        for order in itertools.permutations(range(weight.ndim)):
            yield np.ascontiguousarray(weight.transpose(order))


def _together(left: Mapping[str, Array], file: _File) -> dict[str, str]:
    """The vectors that are here as the sum of two: biases of a layer."""
    vectors = {n: w for n, w in left.items() if w.ndim == 1 and w.dtype.kind == "f"}
    found: dict[str, str] = {}
    for a, b in itertools.combinations(vectors, 2):
        one, other = vectors[a], vectors[b]
        if one.shape == other.shape and not {a, b} & found.keys():
            both = one + other
            # Of a GRU the gates' biases are added, and those of the new state are not.
            if file.covers(both) or (file.covers(both, one) and file.covers(both, other)):
                found |= {a: f"added to {b}", b: f"added to {a}"}
    return found


def _normed(weights: Mapping[str, Array], left: Mapping[str, Array], file: _File) -> dict[str, str]:
    """Weight norm: w = g * v / |v|, with the norm over all axes but one."""
    found: dict[str, str] = {}
    for size, direction in (("weight_g", "weight_v"), ("original0", "original1")):
        for name in weights:
            other = name.removesuffix(size) + direction
            if not name.endswith(size) or other not in weights or not {name, other} & left.keys():
                continue
            g, v = weights[name].astype(np.float64), weights[other].astype(np.float64)
            axes = tuple(i for i, n in enumerate(g.shape) if n == 1 and v.shape[i] != 1)
            norm = np.sqrt((v**2).sum(axis=axes, keepdims=True))
            if file.close_to(g * v / np.where(norm == 0, 1, norm)):
                found |= {name: "folded (weight norm)", other: "folded (weight norm)"}
    return found

"""The arrays that a file holds, by what they are looked up by.

Whole arrays are looked up by a sample of their numbers, rows and pieces by a sum of their bits with
random factors; whatever is found so is compared in full, so that no two things are taken for one.
Nothing is copied that is as large as an array.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_SAMPLE = 256  # numbers of an array that are compared first
_PART = 2**20  # numbers of an array that are worked on at a time
_AXES = 4  # of which every order is tried
_SPLIT = 2**20  # pieces of rows that are looked up, of one array
_PIECES = 8  # of a vector: gates, twice over
_STARTS = 256  # places that a piece may begin at
_RUN = 4  # numbers in a row that are no chance
_WIDER = 64  # times as large as a vector an array may be of which it is a piece
_SMALL = 2**18  # numbers of an array in which pieces of any vector are looked for
_ALL_SMALL = 2**24  # numbers of all those arrays together


@dataclass(frozen=True)
class _Rows:
    """Rows of the arrays, in the order of the sums of their bits.

    Attributes:
        views: the arrays as rows, each [..., width].
        owners: which array each view is of.
        sums: of each row, ascending.
        view: the number of each row's view.
        place: its number there.
    """

    views: list[Array]
    owners: Array
    sums: Array
    view: Array
    place: Array


class Held:
    """The arrays of a file.

    Attributes:
        claimed: the numbers of the arrays that are exactly some weight.
    """

    def __init__(self, arrays: Iterable[Array]) -> None:
        given = (np.asarray(a, order="C") for a in arrays)
        self._arrays = [a for a in given if a.size and a.dtype.kind in "fiub"]
        # Nobody can know them who made the file.
        self._random = np.random.default_rng()
        self._of_size: dict[int, list[int]] = {}
        self._by_sample: dict[tuple[str, bytes], list[int]] = {}
        self._places: dict[int, Array] = {}
        for number, array in enumerate(self._arrays):
            self._of_size.setdefault(array.size, []).append(number)
            key = str(array.dtype), self.sample(array).tobytes()
            self._by_sample.setdefault(key, []).append(number)
        self._rows: dict[tuple[int, str], _Rows] = {}
        self._grams: dict[tuple[int, str, int], tuple[list[Array], Array, Array, Array]] = {}
        self._factors: dict[int, Array] = {}
        self.claimed: set[int] = set()

    def sample(self, array: Array) -> Array:
        """Numbers of an array at places that depend on its size alone, [256] at most."""
        if array.size not in self._places:
            whole = array.size <= _SAMPLE
            self._places[array.size] = (
                np.arange(array.size) if whole else self._random.integers(array.size, size=_SAMPLE)
            )
        shape = array.shape or (1,)
        return np.asarray(
            array.reshape(shape)[np.unravel_index(self._places[array.size], shape)], array.dtype
        )

    def of_size(self, size: int, *, but: Collection[int] = ()) -> list[Array]:
        """The arrays with so many numbers."""
        return [self._arrays[i] for i in self._of_size.get(size, ()) if i not in but]

    def claim(self, weight: Array) -> bool:
        """Whether an array is exactly this, with its axes in any order; that one is claimed.

        Of equal arrays each weight claims one that none has yet: a copy that is left over may be in
        the place of another.
        """
        for turned in orders(weight):
            key = str(weight.dtype), self.sample(turned).tobytes()
            alike = [i for i in self._by_sample.get(key, ()) if self._arrays[i].size == weight.size]
            for number in sorted(alike, key=lambda i: i in self.claimed):
                if _equal(turned, self._arrays[number]):
                    self.claimed.add(number)
                    return True
        return False

    def has_size(self, size: int, dtype: str) -> bool:
        """Whether an array of that size and dtype is here."""
        return any(str(array.dtype) == dtype for array in self.of_size(size))

    def rows_of(self, weight: Array, *, but: Collection[int] = ()) -> Array:
        """Which rows (along the last axis, or the last but one) are rows of an array here.

        Args:
            weight: [..., rows, width].
            but: the numbers of arrays that do not count.
        """
        best = np.zeros(1, bool)
        if weight.ndim < 2 or min(weight.shape[-2:]) < 2:
            return best
        for turned in (False, True):
            rows = _as_rows(weight, weight.shape[-2 if turned else -1], turned)
            if rows is not None:
                best = max(best, self._known(rows, but), key=lambda known: float(known.mean()))
            if best.all():
                break
        return best

    def covers(self, *choices: Array) -> bool:
        """Whether a vector can be put together of a few pieces of what is here.

        Args:
            choices: of the same length; each piece may be of any of them.
        """
        size = choices[0].size
        shortest = gram_of(size)
        at, pieces = 0, 0
        while at < size and pieces < _PIECES:
            run = max(self._run(choice[at:], shortest) for choice in choices)
            if run == 0:
                return False
            at, pieces = at + run, pieces + 1
        return at >= size

    def begins(self, vectors: Array) -> Array:
        """Which vectors, [count, size], begin as some piece of what is here does."""
        grams = vectors[:, : gram_of(vectors.shape[1])]
        sums = self._grams_of(grams.shape[1], grams.dtype, vectors.shape[1])[1]
        if not sums.size:
            return np.zeros(len(vectors), bool)
        wanted = self._sums(grams)
        return np.asarray(sums[np.minimum(np.searchsorted(sums, wanted), sums.size - 1)] == wanted)

    def _run(self, vector: Array, gram: int) -> int:
        """The longest beginning of a vector that is a piece of an array here."""
        if vector.size < gram:
            return 0
        arrays, sums, owners, places = self._grams_of(gram, vector.dtype, vector.size)
        wanted = self._sums(vector[None, :gram])[0]
        best = 0
        for i in range(np.searchsorted(sums, wanted), np.searchsorted(sums, wanted, "right")):
            if best == vector.size or i >= sums.size:
                break
            other, start = arrays[owners[i]], int(places[i])
            size = min(vector.size, other.size - start)
            off = np.flatnonzero(vector[:size] != other[start : start + size])
            best = max(best, int(off[0]) if off.size else size)
        return best

    def _grams_of(
        self, gram: int, dtype: Any, size: int
    ) -> tuple[list[Array], Array, Array, Array]:
        """Vectors, and of each `gram` numbers in a row: the sum of bits, the vector, the place."""
        most = max(_SMALL, _WIDER << (size - 1).bit_length())  # few sizes, so that few are kept
        key = gram, str(dtype), most
        if key not in self._grams:
            alike = [a.reshape(-1) for a in self._arrays if a.dtype == dtype and a.size <= most]
            vectors: list[Array] = []
            left = _ALL_SMALL
            for array in sorted(alike, key=lambda a: a.size):
                if gram <= array.size <= left:
                    vectors.append(array)
                    left -= array.size
            found = [self._sums(np.lib.stride_tricks.sliding_window_view(v, gram)) for v in vectors]
            sums = np.concatenate([*found, np.zeros(0, np.uint64)])
            owners = np.repeat(np.arange(len(found)), [len(f) for f in found])
            places = np.concatenate([*(np.arange(len(f)) for f in found), np.zeros(0, np.int64)])
            order = np.argsort(sums, kind="stable")
            self._grams[key] = vectors, sums[order], owners[order], places[order]
        return self._grams[key]

    def _known(self, rows: Array, but: Collection[int]) -> Array:
        """Which of the rows, [..., width], are here."""
        width = rows.shape[-1]
        held = self._rows_held(width, str(rows.dtype))
        count = rows.size // width
        counts = ~np.isin(held.owners[held.view], [*but]) if but else slice(None)
        sums, view, place = held.sums[counts], held.view[counts], held.place[counts]
        same = np.zeros(count, bool)
        if not sums.size:
            return same
        wanted = self._sums(rows)
        at = np.minimum(np.searchsorted(sums, wanted), sums.size - 1)
        maybe = np.flatnonzero(sums[at] == wanted)
        for number in np.unique(view[at[maybe]]):
            of_it = maybe[view[at[maybe]] == number]
            for some in np.array_split(of_it, max(1, of_it.size * width // _PART)):
                ours = _bits(_taken(rows, some))
                theirs = _bits(_taken(held.views[number], place[at[some]]))
                same[some] = (ours == theirs).all(axis=1)
        return same

    def _rows_held(self, width: int, dtype: str) -> _Rows:
        key = width, dtype
        if key not in self._rows:
            views, owners = [], []
            for number, array in enumerate(self._arrays):
                if str(array.dtype) != dtype or array.ndim < 2:
                    continue
                for turned in (False, True):
                    rows = _as_rows(array, width, turned)
                    if rows is not None:
                        views.append(rows)
                        owners.append(number)
            found = [self._sums(rows) for rows in views]
            sums = np.concatenate([*found, np.zeros(0, np.uint64)])
            view = np.repeat(np.arange(len(views)), [len(f) for f in found])
            place = np.concatenate([*(np.arange(len(f)) for f in found), np.zeros(0, np.int64)])
            order = np.argsort(sums, kind="stable")
            self._rows[key] = _Rows(
                views, np.array(owners, int), sums[order], view[order], place[order]
            )
        return self._rows[key]

    def _sums(self, rows: Array) -> Array:
        """A number for the bits of each row, [..., width] -> [...] flat: of equal ones the same.

        The multilinear hash of Carter and Wegman (1979), modulo 2**64.
        """
        width = rows.shape[-1]
        if width not in self._factors:
            self._factors[width] = self._random.integers(2**64, size=width, dtype=np.uint64) | 1
        factors = self._factors[width]
        found = [
            (_bits(part).astype(np.uint64) * factors).sum(axis=-1, dtype=np.uint64).reshape(-1)
            for (part,) in parts(rows, keep=1)
        ]
        return np.concatenate(found)


def gram_of(size: int) -> int:
    """How many numbers the pieces have at least of which a vector of that size is made."""
    return max(1, min(_RUN, size // _PIECES))


def orders(weight: Array) -> Iterator[Array]:
    """A weight with its axes in every order (those of one number are left out): views."""
    plain = weight.reshape([size for size in weight.shape if size > 1] or [1])
    yield plain
    if 1 < plain.ndim <= _AXES:
        for order in itertools.islice(itertools.permutations(range(plain.ndim)), 1, None):
            yield plain.transpose(order)


def parts(*arrays: Array, keep: int = 0) -> Iterator[tuple[Array, ...]]:
    """Arrays of the same shape, in pieces that are small enough for a copy of each.

    Args:
        arrays: of the same shape, but for the last `keep` axes.
        keep: so many of the last axes are not cut.
    """
    first = arrays[0]
    if first.size <= _PART or first.ndim <= keep:
        yield arrays
        return
    step = _PART * len(first) // first.size
    if step == 0:
        for one in zip(*arrays, strict=True):
            yield from parts(*one, keep=keep)
        return
    for start in range(0, len(first), step):
        yield tuple(array[start : start + step] for array in arrays)


def _equal(weight: Array, array: Array) -> bool:
    """Whether two arrays of one dtype and size have the same bits."""
    pairs = parts(weight, array.reshape(weight.shape))
    return all(np.array_equal(_bits(a), _bits(b)) for a, b in pairs)


def _bits(array: Array) -> Array:
    return array.view(f"u{array.itemsize}")


def _as_rows(array: Array, width: int, turned: bool) -> Array | None:
    """A view of an array as rows, [..., width]: along its last axis, or the last but one.

    An axis may be several rows that were joined.
    """
    axis = array.shape[-2 if turned else -1]
    if axis % width or (axis != width and array.size // width > _SPLIT):
        return None
    if not turned:
        return array.reshape(-1, width)
    *lead, _, columns = array.shape
    return array.reshape(*lead, axis // width, width, columns).swapaxes(-1, -2)


def _taken(rows: Array, numbers: Array) -> Array:
    """The rows with these numbers, [count, width]."""
    return np.ascontiguousarray(rows[np.unravel_index(numbers, rows.shape[:-1])])

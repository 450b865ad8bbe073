"""Where each weight of a module is among the arrays that a file holds.

A weight is accounted for where every number of it is found:

    exactly        the same numbers in the same order, or with the axes in another
    rounded        so, once they are rounded to the dtype that the file has
    reordered      row by row or block by block: gates in another order, directions or layers joined
    added          together with another weight, as the two biases of a layer are
    folded         through a function of one number (exp, sigmoid, 1 - w), a factor, weight norm, a
                   mask that is a weight too, or what the module itself makes of it
    neutral        nothing but 0 or nothing but 1, which a graph may do without

Where nearly all of a weight is found, and a few numbers of it are others, it was altered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnbench.runtimes.folding import close_to, factors_of, folded
from rnnbench.runtimes.held import Array, Held, orders, parts

_NEARLY = 0.9  # of a weight, found: the rest was altered
_SAMPLED = 0.75  # of a sample: where that is not the same, 0.9 of the whole are not
_FEW = 16  # numbers of which nearly all says nothing
_WHOLE = 2**18  # numbers of a matrix that is put together of pieces, beside its rows
_MASKED = 4  # numbers that a mask or a clamp takes at least
_AT_BOUND = 2  # of them at each bound of a clamp

Uses = Mapping[str, Sequence[Array] | None]
"""Weight -> what the module makes of it, of which a file is to hold all; None where it uses the
weight as it is, nothing where it does not use it (rnnbench/cases/uses.py)."""


@dataclass(frozen=True)
class Account:
    """What became of the weights of a module in one file.

    Attributes:
        found: weight -> how: `exactly`, `reordered`, `folded (exp)` ...
        altered: weight -> what of it is another than in the module.
        missing: those of which nothing is known.
        plausible: of those altered, weight -> what a module may do that looks like that.
        larger: of those found, weight -> how, where the file was to keep it in fewer bits and does
            not: `float32`, or `computed` where what is made of it is there.
    """

    found: dict[str, str] = field(default_factory=dict)
    altered: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    plausible: dict[str, str] = field(default_factory=dict)
    larger: dict[str, str] = field(default_factory=dict)


def account(
    weights: Mapping[str, Array], held: Iterable[Array], uses: Uses | None = None
) -> Account:
    """Looks for each weight among the arrays of a file.

    Args:
        weights: of the module, by name.
        held: the arrays.
        uses: what the module makes of those that were not found without it.
    """
    uses, file = uses or {}, Held(held)
    factors = factors_of(weights)
    found: dict[str, str] = {}
    for name, weight in weights.items():
        how = _how(weight, file, factors)
        if how:
            found[name] = how
    for more in (_masked, _together):
        found |= more(_without(weights, found), file)
    found = _normed(weights, _without(weights, found), file) | found
    found |= _as_used(_without(weights, found), uses, file)
    altered: dict[str, str] = {}
    plausible: dict[str, str] = {}
    for name, weight in _without(weights, found).items():
        why, like = _altered(weight, uses.get(name, ()), file, as_it_is=name in uses)
        if why:
            altered[name] = why
            if like:
                plausible[name] = like
    missing = tuple(name for name in weights if name not in found and name not in altered)
    return Account(found, altered, missing, plausible)


def not_smaller(
    rounded: Collection[str], small: Account, weights: Mapping[str, Array], others: Iterable[Array]
) -> dict[str, str]:
    """The weights that a file was to keep in fewer bits, and has otherwise.

    Args:
        rounded: those that it was to keep so, of the ones that were found.
        small: where they are in what it keeps in fewer bits, alone.
        weights: of the module, by name.
        others: what else it holds.

    Returns:
        Weight -> `float32`, or `computed`: something is there that is made of it.
    """
    left = [name for name in rounded if name not in small.found]
    matrices = [array for array in others if array.ndim > 1]  # a row alone is as small as it gets
    file = Held(matrices if left else ())
    return {name: "float32" if _how(weights[name], file, ()) else "computed" for name in left}


def uses_to_message(uses: Uses) -> tuple[dict[str, Any], dict[str, Array]]:
    """JSON values and arrays by name, from which `uses_from_message` makes them again."""
    counts = {name: None if made is None else len(made) for name, made in uses.items()}
    arrays = {
        f"{i}/{j}": array
        for i, made in enumerate(uses.values())
        for j, array in enumerate(made or ())
    }
    return {"uses": counts}, arrays


def uses_from_message(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Uses:
    """The uses in a message."""
    return {
        name: None if count is None else [arrays[f"{i}/{j}"] for j in range(count)]
        for i, (name, count) in enumerate(header["uses"].items())
    }


def _without(weights: Mapping[str, Array], found: Collection[str]) -> dict[str, Array]:
    return {name: weight for name, weight in weights.items() if name not in found}


def _how(weight: Array, file: Held, factors: Sequence[float]) -> str:
    """In which way a weight is here, alone; nothing where it is not."""
    if not weight.size or file.claim(weight):
        return "exactly"
    if weight.dtype.kind != "f":
        return ""
    return _in_place(weight, file) or folded(weight, file, factors)


def _in_place(weight: Array, file: Held) -> str:
    """In which way the numbers themselves are here, but exactly."""
    for dtype in ("float64", "float32", "float16"):
        if dtype != str(weight.dtype) and file.has_size(weight.size, dtype):
            with np.errstate(over="ignore"):
                if file.claim(weight.astype(dtype)):
                    return f"rounded to {dtype}"
    if weight.flat[0] in (0, 1) and all((p == weight.flat[0]).all() for (p,) in parts(weight)):
        return "neutral"
    small = weight.ndim < 2 or weight.size <= _WHOLE
    if file.rows_of(weight).all() or (small and file.covers(weight.reshape(-1))):
        return "reordered"
    return ""


def _as_used(left: Mapping[str, Array], uses: Uses, file: Held) -> dict[str, str]:
    """The weights of which all that the module makes of them is here."""
    found: dict[str, str] = {}
    for name in left:
        made = uses.get(name)
        if made and all(_is_here(array, file) for array in made):
            found[name] = "folded (as the module does)"
    return found


def _is_here(array: Array, file: Held) -> bool:
    if not array.size or file.claim(array):
        return True
    return array.dtype.kind == "f" and bool(_in_place(array, file) or close_to(array, file))


def _altered(
    weight: Array, made: Sequence[Array] | None, file: Held, *, as_it_is: bool
) -> tuple[str, str]:
    """What of a weight, or of what is made of it, is another here; and what that may be.

    An array that is exactly another weight is no altered one, unless the module is known to use the
    weight as it is: the array may then have been put in its place.
    """
    but = () if made is None and as_it_is else file.claimed
    for array in (weight, *(made or ())):
        if array.size < _FEW:
            continue
        same = file.rows_of(array, but=but)
        if same.size >= _FEW and _NEARLY <= same.mean() < 1:
            rows = np.flatnonzero(~same)
            why = f"{len(rows)} of {same.size} rows are others, the first {int(rows[0])}"
            return why, ""
        for turned, other in _near(array, file, but):
            off = np.concatenate([(a != b).reshape(-1) for a, b in parts(turned, other)])
            if not 0 < off.mean() <= 1 - _NEARLY:
                continue
            at = [int(i) for i in np.unravel_index(int(np.argmax(off)), turned.shape)]
            why = f"{int(off.sum())} of {array.size} numbers are others, first at {at}"
            return why, _plausible(turned, other, off.reshape(turned.shape))
    return "", ""


def _near(weight: Array, file: Held, but: Collection[int]) -> Iterator[tuple[Array, Array]]:
    """The weight in an order of axes, and an array, of which a sample is nearly the same."""
    alike = file.of_size(weight.size, but=but)
    for turned in orders(weight) if alike else ():
        for array in alike:
            near = file.sample(turned).astype(array.dtype) == file.sample(array)
            if near.mean() >= _SAMPLED:
                yield turned.astype(array.dtype, copy=False), array.reshape(turned.shape)


def _plausible(weight: Array, held: Array, off: Array) -> str:
    """Whether a mask or a clamp would make these differences; a wiped row is none.

    Args:
        weight: of the module.
        held: the array in the file, of that shape.
        off: where the two differ.
    """
    if weight.dtype.kind != "f" or off.sum() < _MASKED:
        return ""
    wiped = weight.ndim > 1 and (off.all(axis=-1).any() or off.all(axis=-2).any())
    if not held[off].any() and not wiped:
        return "a mask"
    low, high = held.min(), held.max()
    bounds = [int((held[off] == bound).sum()) for bound in (low, high)]
    clamped = np.array_equal(np.clip(weight, low, high), held)
    return "a clamp" if clamped and all(n == 0 or n >= _AT_BOUND for n in bounds) else ""


def _masked(left: Mapping[str, Array], file: Held) -> dict[str, str]:
    """The weights that are here times another that is nothing but 0 and 1, as a pruned one is."""
    masks = {name: weight for name, weight in left.items() if weight.size and _is_mask(weight)}
    found: dict[str, str] = {}
    for mask, ones in masks.items():
        for name, weight in left.items():
            fits = name != mask and weight.shape == ones.shape and weight.dtype.kind == "f"
            if fits and file.claim(weight * ones.astype(weight.dtype)):
                found |= {name: f"folded ({mask} * w)", mask: f"folded (into {name})"}
    return found


def _is_mask(weight: Array) -> bool:
    return all(((part == 0) | (part == 1)).all() for (part,) in parts(weight))


def _together(left: Mapping[str, Array], file: Held) -> dict[str, str]:
    """The vectors that are here as the sum of two: biases of a layer."""
    kinds: dict[tuple[int, str], list[str]] = {}
    for name, weight in left.items():
        if weight.ndim == 1 and weight.dtype.kind == "f":
            kinds.setdefault((weight.size, str(weight.dtype)), []).append(name)
    found: dict[str, str] = {}
    for names in kinds.values():
        vectors = np.stack([left[name] for name in names])
        starts = file.begins(vectors)
        for i, name in enumerate(names):
            # Of each pair only where a piece begins as their sum does, or as both do.
            known = file.begins(vectors[i] + vectors[i + 1 :]) | (starts[i] & starts[i + 1 :])
            for other in (names[i + 1 + j] for j in np.flatnonzero(known)):
                if not {name, other} & found.keys() and _added(left[name], left[other], file):
                    found |= {name: f"added to {other}", other: f"added to {name}"}
    return found


def _added(one: Array, other: Array, file: Held) -> bool:
    both = one + other
    # Of a GRU the gates' biases are added, and those of the new state are not.
    return file.covers(both) or (file.covers(both, one) and file.covers(both, other))


def _normed(weights: Mapping[str, Array], left: Mapping[str, Array], file: Held) -> dict[str, str]:
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
            if close_to(g * v / np.where(norm == 0, 1, norm), file):
                found |= {name: "folded (weight norm)", other: "folded (weight norm)"}
    return found

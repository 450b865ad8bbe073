"""What a graph may hold instead of a weight: a function of each number, or a factor.

Each is tried at a sample of the numbers first. A result that holds next to nothing of the weight (a
bias that `relu` makes 0 everywhere) explains nothing: it may as well have been wiped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from rnnbench.runtimes.held import Array, Held, orders, parts

_CLOSE = 3e-6  # relative: a function of a number, in float32
_RUN = 4  # numbers of which a ratio is no chance
_TELLING = 3  # different numbers that a result has at least
_EPSILONS = (1e-5, 1e-3)  # of BatchNorm in PyTorch and in Keras

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


def folded(weight: Array, file: Held, factors: Iterable[float]) -> str:
    """Through which function or factor a weight is here; empty where through none.

    Args:
        weight: of floats.
        file: the arrays.
        factors: by which a weight may be multiplied, besides powers of 2.
    """
    with np.errstate(all="ignore"):
        for name, function in FUNCTIONS.items():
            if close_to(weight, file, function):
                return f"folded ({name})"
        for turned, array in _pairs(weight, file):
            ratio = float(np.median(file.sample(array) / file.sample(turned)))
            if weight.size < _RUN or not _explained(ratio, factors):
                continue
            if close_to(weight, file, lambda w, by=ratio: w * by):  # type: ignore[misc]
                return f"folded ({ratio:.6g} * w)"
    return ""


def close_to(weight: Array, file: Held, function: Callable[[Array], Array] = lambda w: w) -> bool:
    """Whether an array has what a function makes of a weight, but for rounding.

    Args:
        weight: with its axes in any order.
        file: the arrays.
        function: of each number, in float64.
    """
    with np.errstate(all="ignore"):
        return any(
            _close(function(_wide(file.sample(turned))), file.sample(array))
            and all(
                _close(function(_wide(w)), a) for w, a in parts(turned, array.reshape(turned.shape))
            )
            and _tells(array, weight)
            for turned, array in _pairs(weight, file)
        )


def factors_of(weights: Mapping[str, Array]) -> list[float]:
    """By what a graph multiplies weights: roots of sizes, other weights of one number, BatchNorm.

    Attention divides by the root of a size (Vaswani et al., 2017); BatchNorm that has seen nothing
    divides by sqrt(1 + epsilon).
    """
    sizes = {size for weight in weights.values() for size in weight.shape}
    single = (w for w in weights.values() if w.size == 1 and w.dtype.kind == "f")
    found = [
        *(math.sqrt(size) for size in sizes if size > 0),
        *(abs(float(w.flat[0])) for w in single),
        *(math.sqrt(1 + epsilon) for epsilon in _EPSILONS),
    ]
    return [factor for factor in found if factor > 0 and math.isfinite(factor)]


def _explained(ratio: float, factors: Iterable[float]) -> bool:
    """Whether something names the ratio: a power of 2, a factor, or 1 / a factor."""
    size = abs(ratio)
    if not size or not math.isfinite(size):
        return False
    power = 2.0 ** round(math.log2(size))
    named = [power, *(f for factor in factors for f in (factor, 1 / factor))]
    return any(math.isclose(size, by, rel_tol=_CLOSE) for by in named)


def _pairs(weight: Array, file: Held) -> Iterator[tuple[Array, Array]]:
    alike = [array for array in file.of_size(weight.size) if array.dtype.kind == "f"]
    for turned in orders(weight) if alike else ():
        for array in alike:
            yield turned, array


def _close(expected: Array, given: Array) -> bool:
    return bool(np.allclose(expected, given, rtol=_CLOSE, atol=0))


def _wide(array: Array) -> Array:
    return array.astype(np.float64)


def _tells(array: Array, weight: Array) -> bool:
    """Whether an array has enough different numbers to be known by, for what it is made of."""
    numbers: set[float] = set()
    for (part,) in parts(array.reshape(-1)):
        numbers.update(np.unique(part)[:_TELLING].tolist())
        if len(numbers) >= _TELLING:
            return True
    return len(numbers) == np.unique(weight).size and not numbers <= {0.0, 1.0}

"""The sizes at which a model is traced."""

from __future__ import annotations

from rnnbench.core.model import Model

_BATCH = 3
# Primes: no size is a multiple of another, nor the product of two a third one.
_OTHERS = (5, 7, 11, 13, 17, 19, 23, 29)
_TIMES = 4


def traced_sizes(model: Model) -> dict[str, int]:
    """A size for each dynamic dimension; no two alike, so that none is taken for another.

    Where there is a least size, it is a few times that: at the least one itself much is 1.
    """
    others = iter(_OTHERS)
    sizes = {}
    for name, dim in model.dims.items():
        size = _BATCH if name == model.batch_dim else next(others)
        least = dim.fit(1)
        sizes[name] = size if least <= size else _TIMES * least + size
    return model.fit(sizes)

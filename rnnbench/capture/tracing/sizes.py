"""The sizes at which a model is traced."""

from __future__ import annotations

from rnnbench.core.model import Model

_BATCH = 3
# Primes: no size is a multiple of another, nor the product of two a third one.
_OTHERS = (5, 7, 11, 13, 17)


def traced_sizes(model: Model) -> dict[str, int]:
    """A size for each dynamic dimension; no two alike, so that none is taken for another."""
    others = iter(_OTHERS)
    return {d: _BATCH if d == model.batch_dim else next(others) for d in model.dims}

"""The least sizes at which a module works, where it fails at small ones.

A convolution, a window or a frame is longer than the few steps at which a model is traced first.
What is not declared (`Model(dims={"time": Dim(min=400)})`) is found by running the module.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from rnnbench.core.dims import Dim
from rnnbench.core.model import Dims, Model, sample_inputs
from rnnbench.core.threads import torch_threads
from rnnbench.models.calls import call, device_of, undisturbed

# All that are small, then those that have many divisors, as frames and windows are.
_CANDIDATES = (*range(16, 64), *(k * 2**n for n in range(2, 11) for k in (16, 18, 20, 28, 30)))
_MULTIPLES = 512  # the largest that is looked for
_LARGEST = 2**24  # numbers in an input that is tried
_SHOWN = 3  # sizes one after the other that work: there is no multiple to be kept


def with_least_sizes(model: Model, start: Dims) -> Model:
    """The model with the least size of each dimension, where it raises at the sizes of `start`.

    Args:
        model: the declaration.
        start: a small size of each dynamic dimension.

    Returns:
        The model as it was, where it runs at `start`, or at no size that was tried.
    """
    with torch_threads(1), undisturbed(model.module):

        def works(dims: Dims) -> bool:
            try:
                arrays = sample_inputs(model, dims, 0)
                call(
                    model.module,
                    model.inputs,
                    model.outputs,
                    arrays,
                    device=device_of(model.module),
                )
            except Exception:  # a user's module may raise anything
                return False
            return True

        if works(start):
            return model
        others = [d for d in start if d != model.batch_dim]
        large = _first_that_works(model, start, others, works)
        if large is None:
            return model
        found = dict(model.dims)
        for dim in others:
            found[dim] = _least(dim, large, works, found[dim])
    return replace(model, dims=found)


def _first_that_works(
    model: Model, start: Dims, others: list[str], works: Callable[[Dims], bool]
) -> dict[str, int] | None:
    """Sizes above the start, all dimensions but the batch alike."""
    for size in _CANDIDATES:
        dims = dict(start) | dict.fromkeys(others, size)
        if max(math.prod(spec.resolve(dims)) for spec in model.inputs) > _LARGEST:
            break
        if others and works(dims):
            return dims
    return None


def _least(dim: str, large: dict[str, int], works: Callable[[Dims], bool], before: Dim) -> Dim:
    """The least size of one dimension from which on it works, and what it has to be a multiple of.

    The others stay large meanwhile.
    """

    def fine(size: int) -> bool:
        return works(large | {dim: size})

    size = large[dim]
    multiple = 1
    if not all(fine(size + k) for k in range(1, _SHOWN + 1)):
        steps = (k for k in range(2, _MULTIPLES + 1) if fine(size + k) and fine(size + 2 * k))
        multiple = next((k for k in steps if size % k == 0), 1)
    low, high = 0, size // multiple  # in multiples: `high` works, `low` does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fine(middle * multiple) else (middle, high)
    return Dim(max(before.min, high * multiple), max(before.multiple_of, multiple))

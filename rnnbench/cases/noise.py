"""The noise of a module: how far its own outputs move with a rounding of what goes in.

A few runs of the module in its own precision, each with inputs and parameters moved to a
neighbouring number at random, and every other one with PyTorch's plain kernels, which sum in
another order. What is compared with the float64 reference is the largest error of them and of the
run as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from rnnbench.cases.leaks import leaking
from rnnbench.core.model import Arrays

if TYPE_CHECKING:
    import torch

RUNS = 3
"""Beside the one as it is."""

_BITS = 17  # of the 23 of a float32, which noise needs not

Array = np.ndarray[Any, Any]


def measure_noise(
    module: torch.nn.Module,
    run: Callable[[Arrays], Arrays],
    inputs: Mapping[str, Arrays],
    eager: Mapping[str, Arrays],
    exact: Mapping[str, Arrays],
) -> dict[str, Arrays]:
    """The largest error of each element over a few runs, by case and output.

    Args:
        module: whose parameters are moved, and put back.
        run: the module in its own precision.
        inputs: of each case.
        eager: what the module gives.
        exact: what it gives in float64.

    Returns:
        arrays of float32 in the shape of each output; of integers none.
    """
    found = {
        case: {n: error_of(array, exact[case][n]) for n, array in outputs.items() if _floats(array)}
        for case, outputs in eager.items()
    }
    for number in range(RUNS):
        with _moved(module, np.random.default_rng(number)), _other_kernels(number % 2 == 0):
            for case, noise in found.items():
                rng = np.random.default_rng((number, crc32(case.encode())))  # with others or alone
                arrays = {name: neighbours(a, rng) for name, a in inputs[case].items()}
                try:
                    with leaking(module, number, rng):
                        outputs = run(arrays)
                except Exception:  # a module that raises on a neighbour tells nothing there
                    continue
                for name, most in noise.items():
                    if outputs[name].shape == most.shape:
                        np.fmax(most, error_of(outputs[name], exact[case][name]), out=most)
    return {c: {n: _rounded_up(a) for n, a in noise.items()} for c, noise in found.items()}


def _floats(array: Array) -> bool:
    return bool(array.dtype.kind == "f")


def error_of(actual: Array, exact: Array) -> Array:
    """The absolute differences in float64; 0 where `same_beyond`."""
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(actual.astype(np.float64) - exact.astype(np.float64))
    error = np.asarray(error)
    error[same_beyond(actual, exact)] = 0.0
    return error


def same_beyond(actual: Array, exact: Array) -> Array:
    """Where both are NaN, the same infinity, or the same limit of their own dtype.

    A mask of `torch.finfo(x.dtype).min` is -3.4e38 in float32, and -1.8e308 in the reference.
    """
    limits = np.finfo(actual.dtype).max, np.finfo(exact.dtype).max
    with np.errstate(invalid="ignore"):
        same = (np.abs(actual) == limits[0]) & (np.abs(exact) == limits[1])
        same |= np.isinf(actual) & np.isinf(exact)
        same &= np.sign(actual) == np.sign(exact)
    return np.asarray(same | (np.isnan(actual) & np.isnan(exact)))


@contextmanager
def _moved(module: torch.nn.Module, rng: np.random.Generator) -> Iterator[None]:
    """Each parameter has neighbours of its numbers meanwhile, and its own to the last bit after."""
    import torch

    saved = [(p, p.data) for p in module.parameters() if p.dtype in (torch.float32, torch.float64)]
    try:
        for parameter, data in saved:
            near = neighbours(data.cpu().numpy(), rng)
            parameter.data = torch.from_numpy(near).to(data.device)
        yield
    finally:
        for parameter, data in saved:
            parameter.data = data


def neighbours(array: Array, rng: np.random.Generator) -> Array:
    """Each number moved down, up or not at all; whole ones, which may be compared, stay."""
    if not _floats(array):
        return array
    whole = (array == np.round(array)) | ~np.isfinite(array)
    by = rng.integers(-1, 2, array.shape, np.int8)
    by[whole] = 0
    # One more in the bits of a number that is not 0 is its neighbour, away from 0.
    bits = np.ascontiguousarray(array).view(f"i{array.itemsize}") + by
    return np.asarray(bits.view(array.dtype).reshape(array.shape))


@contextmanager
def _other_kernels(other: bool) -> Iterator[None]:
    from torch.backends import mkldnn

    before = mkldnn.enabled
    try:
        mkldnn.enabled = before and not other  # type: ignore[assignment]
        yield
    finally:
        mkldnn.enabled = before


def _rounded_up(noise: Array) -> Array:
    """With as few bits as are enough, which compress well."""
    with np.errstate(over="ignore"):
        bits = np.nextafter(noise.astype(np.float32), np.float32(np.inf)).view(np.uint32)
    up = (bits + np.uint32((1 << _BITS) - 1)) & np.uint32(~((1 << _BITS) - 1) & 0xFFFFFFFF)
    return np.where(noise == 0, np.float32(0), up.view(np.float32))

"""Arrays that are to fit the declared inputs of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.core.dims import Dim, names_of, value_of
from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.core.model import Arrays, Model, TensorSpec

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle


def fitting(declared: Bundle | Model, inputs: Mapping[str, Any]) -> Arrays:
    """The inputs as contiguous arrays that fit a declaration.

    Args:
        declared: a model, or the bundle of one.
        inputs: by name.

    Raises:
        RnnbenchError: one does not fit; the message names it.
    """
    names = [spec.name for spec in declared.inputs]
    for name in inputs:
        if name not in names:
            raise choices("input", name, names)
    arrays: Arrays = {}
    dims: dict[str, int] = {}
    for spec in declared.inputs:
        if spec.name not in inputs:
            raise RnnbenchError(
                f"input {spec.name!r} is missing: give {spec.dtype}{_shown(spec.shape)}"
            )
        arrays[spec.name] = _fitting(spec, np.asarray(inputs[spec.name]), dims)
    for spec in declared.inputs:  # once more: sums and products of dimensions that came later
        _fitting(spec, arrays[spec.name], dims)
    for name, size in dims.items():
        dim = declared.dims.get(name, Dim())
        if not dim.allows(size):
            raise RnnbenchError(
                f"dimension {name!r} is {size}, and {declared.name} takes {dim}: give "
                f"{dim.fit(size)}"
            )
    for spec in declared.inputs:
        _check_values(spec, arrays[spec.name], dims.get(declared.time_dim))
    return arrays


def _fitting(
    spec: TensorSpec, array: np.ndarray[Any, Any], dims: dict[str, int]
) -> np.ndarray[Any, Any]:
    """The array, where its dtype and shape fit; `dims` collects the dynamic dimensions' sizes."""
    if array.dtype != np.dtype(spec.dtype):
        raise RnnbenchError(
            f"input {spec.name!r} is {array.dtype}, and {spec.dtype} is declared: "
            f"convert it with .astype({spec.dtype!r})"
        )
    fits = array.ndim == len(spec.shape) and all(
        given > 0 and given == _wanted(size, given, dims)
        for given, size in zip(array.shape, spec.shape, strict=True)
    )
    if not fits:
        known = ", ".join(f"{dim}={size}" for dim, size in dims.items())
        raise RnnbenchError(
            f"input {spec.name!r} has shape {_shown(array.shape)}, and {_shown(spec.shape)} is "
            f"declared{f' ({known})' if known else ''}: give every dimension 1 or more, and each "
            "named one the same size everywhere"
        )
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _wanted(size: int | str, given: int, dims: dict[str, int]) -> int:
    """What a size has to be; one that is a name alone is whatever was given for it first."""
    names = names_of(size)
    if names == (size,):
        return dims.setdefault(names[0], given)
    known = all(name in dims for name in names)
    return value_of(size, dims) if known else given


def _check_values(spec: TensorSpec, array: np.ndarray[Any, Any], time: int | None) -> None:
    """Refuses values that make some runtimes read outside of their memory (onnxruntime#10768)."""
    if spec.role == "lengths":
        low, above = 1, (time or int(array.max())) + 1
    elif spec.high is not None:
        low, above = 0, spec.high
    else:
        return
    least, most = int(array.min()), int(array.max())
    if least < low or most >= above:
        raise RnnbenchError(
            f"input {spec.name!r} holds values from {least} to {most}: "
            f"give values from {low} to {above - 1}"
        )


def _shown(shape: tuple[int | str, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"

"""The arrays of a user's that the ranges of values are measured on: `--calibrate data.npz`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.cases.feeding import UNREADABLE, read_inputs
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.fitting import fitting
from rnnbench.core.model import Arrays, Model
from rnnbench.models.precision import STATIC

Given = str | Path | Mapping[str, Any]
"""A file with one array per input, or the arrays themselves."""


def calls_in(given: Given | Sequence[Given], precision: str) -> tuple[Arrays, ...]:
    """The inputs of each call, as they are given.

    Args:
        given: of one call, or of several.
        precision: what is asked for; it has to be the one that needs them.

    Raises:
        RnnbenchError: a file cannot be read, or there is no precision that needs any.
    """
    calls = [given] if isinstance(given, str | Path | Mapping) else _listed(given)
    if not calls and precision == STATIC:
        raise RnnbenchError(
            f"{STATIC} measures the ranges of values on arrays of yours: add --calibrate FILE.npz, "
            "or export with --precision int8-dynamic, which measures them as it runs"
        )
    if calls and precision != STATIC:
        raise RnnbenchError(
            f"--calibrate is for --precision {STATIC}, and {precision or 'none'} is asked for: "
            "leave one of them out"
        )
    return tuple(_arrays(one) if isinstance(one, Mapping) else _read(Path(one)) for one in calls)


def _listed(given: Any) -> list[Given]:
    """Several, each a file or arrays by name.

    Raises:
        RnnbenchError: they are something else.
    """
    found = list(given) if isinstance(given, Iterable) and not hasattr(given, "shape") else [given]
    for one in found:
        if not isinstance(one, str | Path | Mapping):
            raise RnnbenchError(
                f"--calibrate takes the inputs of a call by name, and got {type(one).__name__}: "
                "give an .npz file, a dict of arrays, or a list of these"
            )
    return found


def _arrays(given: Mapping[str, Any]) -> Arrays:
    found = {}
    for name, value in given.items():
        plain = value.detach().cpu() if hasattr(value, "detach") else value
        try:
            found[str(name)] = np.asarray(plain)
        except (TypeError, ValueError, RuntimeError) as error:
            raise RnnbenchError(
                f"--calibrate: input {name!r} is no array ({one_line(error)}): give one of numpy's"
            ) from None
    return found


def _read(path: Path) -> Arrays:
    try:
        return read_inputs(path)
    except UNREADABLE as error:
        raise RnnbenchError(
            f"cannot read {path} ({one_line(error)}): give --calibrate an .npz with one array per "
            "input"
        ) from None


def fitted(model: Model, calls: Sequence[Arrays]) -> tuple[Arrays, ...]:
    """The inputs of each call, where they are those that a model declares; states may be left out.

    Raises:
        RnnbenchError: they are not, or hold a number that is not finite.
    """
    found = []
    for arrays in calls:
        try:
            whole = fitting(model, {**_zero_states(model, arrays), **arrays})
        except RnnbenchError as error:
            raise RnnbenchError(f"--calibrate: {error}") from None
        for name, array in whole.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise RnnbenchError(
                    f"--calibrate: input {name!r} holds numbers that are not finite, of which no "
                    "range can be measured: leave those out"
                )
        found.append(whole)
    return tuple(found)


def _zero_states(model: Model, arrays: Arrays) -> Arrays:
    """The states that are not given, at the start of a stream."""
    sizes: dict[str, int] = {}
    for spec in model.inputs:
        given = np.asarray(arrays.get(spec.name, 0)).shape
        if len(given) == len(spec.shape):
            pairs = zip(spec.shape, given, strict=True)
            sizes |= {size: n for size, n in pairs if isinstance(size, str)}
    left = [s for s in model.inputs if s.name in model.states and s.name not in arrays]
    known = [spec for spec in left if {*spec.dims} <= sizes.keys()]
    return {spec.name: np.zeros(spec.resolve(sizes), spec.dtype) for spec in known}

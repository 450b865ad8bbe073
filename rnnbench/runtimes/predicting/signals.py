"""A signal for a model with one input of numbers: rows of a table, or samples of a sound.

signal [step, row, feature]  ->  the input in its own order, lengths and zero states beside it
outputs in their own order   ->  by step [step, row, channel], where they have an axis of time
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnbench.core.bundle import Bundle
from rnnbench.core.dims import Dim, names_of, value_of
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays, TensorSpec
from rnnbench.runtimes.session import Session

Signal = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """Where a bundle's only input of numbers has its axes.

    Attributes:
        bundle: whose input it is.
        spec: its declaration.
        time: the axis of time.
        batch: the axis of rows; None where it has none.
        feature: the axis of what a step holds; None where that is one number.
        features: how many numbers a step holds.
    """

    bundle: Bundle
    spec: TensorSpec
    time: int
    batch: int | None
    feature: int | None
    features: int

    @property
    def step(self) -> int:
        """How many places on the axis of time a step of the model has: 160 for `160*time`."""
        size, name = self.spec.shape[self.time], self.bundle.time_dim
        return value_of(size, {name: 2}) - value_of(size, {name: 1})


def layout_of(bundle: Bundle) -> Layout:
    """The axes of the only input of numbers.

    Raises:
        RnnbenchError: there are several or none, or it is no sequence of numbers.
    """
    data = [spec for spec in bundle.inputs if spec.role == "data"]
    if len(data) != 1 or not data[0].dtype.startswith("float"):
        shown = ", ".join(f"{s.name} ({s.dtype})" for s in data) or "none"
        raise RnnbenchError(
            f"{bundle.name} takes {shown}, and a table or a sound feeds one input of floats: "
            "give --npz"
        )
    spec = data[0]
    times = [i for i, size in enumerate(spec.shape) if names_of(size) == (bundle.time_dim,)]
    rows = [i for i, size in enumerate(spec.shape) if size == bundle.batch_dim]
    others = [i for i in range(len(spec.shape)) if i not in times and i not in rows]
    sizes = [spec.shape[i] for i in others]
    wide = [i for i in others if spec.shape[i] != 1]
    if len(times) != 1 or len(rows) > 1 or len(wide) > 1 or any(isinstance(n, str) for n in sizes):
        shape = ", ".join(map(str, spec.shape))
        raise RnnbenchError(
            f"{bundle.name}: input {spec.name!r} is [{shape}], and a table or a sound feeds one of "
            f"{bundle.batch_dim}, {bundle.time_dim} and one fixed size: give --npz"
        )
    feature = wide[0] if wide else next(iter(others), None)
    features = 1 if feature is None else int(spec.shape[feature])
    return Layout(bundle, spec, times[0], rows[0] if rows else None, feature, features)


def feed(session: Session, layout: Layout, signal: Signal) -> dict[str, NDArray[np.generic]]:
    """The outputs for a whole signal, each in its own order.

    Where the model takes lengths of other sizes alone, zeros follow the signal.

    Args:
        session: of the bundle.
        layout: of its input.
        signal: [step, row, feature].

    Raises:
        RnnbenchError: the model takes fewer rows, or has another input that nothing says how to
            fill.
    """
    bundle, spec = layout.bundle, layout.spec
    steps, rows, _ = signal.shape
    if layout.batch is None and rows > 1:
        raise RnnbenchError(f"{bundle.name} takes one row, and {rows} are given: give one channel")
    dims = {name: dim.fit(1) for name, dim in bundle.dims.items()}
    dims[bundle.batch_dim] = bundle.dims.get(bundle.batch_dim, Dim()).fit(rows)
    dims[bundle.time_dim] = _steps(layout, steps)
    places = value_of(spec.shape[layout.time], dims)
    filled = np.zeros((places, dims[bundle.batch_dim], layout.features))
    filled[:steps, :rows] = signal
    inputs = {spec.name: _in_order(layout, filled, spec)}
    for other in bundle.inputs:
        if other.role == "lengths":
            full = np.full(other.resolve(dims), max(1, math.ceil(steps / layout.step)))
            inputs[other.name] = full.astype(other.dtype)
    return session(session.zero_states(dims) | inputs)


def by_step(
    layout: Layout, outputs: Arrays, steps: int, rows: int
) -> dict[str, NDArray[np.generic]]:
    """The outputs that have an axis of time, as [step, row, channel]; the others are left out.

    Args:
        layout: of the input.
        outputs: what `feed` gave.
        steps: of the signal; what came of the zeros behind it is cut off.
        rows: of the signal.
    """
    times = {_steps(layout, steps), value_of(layout.spec.shape[layout.time], _dims(layout, steps))}
    found = {}
    for name, array in outputs.items():
        if name in layout.bundle.states.values():
            continue
        time = _axis(array.shape, times, layout.time)
        if time is None:
            continue
        batch = None
        if layout.batch is not None:
            batch = _axis(array.shape, {rows}, layout.batch, without=time)
        ahead = [axis for axis in (time, batch) if axis is not None]
        moved = np.moveaxis(array, ahead, range(len(ahead)))
        moved = moved if batch is not None else moved[:, np.newaxis]
        per_step = moved.reshape(*moved.shape[:2], -1)
        whole = per_step.shape[0] if per_step.shape[0] < steps else steps
        found[name] = per_step[:whole, :rows]
    return found


def _steps(layout: Layout, places: int) -> int:
    """The least size of the time dimension that the model takes, and that holds them all."""
    size, name = layout.spec.shape[layout.time], layout.bundle.time_dim
    dim = layout.bundle.dims.get(name, Dim())
    first = value_of(size, {name: 1})
    wanted = 1 + max(0, math.ceil((places - first) / layout.step))
    return dim.fit(wanted)


def _dims(layout: Layout, places: int) -> dict[str, int]:
    return {layout.bundle.time_dim: _steps(layout, places)}


def _in_order(layout: Layout, filled: Signal, spec: TensorSpec) -> NDArray[np.generic]:
    """[step, row, feature] in the order of the declaration, with its axes of size 1."""
    array = filled
    if layout.feature is None:
        array = array[..., 0]
    if layout.batch is None:
        array = array[:, 0]
    named = [a for a in (layout.time, layout.batch, layout.feature) if a is not None]
    array = array.transpose(np.argsort(named))
    for axis in range(len(spec.shape)):
        if axis not in named:
            array = np.expand_dims(array, axis)
    return np.ascontiguousarray(array.astype(spec.dtype))


def _axis(
    shape: tuple[int, ...], sizes: set[int], usual: int, *, without: int | None = None
) -> int | None:
    """The axis of one of these sizes: where the input has it, or the first."""
    able = [i for i, size in enumerate(shape) if size in sizes and i != without]
    return usual if usual in able else next(iter(able), None)

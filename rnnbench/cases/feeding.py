"""How a case is fed: at once, in chunks with the state handed on, or as streams that take turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays, Run, TensorSpec

CHUNKS: dict[str, tuple[int, ...]] = {
    "stream-1": (1,),
    "stream-7": (7,),
    "stream-160": (160,),
    "stream-random": (3, 41, 1, 19, 8, 64, 2),
}
"""Steps per call; the sequence begins with the first, and they are repeated to its end."""


def read_inputs(path: Path) -> Arrays:
    """The inputs in an .npz: all that it holds, or the `in/NAME` of what --save-failures wrote.

    Raises:
        OSError, ValueError, EOFError, BadZipFile: it cannot be read, or is something else.
    """
    with path.open("rb") as stream:  # numpy leaves a damaged file open
        stored = np.load(stream, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array without a name")
        saved = [name for name in stored if name.startswith("in/")]
        return {name.removeprefix("in/"): stored[name] for name in saved or stored}


UNREADABLE = (OSError, ValueError, EOFError, BadZipFile)
"""What `read_inputs` raises."""


@dataclass(frozen=True)
class FeedMode:
    """What one call with a whole sequence is compared with.

    Attributes:
        chunks: steps per call, repeated; empty: all at once.
        interleaved: each row is a stream of its own, and they take turns.
        reset: another sequence comes first, then the state is set back to the start.
    """

    chunks: tuple[int, ...] = ()
    interleaved: bool = False
    reset: bool = False


@dataclass(frozen=True)
class StreamLayout:
    """What feeding needs to know of a model.

    Attributes:
        inputs: the declared inputs.
        states: input -> the output to feed back as it.
        batch_dim: the name of the batch dimension.
        time_dim: the name of the time dimension.
        batch_axes: output -> its axis of the batch; an output without one is not there.
        time_axes: output -> its axis of time; an output without one is not there.
        coarseness: how many times as coarse as float32 the arithmetic is that was asked for.
    """

    inputs: tuple[TensorSpec, ...]
    states: dict[str, str]
    batch_dim: str
    time_dim: str
    batch_axes: dict[str, int]
    time_axes: dict[str, int]
    coarseness: float = 1.0


def feed(run: Run, inputs: Arrays, mode: FeedMode, layout: StreamLayout) -> Arrays:
    """The outputs of a case as one call with everything would give them.

    Raises:
        RnnbenchError: the parts do not fit together again.
    """
    if mode.interleaved:
        return _take_turns(run, inputs, mode, layout)
    if mode.reset:
        for _ in _in_chunks(run, _other(inputs, layout), mode, layout):
            pass
    if not mode.chunks:
        return run(inputs)
    return joined(list(_in_chunks(run, inputs, mode, layout)), layout.time_axes)


def find_axes(cases: Sequence[tuple[dict[str, int], Arrays]], dim: str) -> dict[str, int]:
    """Output -> the axis whose size changes with a dimension.

    Args:
        cases: sizes of the dynamic dimensions, and the outputs that belong to them.
        dim: the dimension.
    """
    axes: dict[str, int] = {}
    for sizes, outputs in cases:
        for others, compared in cases:
            if sizes.get(dim) == others.get(dim) or sizes | {dim: 0} != others | {dim: 0}:
                continue
            for name in outputs.keys() & compared.keys():
                a, b = outputs[name].shape, compared[name].shape
                changed = [i for i, (m, n) in enumerate(zip(a, b, strict=False)) if m != n]
                if len(a) == len(b) and len(changed) == 1:
                    axes.setdefault(name, changed[0])
    return axes


def _in_chunks(run: Run, inputs: Arrays, mode: FeedMode, layout: StreamLayout) -> Any:
    """The outputs of one call after the other, as they come."""
    timed = {s.name: s.shape.index(layout.time_dim) for s in layout.inputs if _timed(s, layout)}
    length = next(inputs[name].shape[axis] for name, axis in timed.items())
    state = {name: inputs[name] for name in layout.states}
    for start, stop in _bounds(length, mode.chunks or (length,)):
        part = {
            name: _cut(array, timed[name], start, stop) if name in timed else array
            for name, array in inputs.items()
        }
        for spec in layout.inputs:
            if spec.role == "lengths":
                part[spec.name] = np.full_like(inputs[spec.name], stop - start)
        outputs = run(part | state)
        missing = [name for name in layout.states.values() if name not in outputs]
        if missing:
            raise RnnbenchError(f"there is no output {missing[0]!r} to feed back")
        state = {name: outputs[target] for name, target in layout.states.items()}
        yield outputs


def _take_turns(run: Run, inputs: Arrays, mode: FeedMode, layout: StreamLayout) -> Arrays:
    axes = {
        s.name: s.shape.index(layout.batch_dim)
        for s in layout.inputs
        if layout.batch_dim in s.shape
    }
    rows = next(inputs[name].shape[axis] for name, axis in axes.items())
    streams = [
        _in_chunks(
            run,
            {n: _cut(a, axes[n], row, row + 1) if n in axes else a for n, a in inputs.items()},
            mode,
            layout,
        )
        for row in range(rows)
    ]
    parts: list[list[Arrays]] = [[] for _ in streams]
    for turn in zip(*streams, strict=True):
        for row, outputs in enumerate(turn):
            parts[row].append(outputs)
    return joined([joined(part, layout.time_axes) for part in parts], layout.batch_axes)


def joined(parts: Sequence[Arrays], axes: dict[str, int]) -> Arrays:
    """Outputs with such an axis one behind the other; of the others, the last."""
    try:
        return {
            name: np.concatenate([part[name] for part in parts], axes[name])
            if name in axes
            else parts[-1][name]
            for name in parts[0]
        }
    except (ValueError, KeyError, np.exceptions.AxisError):
        raise RnnbenchError("its outputs for the parts of a sequence cannot be joined") from None


def _bounds(length: int, chunks: tuple[int, ...]) -> list[tuple[int, int]]:
    bounds: list[tuple[int, int]] = []
    start = 0
    while start < length:
        stop = min(length, start + chunks[len(bounds) % len(chunks)])
        bounds.append((start, stop))
        start = stop
    return bounds


def _cut(array: np.ndarray[Any, Any], axis: int, start: int, stop: int) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(array[(slice(None),) * axis + (slice(start, stop),)])


def _timed(spec: TensorSpec, layout: StreamLayout) -> bool:
    return spec.role != "lengths" and layout.time_dim in spec.shape


def _other(inputs: Arrays, layout: StreamLayout) -> Arrays:
    """Another sequence of the same shape."""
    data = {s.name for s in layout.inputs if s.role == "data" and s.dtype.startswith("float")}
    return {name: -array if name in data else array for name, array in inputs.items()}

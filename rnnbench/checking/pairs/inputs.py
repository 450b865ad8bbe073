"""What is fed to two files that rnnbench did not write: the same values, under each one's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnbench.checking.pairs.match_ports import Side, match_inputs
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays
from rnnbench.core.ports import is_number
from rnnbench.core.signature import Port, Shape

_SIZES = ((1, 7), (3, 16), (2, 1), (5, 33))  # of the first dynamic dimension, and of the others


@dataclass(frozen=True)
class Given:
    """What the user says of the inputs.

    Attributes:
        arrays: inputs of one case by name, of either file.
        values: numbers that are not data (a sampling rate), by name.
        shapes: input -> its shape; an int is fixed, a name gets several sizes.
        context: input -> how many values of the chunk before it wants in front, on its last axis.
    """

    arrays: Arrays = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    context: Mapping[str, int] = field(default_factory=dict)


class Feeder:
    """Makes the inputs of both files for a case, chunk by chunk."""

    def __init__(self, a: Side, b: Side, given: Given, seed: int) -> None:
        self.sides, self.given, self.seed = (a, b), given, seed
        self.pairs = match_inputs(a, b)
        known = {p.name for side in self.sides for p in side.signature.inputs}
        for name in (*given.arrays, *given.values, *given.shapes, *given.context):
            if name not in known:
                raise RnnbenchError(
                    f"neither file has an input {name!r}: {', '.join(sorted(known))}"
                )
        self._shapes: dict[str, Shape] = {}  # data of the first file -> its shape, without context
        for port in a.data:
            if not is_number(port):
                self._shapes[port.name] = self._shape(port)

    def cases(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Name and sizes of each case; one where nothing is dynamic or the inputs are given."""
        shapes = self._shapes.values()
        dims = list(dict.fromkeys(s for shape in shapes for s in shape if isinstance(s, str)))
        for first, other in _SIZES if dims and not self.given.arrays else ((1, 1),):
            sizes = {d: first if i == 0 else other for i, d in enumerate(dims)}
            yield ",".join(f"{d}={n}" for d, n in sizes.items()) or "fixed shape", sizes

    def start(self, side: int, sizes: Mapping[str, int]) -> Arrays:
        """The states of a file at the start of a stream: zero."""
        found = {}
        for port in self.sides[side].signature.inputs:
            if port.name in self.sides[side].states:
                shape = self.given.shapes.get(port.name, port.shape)
                if shape is None:  # TorchScript does not say: as the counterpart, else its default
                    other = {v: k for k, v in self.pairs.items()} if side else self.pairs
                    ports = {p.name: p for p in self.sides[1 - side].signature.inputs}
                    shape = ports[other[port.name]].shape if port.name in other else None
                if shape is not None:
                    known, batch = self._known(sizes)
                    full = [n if isinstance(n, int) else known.get(str(n), batch) for n in shape]
                    found[port.name] = np.zeros(full, port.dtype or "float32")
        return found

    def _known(self, sizes: Mapping[str, int]) -> tuple[dict[str, int], int]:
        """Dimensions by the names of either file, and the batch: the first that is dynamic."""
        known, batch = dict(sizes), 0
        others = {p.name: p for p in self.sides[1].signature.inputs}
        for port in self.sides[0].data:
            if port.name not in self._shapes:
                continue
            shape = [n if isinstance(n, int) else sizes[str(n)] for n in self._shapes[port.name]]
            for declared in (port.shape, others[self.pairs[port.name]].shape):
                for name, size in zip(declared or (None,), shape, strict=False):
                    batch = batch or (0 if isinstance(name, int) else size)
                    if isinstance(name, str):
                        known.setdefault(name, size)
        return known, batch or 1

    def chunk(self, sizes: Mapping[str, int], index: int) -> list[Arrays]:
        """The data of both files for one chunk; the same values under both names."""
        rng = np.random.default_rng([self.seed, index, *sizes.values()])
        a, b = self.sides
        feeds: list[Arrays] = [{}, {}]
        for port in a.data:
            other = self.pairs.get(port.name)
            array = self._array(port, other, sizes, rng)
            feeds[0][port.name] = array
            if other is not None:
                feeds[1][other] = array
        for port in b.data:
            if port.name not in feeds[1]:
                feeds[1][port.name] = self._array(port, None, sizes, rng)
        return feeds

    def _array(
        self, port: Port, other: str | None, sizes: Mapping[str, int], rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        names = [port.name, *([other] if other else [])]
        for name in names:
            if name in self.given.arrays:
                return self.given.arrays[name]
            if name in self.given.values:
                kind = {"int": "int64", "float": "float32", "": "float32"}.get(port.dtype)
                return np.asarray(self.given.values[name], kind or port.dtype)
        if is_number(port):
            raise RnnbenchError(f"{port.name!r} is a number: give it, --set {port.name}=VALUE")
        dtype = port.dtype or self._dtype(other)
        if not dtype.startswith("float"):
            raise RnnbenchError(
                f"{port.name!r} is {dtype}, and which values it may have is not known: "
                "give --inputs FILE.npz"
            )
        shape = [n if isinstance(n, int) else sizes[str(n)] for n in self._shapes[port.name]]
        return rng.standard_normal(shape).astype(dtype)

    def _dtype(self, other: str | None) -> str:
        ports = {p.name: p.dtype for p in self.sides[1].signature.inputs}
        return ports.get(other or "", "") or "float32"

    def _shape(self, port: Port) -> Shape:
        """The shape of data, from the user or from whichever file says more."""
        others = {p.name: p for p in self.sides[1].signature.inputs}
        other = others[self.pairs[port.name]]
        for name in (port.name, other.name):
            if name in self.given.shapes:
                return self.given.shapes[name]
            if name in self.given.arrays:
                return tuple(self.given.arrays[name].shape)
        found = [_named(p, self.given.context.get(p.name, 0)) for p in (port, other) if p.shape]
        if not found:
            raise RnnbenchError(
                f"neither file says which shape {port.name!r} has: give --shape "
                f"{port.name}=batch,16 (numbers, and names for what is dynamic), or --inputs"
            )
        if len(found) == 1:
            return found[0]
        return tuple(m if isinstance(m, int) else n for m, n in zip(*found, strict=True))


def _named(port: Port, context: int) -> Shape:
    """The shape with a name for each dynamic dimension, and without the context."""
    assert port.shape is not None
    shape: list[int | str | None] = [
        f"{port.name}_{i}" if size is None else size for i, size in enumerate(port.shape)
    ]
    last = shape[-1] if shape else None
    if context and isinstance(last, int):
        shape[-1] = last - context
    return tuple(shape)

"""What a file holds, read without running it: one form for ONNX, TorchScript and .pt2.

A reader (`readers/`) fills it in; what looks for recurrences and hazards never sees the file.
Names of values are unique in a program, those inside of bodies included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Dim = int | str | None
"""A size: a number, the name of a dynamic dimension, or unknown."""


EXTERNAL = -1
"""The digest of a weight in another file, which was not read."""


class Ref(str):
    """A value of the graph among a node's arguments; a plain string there is a literal."""

    __slots__ = ()


@dataclass(frozen=True)
class Tensor:
    """A weight or constant.

    Attributes:
        dtype: numpy's name of it (`float32`, `bfloat16`, ...).
        shape: its sizes.
        values: the numbers of a small one, flat; None where it is large or was not read.
        digest: a checksum of its bytes, by which copies are known; 0 where they were not read.
        nans: how many of its numbers are NaN; 0 as well where they were not read.
    """

    dtype: str
    shape: tuple[int, ...]
    values: tuple[float, ...] | None = None
    digest: int = 0
    nans: int = 0

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        total = 1
        for n in self.shape:
            total *= n
        return total


@dataclass(frozen=True)
class Port:
    """An input or output of the file; an unknown shape is None."""

    name: str
    dtype: str = ""
    shape: tuple[Dim, ...] | None = None


@dataclass(frozen=True)
class Carried:
    """What a loop hands from step to step.

    Attributes:
        first: the value before the first step; a literal where it is no value of the graph.
        inside: its name in the body.
        next: what the body computes for the next step.
        last: its name after the loop; empty where the file gives it none.
    """

    first: Any
    inside: str
    next: Any
    last: str


@dataclass
class Body:
    """A graph inside of a node: of a loop, or a branch."""

    nodes: list[Node]
    inputs: tuple[str, ...] = ()
    outputs: tuple[Any, ...] = ()


@dataclass
class Node:
    """One operation.

    Attributes:
        op: ONNX's operator, `aten.lstm`, `prim.Loop`, `higher_order.scan` ...; an operator that
            works in place has the name of the one that does not.
        name: what the file calls it, or the place in its code.
        args: positional arguments: `Ref`, literals, lists of them, None where one is left out.
        attributes: by name.
        outputs: names; empty where an output is left out.
        bodies: graphs inside.
        carried: what a loop hands on.
        slices: of a loop that walks along a sequence: (sequence, its step inside).
    """

    op: str
    name: str
    args: list[Any] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    bodies: tuple[Body, ...] = ()
    carried: tuple[Carried, ...] = ()
    slices: tuple[tuple[Any, str], ...] = ()

    @property
    def refs(self) -> list[Ref]:
        """The values that it reads, those of its bodies apart."""
        return [*refs_in(self.args), *refs_in(list(self.attributes.values()))]

    def arg(self, place: int, name: str = "", default: Any = None) -> Any:
        """An argument by its place, or by its name where it was given so."""
        if name and name in self.attributes:
            return self.attributes[name]
        return self.args[place] if place < len(self.args) else default


@dataclass
class Program:
    """A file.

    Attributes:
        path: the file.
        format: `onnx`, `torchscript` or `pt2`.
        graph: its nodes; constants are not among them.
        inputs: what it takes; weights are not among them.
        outputs: what it returns.
        constants: weights and other known values by name.
        shapes: the sizes of values, where the file or an inference says them.
        dtypes: likewise their types.
        nodes: how many nodes the file has, bodies included.
        size: bytes on disk, external data included.
        producer: what wrote it.
        opset: the version of ONNX's operators; None in other formats.
        stale: names of dimensions around loops that no input has.
        whole: the weights whose products are of whole numbers; they are read as products of floats.
    """

    path: Path
    format: str
    graph: Body
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    constants: dict[str, Tensor] = field(default_factory=dict)
    shapes: dict[str, tuple[Dim, ...]] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    nodes: int = 0
    size: int = 0
    producer: str = ""
    opset: int | None = None
    stale: dict[str, str] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()

    @property
    def parameters(self) -> int:
        """Numbers in weights; whole numbers of 32 and 64 bits, and scalars, are not weights."""
        skip = ("int64", "int32", "bool", "string")
        return sum(t.size for t in self.constants.values() if t.shape and t.dtype not in skip)

    @property
    def dynamic(self) -> tuple[str, ...]:
        """The named dynamic dimensions of the inputs, in order."""
        found = [d for p in self.inputs for d in p.shape or () if isinstance(d, str)]
        return tuple(dict.fromkeys(found))

    def shape(self, value: Any) -> tuple[Dim, ...] | None:
        """The sizes of a value, where they are known."""
        if value in self.constants:
            return self.constants[value].shape
        return self.shapes.get(value) if isinstance(value, Ref) else None

    def dtype(self, value: Any) -> str:
        """The type of a value; empty where it is not known."""
        if value in self.constants:
            return self.constants[value].dtype
        return self.dtypes.get(value, "") if isinstance(value, Ref) else ""


def walk(body: Body) -> Iterator[Node]:
    """Every node, those of bodies after the node that holds them."""
    waiting = [iter(body.nodes)]
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
            continue
        yield node
        for inner in reversed(node.bodies):
            waiting.append(iter(inner.nodes))


def refs_in(value: Any) -> list[Ref]:
    """The values of the graph in nested lists, in reading order."""
    if isinstance(value, Ref):
        return [value] if value else []
    if isinstance(value, list | tuple):
        return [ref for item in value for ref in refs_in(item)]
    return []

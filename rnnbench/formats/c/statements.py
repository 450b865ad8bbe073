"""The statements of a C function, the arrays that they use, and the constants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from rnnbench.formats.c.literals import folded, literal
from rnnbench.formats.c.names import Names
from rnnbench.formats.c.places import Room
from rnnbench.formats.c.sizes import NoForm, Sizes, numel
from rnnbench.formats.c.values import C_TYPES, At, Block, Index, Value, added, scaled

_WIDTH = 112


class Statements:
    """What one function is made of.

    Args:
        sizes: writes sizes.

    Attributes:
        fresh: gives a name that nothing else has.
        lines: the statements.
        rooms: the arrays in the workspace, by name.
        constants: the constant arrays: name -> tensor.
        extras: the functions that it needs beside those of every file.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.fresh = Names().fresh
        self.lines: list[str] = []
        self.rooms: dict[str, Room] = {}
        self.constants: dict[str, torch.Tensor] = {}
        self.extras: list[str] = []
        self.indent = 1
        self._arrays: dict[int, str] = {}
        self._kept: list[torch.Tensor] = []  # so that the ids stay theirs

    def line(self, text: str) -> None:
        """Adds a statement, in as many lines as it takes."""
        pad = "    " * self.indent
        self.lines += [pad + part for part in folded(text, _WIDTH - len(pad))]

    @contextmanager
    def nested(self, head: str) -> Iterator[None]:
        """The statements of a block behind `for (...)` or `if (...)`."""
        self.line(f"{head} {{")
        self.indent += 1
        yield
        self.indent -= 1
        self.line("}")

    @contextmanager
    def loops(self, sizes: Sequence[Any], stem: str = "i") -> Iterator[list[str]]:
        """Nested loops over sizes; yields an index for each, `0` where there is one step."""
        indices = []
        opened = 0
        for size in sizes:
            if size == 1:
                indices.append("0")
                continue
            name = self.fresh(f"{stem}{opened}")
            self.line(f"for (int64_t {name} = 0; {name} < {self.sizes.text(size)}; ++{name}) {{")
            self.indent += 1
            opened += 1
            indices.append(name)
        yield indices
        for _ in range(opened):
            self.indent -= 1
            self.line("}")

    def room(
        self, dtype: torch.dtype, sizes: Sequence[Any], stem: str, held: Sequence[Any] = ()
    ) -> Value:
        """An array of the workspace; `held` is what it has room for, where that can be more."""
        name = self.fresh(stem)
        most = list(map(self.sizes.most, held or sizes))
        count = self.sizes.product(most)
        self.rooms[name] = Room(C_TYPES[dtype], dtype.itemsize, count, numel(most))
        return self.array(name, dtype, sizes)

    def array(self, name: str, dtype: torch.dtype, sizes: Sequence[Any]) -> Value:
        """What an array holds, its last index the fastest."""

        def at(index: Index, block: Block) -> str:
            return f"{name}[{self.offset(index, sizes)}]"

        return Value(dtype, tuple(sizes), at, array=name)

    def offset(self, index: Index, sizes: Sequence[Any]) -> str:
        """The place of an element: `(i0 * time + i1) * 4 + i2`."""
        text = "0"
        for number, size in zip(index, sizes, strict=True):
            text = added(scaled(text, self.sizes.text(size)), number)
        return text

    def constant(self, tensor: torch.Tensor, name: str) -> Value:
        """A tensor of the model; its array is written only where it is read as one."""
        sizes = tuple(tensor.shape)

        def at(index: Index, block: Block) -> str:
            if tensor.numel() == 1:
                return literal(tensor.item(), tensor.dtype)
            return f"{self._constant_array(tensor, name)}[{self.offset(index, sizes)}]"

        return Value(tensor.dtype, sizes, at, constant=tensor)

    def _constant_array(self, tensor: torch.Tensor, name: str) -> str:
        if tensor.dtype not in C_TYPES:
            raise NoForm(f"a constant of {tensor.dtype} has no form in C yet")
        if id(tensor) not in self._arrays:
            self._arrays[id(tensor)] = self.fresh(f"w_{name}")
            self.constants[self._arrays[id(tensor)]] = tensor
            self._kept.append(tensor)
        return self._arrays[id(tensor)]

    def packed(self, tensor: torch.Tensor, name: str) -> str:
        """The array of a tensor that was packed for a kernel."""
        return self._constant_array(tensor, name)

    def extra(self, text: str) -> None:
        """Functions that the file has to have."""
        if text not in self.extras:
            self.extras.append(text)

    def realize(self, value: Value, stem: str = "t") -> Value:
        """The value as an array: of the workspace, unless it is one."""
        if value.array:
            return value
        if value.constant is not None:
            name = self._constant_array(value.constant, stem)
            return self.array(name, value.dtype, value.sizes)
        made = self.room(value.dtype, value.sizes, stem)
        self.store(made, value)
        return made

    @contextmanager
    def totals(self, into: Value, kind: str, start: At | None) -> Iterator[tuple[list[str], str]]:
        """For each element of an array, the name of a number to which the block adds.

        Args:
            into: the array.
            kind: the C type of the number.
            start: what it begins with; None: 0.
        """
        with self.loops(into.sizes) as index:
            block, total = Block(self.fresh), self.fresh("sum")
            text = "0" if start is None else start(index, block)
            self.block(block)
            self.line(f"{kind} {total} = {text};")
            yield index, total
            cast = "" if kind == into.c_type else f"({into.c_type})"
            self.line(f"{into.at(index, block)} = {cast}{total};")

    def store(self, into: Value, value: Value) -> None:
        """Writes a value into an array of the same sizes."""
        with self.loops(value.sizes) as index:
            block = Block(self.fresh)
            text = value.at(index, block)
            self.block(block)
            self.line(f"{into.at(index, block)} = {self.cast(text, value.dtype, into.dtype)};")

    def block(self, block: Block) -> None:
        """The statements of a block, here."""
        for line in block.lines:
            self.line(line)
        block.lines.clear()

    @staticmethod
    def cast(text: str, of: torch.dtype, to: torch.dtype) -> str:
        """An element as one of another type."""
        if of == to:
            return text
        if to is torch.bool:
            return f"(uint8_t)({text} != 0)"
        return f"({C_TYPES[to]})({text})"

"""What a node of a program is while C is written: a function of its indices, or an array.

A function of indices costs nothing until an array of it is needed: what reads it goes into the
loops of what reads it.

    mul = x * w          for i0, i1:
    add = mul + b   ->       const float mul = x[i0 * 4 + i1] * w[i1];
    y = relu(add)            const float add = mul + b[i1];
                             y[i0 * 4 + i1] = add > 0 ? add : 0;
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

C_TYPES: dict[torch.dtype, str] = {
    torch.float32: "float",
    torch.float64: "double",
    torch.int64: "int64_t",
    torch.int32: "int32_t",
    torch.int16: "int16_t",
    torch.int8: "int8_t",
    torch.uint8: "uint8_t",
    torch.uint16: "uint16_t",
    torch.bool: "uint8_t",
}


class Block:
    """The statements inside of one nest of loops; what was computed there is not again."""

    def __init__(self, fresh: Callable[[str], str]) -> None:
        self.lines: list[str] = []
        self.known: dict[Any, str] = {}
        self._fresh = fresh

    def hold(self, c_type: str, text: str, stem: str) -> str:
        """A constant of the loop's body."""
        name = self._fresh(stem)
        self.lines.append(f"const {c_type} {name} = {text};")
        return name


Index = Sequence[str]
At = Callable[[Index, Block], str]


@dataclass(frozen=True)
class Value:
    """A tensor.

    Attributes:
        dtype: of its elements.
        sizes: of its dimensions.
        at: the element at some indices, as an expression of C.
        array: the name of the C array that holds it, in order and without gaps; empty where it is
            a function of its indices.
        cost: how many operations an element takes, beyond reading.
        constant: the tensor, where it is one of the model's.
    """

    dtype: torch.dtype
    sizes: tuple[Any, ...]
    at: At
    array: str = ""
    cost: int = 0
    constant: torch.Tensor | None = None

    @property
    def c_type(self) -> str:
        """Of its elements."""
        return C_TYPES[self.dtype]

    @property
    def is_float(self) -> bool:
        """Whether its elements are floating-point numbers."""
        return self.dtype.is_floating_point


@dataclass(frozen=True)
class Complex:
    """A complex tensor.

    Attributes:
        real: its real parts.
        imaginary: its imaginary parts, in the same sizes.
    """

    real: Value
    imaginary: Value


def complete(args: Sequence[Any], count: int, *last: Any) -> list[Any]:
    """So many arguments: those that are given, then the defaults of the last ones."""
    missing = count - len(args)
    return [*args, *last[len(last) - missing :]] if missing > 0 else list(args)


def atom(text: str) -> str:
    """An expression that can stand in a product."""
    plain = text.replace("_", "").replace(".", "").isalnum()
    return text if plain or (text.startswith("(") and _closes(text)) else f"({text})"


def _closes(text: str) -> bool:
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return place == len(text) - 1
    return False


def scaled(index: str, by: str) -> str:
    """`index * by`; numbers are multiplied here, since C would in an int."""
    if index == "0" or by == "1":
        return index
    if index == "1":
        return by
    if index.isdigit() and by.isdigit():
        return str(int(index) * int(by))
    return f"{atom(index)} * {by}"


def added(a: str, b: str) -> str:
    """`a + b`."""
    if a == "0":
        return b
    return a if b == "0" else f"{a} + {b}"

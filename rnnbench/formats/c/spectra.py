"""Fourier transforms over lengths that are known at the export, as short-time ones have them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.kernels import FOURIER
from rnnbench.formats.c.layout import dim_of, moved
from rnnbench.formats.c.literals import literal
from rnnbench.formats.c.values import Block, Complex, Value
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def _factor(norm: int, n: int) -> float:
    """What the numbers are multiplied by: PyTorch's norms are none, by_root_n and by_n."""
    return [1.0, 1 / math.sqrt(n), 1 / n][norm]


def _fixed(writer: Writer, node: fx.Node, size: Any) -> int:
    """A length that is known now."""
    if isinstance(size, int):
        return size
    raise writer.refusal(node, "a Fourier transform of an open length has no form in C yet")


def _r2c(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Complex:
    """Of real numbers: [n] -> [n / 2 + 1] complex ones, or [n] where both sides are asked for."""
    x, dims, norm, onesided = args
    *others, last = dims
    count = _fixed(writer, node, x.sizes[dim_of(x, last)])
    kept = count // 2 + 1 if onesided else count
    made = _transformed(writer, node, (x, None), (dim_of(x, last), count, kept, norm), False)
    return _each(writer, node, made, others, norm, False)


def _c2c(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Complex:
    x, dims, norm, forward = args
    return _each(writer, node, x, dims, norm, not forward)


def _each(
    writer: Writer, node: fx.Node, x: Complex, dims: Sequence[int], norm: int, back: bool
) -> Complex:
    for dim in dims:
        at = dim_of(x.real, dim)
        count = _fixed(writer, node, x.real.sizes[at])
        x = _transformed(writer, node, (x.real, x.imaginary), (at, count, count, norm), back)
    return x


def _c2r(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    """To real numbers: [n / 2 + 1] -> [n]; what is left of the two sides is the conjugate."""
    x, dims, norm = args[:3]
    count = _fixed(writer, node, args[3])
    *others, last = dims
    x = _each(writer, node, x, others, norm, True)
    dim = dim_of(x.real, last)
    return _transformed(
        writer, node, (x.real, x.imaginary), (dim, count, count, norm), True, True
    ).real


def _transformed(
    writer: Writer,
    node: fx.Node,
    parts: tuple[Value, Value | None],
    how: tuple[int, int, int, int],
    back: bool,
    halved: bool = False,
) -> Complex:
    """The transform over a dimension.

    Args:
        writer: of the function.
        node: the call.
        parts: the real and the imaginary one; None: 0.
        how: over which dimension, of how many numbers, how many are kept, and the kind of norm.
        back: the inverse; re and im change their places before and after: i conj(x).
        halved: of the numbers, only the first half and one are given.
    """
    dim, n, kept, norm = how
    writer.extra(FOURIER)
    rest = [s for i, s in enumerate(parts[0].sizes) if i != dim]
    turns = torch.arange(n, dtype=torch.float64) * (2 * math.pi / n)
    table = writer.packed(torch.stack([turns.cos(), -turns.sin()]).float(), f"turns_{n}")
    writer.say(node)
    work = writer.room(torch.float32, [4, n], f"{node.name}_work").array
    out = [writer.room(torch.float32, [*rest, kept], node.name) for _ in range(1 if halved else 2)]
    given = (n // 2 + 1) if halved else n
    order = (n, 0) if back else (0, n)  # where the real parts stand, and the imaginary ones
    with writer.loops(rest) as index:
        j, result = writer.fresh("j"), writer.fresh("spectrum")
        with writer.nested(f"for (int64_t {j} = 0; {j} < {given}; ++{j})"):
            block = Block(writer.fresh)
            texts = [
                "0.0f" if p is None else p.at([*index[:dim], j, *index[dim:]], block) for p in parts
            ]
            writer.block(block)
            for at, text in zip(order, texts, strict=True):
                writer.line(f"{work}[{at} + {j}] = {text};")
        if halved:
            _mirror(writer, work, n, order)
        writer.line(
            f"const float *const {result} = model_fourier({work}, {work} + {2 * n}, {table}, {n});"
        )
        scale = literal(_factor(norm, n), torch.float32)
        by = "" if norm == 0 else f" * {scale}"
        with writer.nested(f"for (int64_t {j} = 0; {j} < {kept}; ++{j})"):
            for at, part in zip(order, out, strict=False):
                into = part.at([*index, j], Block(writer.fresh))
                writer.line(f"{into} = {result}[{at} + {j}]{by};")
    sizes = [*rest[:dim], kept, *rest[dim:]]
    turned = [moved(v, sizes, lambda i: [*i[:dim], *i[dim + 1 :], i[dim]]) for v in out]
    return Complex(turned[0], turned[-1])


def _mirror(writer: Writer, work: str, n: int, order: tuple[int, int]) -> None:
    """x[n - j] = conj(x[j]); the first number is real, and so is that in the middle."""
    real, imaginary = order
    writer.line(f"{work}[{imaginary}] = 0.0f;")
    if n % 2 == 0:
        writer.line(f"{work}[{imaginary + n // 2}] = 0.0f;")
    j = writer.fresh("j")
    with writer.nested(f"for (int64_t {j} = 1; {j} < {(n + 1) // 2}; ++{j})"):
        writer.line(f"{work}[{real + n} - {j}] = {work}[{real} + {j}];")
        writer.line(f"{work}[{imaginary + n} - {j}] = -{work}[{imaginary} + {j}];")


OPERATORS: dict[Any, Any] = {
    aten._fft_r2c.default: _r2c,
    aten._fft_c2c.default: _c2c,
    aten._fft_c2r.default: _c2r,
}

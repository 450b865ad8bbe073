"""Systems of equations: those of a triangle, by substitution."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.broadcasting import broadcast
from rnnbench.formats.c.elementwise import shape_of
from rnnbench.formats.c.layout import moved
from rnnbench.formats.c.values import Block, Value, atom
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def _solve_triangular(
    writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]
) -> Value:
    """X of A X = B, or of X A = B: that of the transposed matrices.

    A [..., n, n], B [..., n, k]: x_i = (b_i - sum_j a_ij x_j) / a_ii over those j that are known.
    """
    a, b = args[:2]
    upper, left = named["upper"], named.get("left", True)
    unit = named.get("unitriangular", False)
    sizes, dtype = shape_of(node)
    a, b = (writer.realize(v, f"{node.name}_of") if v.cost else v for v in (a, b))
    writer.say(node)
    made = writer.room(dtype, sizes, node.name)
    x = made if left else _turned(made)
    a, b = (a, b) if left else (_turned(a), _turned(b))
    upper = upper == left
    *lead, n, k = x.sizes
    size = writer.sizes.text(n)
    with writer.loops([*lead, k]) as index:
        *rows, column = index
        step, i, j = writer.fresh("step"), writer.fresh("i"), writer.fresh("j")

        def at(value: Value, row: str, other: str, block: Block) -> str:
            return value.at(broadcast([*rows, row, other], (), value), block)

        with writer.nested(f"for (int64_t {step} = 0; {step} < {size}; ++{step})"):
            writer.line(f"const int64_t {i} = {f'{size} - 1 - {step}' if upper else step};")
            block, total = Block(writer.fresh), writer.fresh("sum")
            start = at(b, i, column, block)
            writer.block(block)
            writer.line(f"{made.c_type} {total} = {start};")
            first, end = (f"{i} + 1", size) if upper else ("0", i)
            with writer.nested(f"for (int64_t {j} = {first}; {j} < {end}; ++{j})"):
                text = f"{atom(at(a, i, j, block))} * {at(x, j, column, block)}"
                writer.block(block)
                writer.line(f"{total} -= {text};")
            by = "" if unit else f" / {atom(at(a, i, i, block))}"
            writer.block(block)
            writer.line(f"{at(x, i, column, block)} = {total}{by};")
    return made


def _turned(value: Value) -> Value:
    """The last two dimensions in the other order."""
    *lead, n, k = value.sizes
    return moved(value, [*lead, k, n], lambda i: [*i[:-2], i[-1], i[-2]])


OPERATORS: dict[Any, Any] = {aten.linalg_solve_triangular.default: _solve_triangular}

"""Matrix products and convolutions.

A matrix of the model is packed at the export: panels of 24 columns, each k * 24 numbers in the
order in which they are read.

    w [k, n]  ->  [n / 24 rounded up][k][24]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.elementwise import shape_of
from rnnbench.formats.c.kernels import DYNAMIC, KINDS, SMALLER, products_of
from rnnbench.formats.c.layout import moved
from rnnbench.formats.c.literals import literal
from rnnbench.formats.c.values import C_TYPES, Block, Index, Value, atom
from rnnbench.formats.c.writer import Writer
from rnnbench.models.precision import LEVELS, whole_numbers

aten = torch.ops.aten
PANEL = 24
"""Columns that are computed together."""


def panels_of(matrix: torch.Tensor) -> torch.Tensor:
    """[panels, k, 24] of a matrix [k, n], with zeros behind its last column."""
    k, n = matrix.shape
    count = -(-n // PANEL)
    padded = matrix.new_zeros(k, count * PANEL)
    padded[:, :n] = matrix
    return padded.view(k, count, PANEL).transpose(0, 1).contiguous()


def padded_bias(bias: torch.Tensor | None, n: int, like: torch.Tensor) -> torch.Tensor:
    """[panels * 24] a bias [n], with zeros behind it."""
    found = like.new_zeros(-(-n // PANEL) * PANEL)
    if bias is not None:
        found[:n] = bias
    return found


def product(
    writer: Writer,
    into: str,
    x: str,
    matrix: torch.Tensor,
    bias: torch.Tensor | None,
    sizes: Sequence[Any],
    name: str,
    back: str = "0",
) -> None:
    """`into [rows, n] = x [rows, k] @ matrix [k, n] + bias [n]`, by the file's kernel.

    There are as many rows as `sizes` have elements.

    It begins with the last columns where `back` is not 0: those that were read last.
    """
    k, n = matrix.shape
    rows = writer.sizes.product(sizes)
    writer.products.append((sizes, k, n))
    offset = writer.packed(padded_bias(bias, n, matrix), f"{name}_bias")
    if writer.precision:
        smaller = _smaller(writer, matrix, name)
        if smaller is not None:
            kind, weights, *scales = smaller
            given = ", ".join([weights, *scales, offset])
            writer.note_product("" if kind else weights, matrix.numel())
            if kind is None:
                _dynamic(writer, (into, x, given), (rows, k, n), name)
                return
            call = f"model_product_{kind.name}(level, {into}, {x}, {given}"
            writer.line(f"{call}, {rows}, {k}, {n}, {back});")
            return
    writer.note_product("", matrix.numel())
    panels = writer.packed(panels_of(matrix), f"{name}_panels")
    writer.line(f"model_product(level, {into}, {x}, {panels}, {offset}, {rows}, {k}, {n}, {back});")


def _smaller(writer: Writer, matrix: torch.Tensor, name: str) -> tuple[Any, ...] | None:
    """The arrays of a matrix in fewer bits, and of what kind; None where it is not so rounded.

    The kind of whole numbers, whose products are those of whole numbers, too, is None.
    """
    kind = KINDS.get(writer.precision)
    if kind is not None and not kind.is_scaled:
        rounded = matrix.to(kind.dtype)
        if not torch.equal(rounded.to(matrix.dtype), matrix):
            return None
        writer.extra(SMALLER)
        writer.extra(products_of(kind))
        bits = panels_of(rounded).view(torch.uint16)
        return kind, writer.packed(bits, f"{name}_{kind.name}")
    found = whole_numbers(matrix)
    if found is None:
        return None
    whole, steps = found
    scales = writer.packed(padded_bias(steps, matrix.shape[1], matrix), f"{name}_scales")
    if kind is not None:
        writer.extra(SMALLER)
        writer.extra(products_of(kind))
        return kind, writer.packed(panels_of(whole), f"{name}_int8"), scales
    writer.extra(DYNAMIC)
    return None, writer.packed(_pairs_of(whole), f"{name}_int8"), scales


def _pairs_of(whole: torch.Tensor) -> torch.Tensor:
    """[panels, k / 2, 24, 2] of a matrix [k, n]: two of k beside one another."""
    k = whole.shape[0]
    panels = panels_of(torch.nn.functional.pad(whole, (0, 0, 0, k % 2)))  # [panels, k, 24]
    return panels.view(len(panels), -1, 2, PANEL).transpose(2, 3).contiguous()


_INT32 = 2**31 - 1


def most_of(k: int) -> int:
    """The largest int16 whose k products with an int8 can be added in an int32."""
    return min(2**15 - 1, _INT32 // (LEVELS * k))


def _dynamic(
    writer: Writer, arrays: tuple[str, str, str], shape: tuple[str, int, int], name: str
) -> None:
    """The product of whole numbers: those of the input are made in the workspace."""
    into, x, given = arrays
    rows, k, n = shape
    room = writer.room(torch.int16, [4, k + k % 2], f"{name}_steps").array
    call = f"model_product_dynamic(level, {into}, {x}, {room}, {given}, {most_of(k)}"
    writer.line(f"{call}, {rows}, {k}, {n});")


def _is_small(value: Value) -> bool:
    return value.constant is not None and value.dtype is torch.float32


def _mm(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    return _multiplied(writer, node, args[0], args[1], None, named)


def _addmm(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    return _multiplied(writer, node, args[1], args[2], args[0], named)


def _linear(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    x, weight = args[0], args[1]
    bias = args[2] if len(args) > 2 else None
    return _multiplied(writer, node, x, _turned(writer, weight), bias, named)


def _turned(writer: Writer, value: Value) -> Value:
    """[k, n] of [n, k]."""
    if value.constant is not None:
        return writer.constant(value.constant.t().contiguous(), "turned")
    return moved(value, value.sizes[::-1], lambda i: i[::-1])


def _multiplied(
    writer: Writer,
    node: fx.Node,
    x: Value,
    matrix: Value,
    bias: Value | None,
    named: dict[str, Any],
) -> Value:
    """X [..., k] @ matrix [k, n] + bias."""
    sizes, dtype = shape_of(node)
    alpha, beta = named.get("alpha", 1), named.get("beta", 1)
    plain = alpha == 1 and beta == 1
    constant_bias = bias is None or (bias.constant is not None and len(bias.sizes) == 1)
    if _is_small(matrix) and constant_bias and plain and dtype is torch.float32:
        given = writer.realize(x, f"{node.name}_of")
        writer.say(node)
        made = writer.room(dtype, sizes, node.name)
        offset = None if bias is None or bias.constant is None else bias.constant
        assert matrix.constant is not None
        n = matrix.constant.shape[1]
        if offset is not None:
            offset = offset.expand(n)
        product(writer, made.array, given.array, matrix.constant, offset, x.sizes[:-1], node.name)
        return made
    return _summed(writer, node, x, matrix, bias, alpha, beta)


def _summed(
    writer: Writer, node: fx.Node, x: Value, y: Value, bias: Value | None, alpha: Any, beta: Any
) -> Value:
    """X [..., m, k] @ y [..., k, n], both computed: a row of sums at a time."""
    sizes, dtype = shape_of(node)
    a = writer.realize(x, f"{node.name}_a") if x.cost or not x.array else x
    b = writer.realize(y, f"{node.name}_b")
    kind = C_TYPES[dtype]
    writer.say(node)
    made = writer.room(dtype, sizes, node.name)
    lead = list(sizes[:-1])
    n = writer.sizes.text(sizes[-1])
    with writer.loops(lead) as index:
        block = Block(writer.fresh)
        j, k = writer.fresh("j"), writer.fresh("k")
        head = f"for (int64_t {j} = 0; {j} < {n}; ++{j})"
        with writer.nested(head):
            start = "0"
            if bias is not None and beta != 0:
                own = [*index, j][len(sizes) - len(bias.sizes) :]
                own = ["0" if s == 1 else i for i, s in zip(own, bias.sizes, strict=True)]
                start = bias.at(own, block)
                writer.block(block)
                start = start if beta == 1 else f"{literal(beta, dtype)} * {start}"
            writer.line(f"{made.at([*index, j], block)} = {start};")
        steps = writer.sizes.text(x.sizes[-1])
        with writer.nested(f"for (int64_t {k} = 0; {k} < {steps}; ++{k})"):
            left = writer.fresh("a")
            scale = "" if alpha == 1 else f"{literal(alpha, dtype)} * "
            batch = index[:-1] if len(y.sizes) > 2 else []
            at_a = a.at([*index, k], block)
            writer.block(block)
            writer.line(f"const {kind} {left} = {scale}{at_a};")
            with writer.nested(f"for (int64_t {j} = 0; {j} < {n}; ++{j})"):
                text = b.at([*batch, k, j], block)
                writer.line(f"{made.at([*index, j], block)} += {left} * {text};")
    return made


def _bmm(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    return _summed(writer, node, args[0], args[1], None, 1, 1)


def _baddbmm(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    alpha, beta = named.get("alpha", 1), named.get("beta", 1)
    return _summed(writer, node, args[1], args[2], args[0], alpha, beta)


def _mv(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    """X [m, k] @ v [k], v @ v."""
    x, v = args[-2:]
    bias = args[0] if len(args) == 3 else None
    if any(value != 1 for value in named.values()):
        raise writer.refusal(node, f"{node.target} with factors has no form in C yet")
    sizes, dtype = shape_of(node)
    v = writer.realize(v, f"{node.name}_b") if v.cost else v
    writer.say(node)
    made = writer.room(dtype, sizes, node.name)
    start = None if bias is None else bias.at
    with (
        writer.totals(made, C_TYPES[dtype], start) as (index, total),
        writer.loops([v.sizes[0]], "k") as (k,),
    ):
        block = Block(writer.fresh)
        text = f"{atom(x.at([*index, k], block))} * {atom(v.at([k], block))}"
        writer.block(block)
        writer.line(f"{total} += {text};")
    return made


def _matmul(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    x, y = args
    if len(y.sizes) == 1:
        return _mv(writer, node, args, named)
    if len(y.sizes) == 2 and len(x.sizes) >= 2:
        return _multiplied(writer, node, x, y, None, {})
    if len(x.sizes) == len(y.sizes) and x.sizes[:-2] == y.sizes[:-2]:
        return _summed(writer, node, x, y, None, 1, 1)
    raise writer.refusal(node, "a product of matrices that are broadcast has no form in C yet")


def _outer(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    a, b = args
    sizes, dtype = shape_of(node)

    def at(index: Index, block: Block) -> str:
        text = f"{atom(a.at([index[0]], block))} * {atom(b.at([index[1]], block))}"
        return block.hold(C_TYPES[dtype], text, node.name)

    return Value(dtype, sizes, at, cost=1 + a.cost + b.cost)


OPERATORS: dict[Any, Any] = {
    aten.mm.default: _mm,
    aten.addmm.default: _addmm,
    aten.linear.default: _linear,
    aten.bmm.default: _bmm,
    aten.baddbmm.default: _baddbmm,
    aten.mv.default: _mv,
    aten.addmv.default: _mv,
    aten.dot.default: _mv,
    aten.matmul.default: _matmul,
    aten.outer.default: _outer,
}

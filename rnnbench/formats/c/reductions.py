"""Operators that go over dimensions: sums, extremes, norms, softmax, running sums, sorting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.elementwise import shape_of
from rnnbench.formats.c.literals import literal
from rnnbench.formats.c.values import C_TYPES, Block, Index, Value
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def dims_of(value: Value, dims: Any) -> list[int]:
    """The dimensions that are gone over, counted from the start; all where none are given."""
    rank = len(value.sizes)
    if dims is None or dims == []:
        return list(range(rank))
    listed = dims if isinstance(dims, list | tuple) else [dims]
    return sorted(d % max(rank, 1) for d in listed) if rank else []


class Walk:
    """Loops over some dimensions of a value, inside of loops over the others."""

    def __init__(self, writer: Writer, value: Value, dims: Sequence[int]) -> None:
        self.writer, self.value, self.dims = writer, value, list(dims)
        self.others = [n for n in range(len(value.sizes)) if n not in self.dims]

    def index(self, outer: Sequence[str], inner: Sequence[str]) -> list[str]:
        """The indices of the value."""
        places = dict(zip(self.others, outer, strict=True))
        places |= dict(zip(self.dims, inner, strict=True))
        return [places[n] for n in range(len(self.value.sizes))]

    def outer_sizes(self) -> list[Any]:
        """Of the dimensions that stay."""
        return [self.value.sizes[n] for n in self.others]

    def inner_sizes(self) -> list[Any]:
        """Of those that are gone over."""
        return [self.value.sizes[n] for n in self.dims]

    def count(self) -> str:
        """How many elements are gone over."""
        return self.writer.sizes.product(self.inner_sizes())

    def element(self, index: Index) -> str:
        """An element of the value, after what it needs."""
        block = Block(self.writer.fresh)
        text = self.value.at(index, block)
        self.writer.block(block)
        return text


def _reduced(
    start: Callable[[torch.dtype], str],
    update: str,
    end: str = "{sum}",
    wide: bool = False,
) -> Any:
    """An operator that keeps one number while it goes over dimensions."""

    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        value: Value = args[0]
        given = args[1] if len(args) > 1 else named.get("dim")
        given = None if isinstance(given, torch.dtype) else given
        walk = Walk(writer, value, dims_of(value, given))
        sizes, dtype = shape_of(node)
        if len(sizes) == len(value.sizes):  # keepdim
            sizes = tuple(1 if n in walk.dims else s for n, s in enumerate(value.sizes))
        else:
            sizes = tuple(walk.outer_sizes())
        writer.say(node)
        made = writer.room(dtype, sizes, node.name)
        kind = "double" if wide and dtype.is_floating_point else C_TYPES[dtype]
        flat = writer.array(made.array, dtype, walk.outer_sizes())
        with writer.loops(walk.outer_sizes()) as outer:
            total = writer.fresh("sum")
            writer.line(f"{kind} {total} = {start(dtype)};")
            with writer.loops(walk.inner_sizes(), "j") as inner:
                x = walk.element(walk.index(outer, inner))
                nan = or_nan(value.dtype, x)
                writer.line(update.format(sum=total, x=x, kind=kind, nan=nan))
            text = end.format(sum=total, count=walk.count())
            place = flat.at(outer, Block(writer.fresh))
            writer.line(f"{place} = ({C_TYPES[dtype]})({text});")
        return made

    return write


def least_of(dtype: torch.dtype) -> str:
    """The least number that a type has, in C."""
    if dtype.is_floating_point:
        return literal(-math.inf, dtype)
    return literal(int(torch.iinfo(dtype).min), dtype) if dtype is not torch.bool else "0"


def or_nan(dtype: torch.dtype, x: str) -> str:
    """` || x != x`, where an element may be no number."""
    return f" || {x} != {x}" if dtype.is_floating_point else ""


def most_of(dtype: torch.dtype) -> str:
    """The largest number that a type has, in C."""
    if dtype.is_floating_point:
        return literal(math.inf, dtype)
    return literal(int(torch.iinfo(dtype).max), dtype) if dtype is not torch.bool else "1"


def _running(start: str, sign: str) -> Any:
    """`cumsum` and `cumprod`."""

    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        value: Value = args[0]
        walk = Walk(writer, value, dims_of(value, args[1]))
        dtype = shape_of(node)[1]
        writer.say(node)
        made = writer.room(dtype, value.sizes, node.name)
        kind = "double" if dtype.is_floating_point else C_TYPES[dtype]
        with writer.loops(walk.outer_sizes()) as outer:
            total = writer.fresh("sum")
            writer.line(f"{kind} {total} = {start};")
            with writer.loops(walk.inner_sizes(), "j") as inner:
                index = walk.index(outer, inner)
                x = walk.element(index)
                writer.line(f"{total} {sign}= ({kind}){x};")
                place = made.at(index, Block(writer.fresh))
                writer.line(f"{place} = ({C_TYPES[dtype]}){total};")
        return made

    return write


def _logcumsumexp(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value: Value = args[0]
    walk = Walk(writer, value, dims_of(value, args[1]))
    writer.say(node)
    made = writer.room(value.dtype, value.sizes, node.name)
    with writer.loops(walk.outer_sizes()) as outer:
        most, total = writer.fresh("most"), writer.fresh("sum")
        writer.line(f"double {most} = -(double)INFINITY;")
        writer.line(f"double {total} = 0.0;")
        with writer.loops(walk.inner_sizes(), "j") as inner:
            index = walk.index(outer, inner)
            x = walk.element(index)
            with writer.nested(f"if ((double){x} > {most})"):
                writer.line(f"{total} *= exp({most} - (double){x});")
                writer.line(f"{most} = (double){x};")
            gone = f"isinf({most}) ? 0.0 : exp((double){x} - {most})"
            writer.line(f"{total} += {gone};")
            place = made.at(index, Block(writer.fresh))
            writer.line(f"{place} = ({value.c_type})({most} + log({total}));")
    return made


def _norm(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value = args[0]
    order = args[1] if len(args) > 1 and args[1] is not None else 2
    dims = args[2] if len(args) > 2 else None
    if order == 2:
        write = _reduced(
            lambda d: "0.0", "{sum} += (double){x} * (double){x};", "sqrt({sum})", True
        )
    elif order == 1:
        write = _reduced(lambda d: "0.0", "{sum} += fabs((double){x});", "{sum}", True)
    else:
        raise writer.refusal(node, f"a norm of order {order} has no form in C yet")
    given: Value = write(writer, node, [value, dims], {})
    return given


def each_of(value: Any, rank: int) -> list[Any]:
    """A number for each dimension, of one number or of as many."""
    listed = list(value) if isinstance(value, list | tuple) else [value]
    return listed * rank if len(listed) == 1 else listed


def _truth(start: str, update: str) -> Any:
    return _reduced(lambda d: start, update)


_ZERO = lambda d: "0.0" if d.is_floating_point else "0"  # noqa: E731


_ADD = "{sum} += ({kind}){x};"


_LARGEST = "{sum} = {x} > {sum}{nan} ? {x} : {sum};"


_SMALLEST = "{sum} = {x} < {sum}{nan} ? {x} : {sum};"


OPERATORS: dict[Any, Any] = {
    aten.sum.default: _reduced(_ZERO, _ADD, wide=True),
    aten.sum.dim_IntList: _reduced(_ZERO, _ADD, wide=True),
    aten.mean.default: _reduced(_ZERO, _ADD, "{sum} / (double)({count})", wide=True),
    aten.mean.dim: _reduced(_ZERO, _ADD, "{sum} / (double)({count})", wide=True),
    aten.prod.default: _reduced(
        lambda d: "1.0" if d.is_floating_point else "1", "{sum} *= ({kind}){x};", wide=True
    ),
    aten.prod.dim_int: _reduced(
        lambda d: "1.0" if d.is_floating_point else "1", "{sum} *= ({kind}){x};", wide=True
    ),
    aten.amax.default: _reduced(least_of, _LARGEST),
    aten.amin.default: _reduced(most_of, _SMALLEST),
    aten.max.default: _reduced(least_of, _LARGEST),
    aten.min.default: _reduced(most_of, _SMALLEST),
    aten.any.default: _truth("0", "{sum} = (uint8_t)({sum} || {x} != 0);"),
    aten.any.dim: _truth("0", "{sum} = (uint8_t)({sum} || {x} != 0);"),
    aten.any.dims: _truth("0", "{sum} = (uint8_t)({sum} || {x} != 0);"),
    aten.all.default: _truth("1", "{sum} = (uint8_t)({sum} && {x} != 0);"),
    aten.all.dim: _truth("1", "{sum} = (uint8_t)({sum} && {x} != 0);"),
    aten.all.dims: _truth("1", "{sum} = (uint8_t)({sum} && {x} != 0);"),
    aten.cumsum.default: _running("0", "+"),
    aten.cumprod.default: _running("1", "*"),
    aten.logcumsumexp.default: _logcumsumexp,
    aten.linalg_vector_norm.default: _norm,
    aten.norm.ScalarOpt_dim: _norm,
}


BY_SIZE = tuple(OPERATORS)
"""Of these, what goes by the sizes of the values that it is given."""

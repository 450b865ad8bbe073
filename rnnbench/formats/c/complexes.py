"""Complex tensors: two real ones, for each of which what moves or adds elements is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c import arithmetic, elementwise, filling, joining, layout, picking, slicing
from rnnbench.formats.c.broadcasting import broadcast
from rnnbench.formats.c.elementwise import call, pointwise
from rnnbench.formats.c.layout import moved
from rnnbench.formats.c.values import Block, Complex, Index, Value, atom
from rnnbench.formats.c.writer import Writer, Writing

aten = torch.ops.aten
FLOAT = torch.float32


def _parts(value: Any) -> tuple[Any, Any]:
    """The real and the imaginary part of an argument."""
    if isinstance(value, Complex):
        return value.real, value.imaginary
    if isinstance(value, list | tuple):
        pairs = [_parts(v) for v in value]
        return [a for a, _ in pairs], [b for _, b in pairs]
    return value, value


def partwise(writing: Writing) -> Writing:
    """An operator that treats the parts alike."""

    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
        halves = zip(*[_parts(a) for a in args], strict=True)
        real, imaginary = (writing(writer, node, list(half), named) for half in halves)
        if isinstance(real, list):
            return [Complex(a, b) for a, b in zip(real, imaginary, strict=True)]
        return Complex(real, imaginary)

    return write


def _as_type(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    """Of another type: a real tensor that becomes complex has an imaginary part of 0."""
    real = filling.OPERATORS[aten._to_copy.default](writer, node, args, named)
    if not node.meta["val"].is_complex():
        return real
    return Complex(real, Value(FLOAT, real.sizes, lambda index, block: "0.0f"))


def _both(value: Any) -> tuple[Any, Any]:
    """The parts of an argument, which may be a real tensor or a number."""
    if isinstance(value, Complex):
        return value.real, value.imaginary
    return value, 0


def _sum(sign: str) -> Writing:
    """A sum or a difference, of which one may be real."""
    writing = arithmetic.OPERATORS[getattr(aten, sign).Tensor]

    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Complex:
        halves = zip(_both(args[0]), _both(args[1]), strict=True)
        return Complex(*(writing(writer, node, list(half), named) for half in halves))

    return write


def _reversed_sub(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Complex:
    found: Complex = _sum("sub")(writer, node, args[1::-1], named)
    return found


def _pointwise(writer: Writer, node: fx.Node, spelled: Any, *args: Any) -> Value:
    return pointwise(writer, node, args, spelled, FLOAT)


def _product(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Complex:
    """(a + bi) (c + di), and (a + bi) c."""
    x, y = args
    if not isinstance(x, Complex):
        x, y = y, x
    scale = lambda a, c, t: f"{atom(a)} * {atom(c)}"  # noqa: E731
    if not isinstance(y, Complex):
        return Complex(
            _pointwise(writer, node, scale, x.real, y),
            _pointwise(writer, node, scale, x.imaginary, y),
        )
    four = (x.real, x.imaginary, y.real, y.imaginary)
    real = lambda a, b, c, d, t: f"{atom(a)} * {atom(c)} - {atom(b)} * {atom(d)}"  # noqa: E731
    imaginary = lambda a, b, c, d, t: f"{atom(a)} * {atom(d)} + {atom(b)} * {atom(c)}"  # noqa: E731
    return Complex(
        _pointwise(writer, node, real, *four), _pointwise(writer, node, imaginary, *four)
    )


def _quotient(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Complex:
    """(a + bi) / c, and (a + bi) (c - di) / (c^2 + d^2)."""
    x, y = args[0], args[1]
    if not isinstance(x, Complex):
        zero = Value(FLOAT, (), lambda index, block: "0.0f")
        x = Complex(x, zero)
    if not isinstance(y, Complex):
        over = lambda a, c, t: f"{atom(a)} / {atom(c)}"  # noqa: E731
        return Complex(
            _pointwise(writer, node, over, x.real, y),
            _pointwise(writer, node, over, x.imaginary, y),
        )
    four = (x.real, x.imaginary, y.real, y.imaginary)

    def real(a: str, b: str, c: str, d: str, t: str) -> str:
        a, b, c, d = map(atom, (a, b, c, d))
        return f"({a} * {c} + {b} * {d}) / ({c} * {c} + {d} * {d})"

    def imaginary(a: str, b: str, c: str, d: str, t: str) -> str:
        a, b, c, d = map(atom, (a, b, c, d))
        return f"({b} * {c} - {a} * {d}) / ({c} * {c} + {d} * {d})"

    return Complex(
        _pointwise(writer, node, real, *four), _pointwise(writer, node, imaginary, *four)
    )


def _conjugate(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    x = args[0]
    if not isinstance(x, Complex):
        return x
    minus = lambda a, t: f"-{atom(a)}"  # noqa: E731
    return Complex(x.real, _pointwise(writer, node, minus, x.imaginary))


def _of_parts(spelled: Any) -> Writing:
    """A real number that is made of both parts."""

    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        x: Complex = args[0]
        return _pointwise(writer, node, spelled, x.real, x.imaginary)

    return write


def _part(name: str) -> Writing:
    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        found: Value = getattr(args[0], name)
        return found

    return write


def _as_real(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    """[..., 2]."""
    x: Complex = args[0]

    def at(index: Index, block: Block) -> str:
        *own, part = index
        if part.isdigit():
            return (x.imaginary if int(part) else x.real).at(own, block)
        real, imaginary = x.real.at(own, block), x.imaginary.at(own, block)
        return block.hold("float", f"{part} ? {imaginary} : {real}", node.name)

    cost = x.real.cost + x.imaginary.cost + 1
    return Value(FLOAT, (*x.real.sizes, 2), at, cost=cost)


def _view_as_complex(
    writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]
) -> Complex:
    pairs: Value = args[0]
    pairs = writer.realize(pairs, node.name) if pairs.cost else pairs

    def part(n: str) -> Value:
        return moved(pairs, pairs.sizes[:-1], lambda i: [*i, n])

    return Complex(part("0"), part("1"))


def _complex(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Complex:
    sizes = elementwise.shape_of(node)[0]

    def spread(value: Value) -> Value:
        at = lambda i, block: value.at(broadcast(i, sizes, value), block)  # noqa: E731
        return replace(value, sizes=sizes, at=at, array="", constant=None)

    return Complex(*(v if v.sizes == sizes else spread(v) for v in args))


def _polar(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Complex:
    """R (cos a + i sin a)."""

    def turned(function: str) -> Callable[..., str]:
        return lambda r, a, t: f"{atom(r)} * {call(function)(a, t)}"

    return Complex(*(_pointwise(writer, node, turned(f), *args[:2]) for f in ("cos", "sin")))


_MOVED = {
    operator: writing
    for family in (layout, slicing, joining, filling)
    for operator, writing in family.OPERATORS.items()
    if family is not filling or operator in (aten.clone.default, aten._to_copy.default)
}


OPERATORS: dict[Any, Writing] = {
    **{operator: partwise(writing) for operator, writing in _MOVED.items()},
    **{
        operator: partwise(picking.OPERATORS[operator])
        for operator in (
            aten.index_select.default,
            aten.select_scatter.default,
            aten.slice_scatter.default,
        )
    },
    aten.neg.default: partwise(elementwise.OPERATORS[aten.neg.default]),
    aten.add.Tensor: _sum("add"),
    aten.sub.Tensor: _sum("sub"),
    aten.rsub.Scalar: _reversed_sub,
    aten.mul.Tensor: _product,
    aten.div.Tensor: _quotient,
    aten._conj.default: _conjugate,
    aten.resolve_conj.default: lambda writer, node, args, named: args[0],
    aten.conj_physical.default: _conjugate,
    aten.abs.default: _of_parts(lambda a, b, t: call("hypot")(a, b, t)),
    aten.angle.default: _of_parts(lambda a, b, t: call("atan2")(b, a, t)),
    aten.real.default: _part("real"),
    aten.imag.default: _part("imaginary"),
    aten.view_as_real.default: _as_real,
}
"""Operators that take complex tensors."""


GIVING: dict[Any, Writing] = {
    aten.view_as_complex.default: _view_as_complex,
    aten.complex.default: _complex,
    aten.polar.default: _polar,
    aten._to_copy.default: _as_type,
}
"""Operators that make complex tensors of real ones."""

"""Sums with a factor, quotients, remainders and powers."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.elementwise import Spelled, call, number_of, pointwise, shape_of
from rnnbench.formats.c.values import Value, atom
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def _sum(sign: str) -> Any:
    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        alpha = named.get("alpha", 1)
        dtype = shape_of(node)[1]

        def spelled(a: str, b: str, t: str) -> str:
            more = f"{number_of(writer, alpha, dtype)} * {atom(b)}" if alpha != 1 else atom(b)
            return f"{atom(a)} {sign} {more}"

        return pointwise(writer, node, args, spelled, dtype)

    return write


def _reversed_sub(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    spelled: Spelled = lambda a, b, t: f"{atom(b)} - {atom(a)}"  # noqa: E731
    return pointwise(writer, node, args, spelled, shape_of(node)[1])


def _div(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    mode = named.get("rounding_mode")
    dtype = shape_of(node)[1]

    def spelled(a: str, b: str, t: str) -> str:
        if mode is None:
            return f"{atom(a)} / {atom(b)}"
        if mode == "floor":
            return _floored("model_floor_div", a, b, t)
        if t in ("float", "double"):
            return call("trunc")(f"{atom(a)} / {atom(b)}", t)
        return f"{atom(a)} / {atom(b)}"

    return pointwise(writer, node, args[:2], spelled, dtype)


def _remainder(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    spelled: Spelled = lambda a, b, t: _floored("model_mod", a, b, t)  # noqa: E731
    return pointwise(writer, node, args, spelled, shape_of(node)[1])


def _floored(name: str, a: str, b: str, kind: str) -> str:
    """One of the file's functions, by the type: whole numbers are int64_t there."""
    suffix = {"float": "f", "double": "d"}.get(kind)
    return f"({kind}){name}({a}, {b})" if suffix is None else f"{name}{suffix}({a}, {b})"


def _pow(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    base, exponent = args
    dtype = shape_of(node)[1]
    if not dtype.is_floating_point:
        raise writer.refusal(node, "a power of whole numbers has no form in C yet")
    if isinstance(exponent, int | float) and exponent in (2, 3, 0.5, 1, -1):
        spelled = {
            2: lambda a, t: f"{atom(a)} * {atom(a)}",
            3: lambda a, t: f"{atom(a)} * {atom(a)} * {atom(a)}",
            0.5: call("sqrt"),
            1: lambda a, t: a,
            -1: lambda a, t: f"1 / {atom(a)}",
        }[exponent]
        return pointwise(writer, node, [base], spelled, dtype)
    return pointwise(writer, node, args, call("pow"), dtype)


OPERATORS: dict[Any, Any] = {
    aten.add.Tensor: _sum("+"),
    aten.add.Scalar: _sum("+"),
    aten.sub.Tensor: _sum("-"),
    aten.sub.Scalar: _sum("-"),
    aten.rsub.Scalar: _reversed_sub,
    aten.rsub.Tensor: _reversed_sub,
    aten.div.Tensor: _div,
    aten.div.Scalar: _div,
    aten.div.Tensor_mode: _div,
    aten.div.Scalar_mode: _div,
    aten.remainder.Tensor: _remainder,
    aten.remainder.Scalar: _remainder,
    aten.pow.Tensor_Scalar: _pow,
    aten.pow.Tensor_Tensor: _pow,
    aten.pow.Scalar: _pow,
}

"""Activations, and what keeps numbers within bounds."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.elementwise import Spelled, call, number_of, own, pointwise, shape_of
from rnnbench.formats.c.literals import literal
from rnnbench.formats.c.values import Value, atom, complete
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def _clamp(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    low = args[1] if len(args) > 1 else named.get("min")
    high = args[2] if len(args) > 2 else named.get("max")
    dtype = shape_of(node)[1]
    bounds = [b for b in (low, high) if b is not None]

    def spelled(*given: str) -> str:
        a, *texts, _ = given
        text = atom(a)
        if low is not None:
            b = atom(texts[0])
            text = f"({text} < {b} ? {b} : {text})"
        if high is not None:
            b = atom(texts[-1])
            text = f"({text} > {b} ? {b} : {text})"
        return text

    return pointwise(writer, node, [args[0], *bounds], spelled, dtype)


def _hardtanh(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    _, low, high = complete(args, 3, -1.0, 1.0)
    return _clamp(writer, node, [args[0], low, high], {})


def _leaky(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    slope = args[1] if len(args) > 1 else 0.01
    spelled: Spelled = lambda a, s, t: f"{atom(a)} > 0 ? {atom(a)} : {s} * {atom(a)}"  # noqa: E731
    return pointwise(writer, node, [args[0], slope], spelled, shape_of(node)[1])


def _elu(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    _, alpha, scale, inner = complete(args, 4, 1.0, 1.0, 1.0)
    dtype = shape_of(node)[1]
    one, two, three = (number_of(writer, v, dtype) for v in (alpha, scale, inner))

    def spelled(a: str, t: str) -> str:
        a = atom(a)
        grown = call("expm1")(f"{a} * {three}", t)
        return f"{a} > 0 ? {two} * {a} : {two} * {one} * {grown}"

    return pointwise(writer, node, [args[0]], spelled, dtype)


def _gelu(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    dtype = shape_of(node)[1]
    if named.get("approximate", "none") == "tanh":

        def spelled(a: str, t: str) -> str:
            a = atom(a)
            k, c = literal(math.sqrt(2 / math.pi), dtype), literal(0.044715, dtype)
            half, one = literal(0.5, dtype), literal(1.0, dtype)
            inner = own("tanh")(f"{k} * ({a} + {c} * {a} * {a} * {a})", t)
            return f"{half} * {a} * ({one} + {inner})"
    else:

        def spelled(a: str, t: str) -> str:
            a = atom(a)
            inner = call("erf")(f"{a} * {literal(math.sqrt(0.5), dtype)}", t)
            half, one = literal(0.5, dtype), literal(1.0, dtype)
            return f"{half} * {a} * ({one} + {inner})"

    return pointwise(writer, node, [args[0]], spelled, dtype)


OPERATORS: dict[Any, Any] = {
    aten.clamp.default: _clamp,
    aten.clamp.Tensor: _clamp,
    aten.clamp_min.default: lambda w, n, a, k: _clamp(w, n, [a[0], a[1], None], k),
    aten.clamp_max.default: lambda w, n, a, k: _clamp(w, n, [a[0], None, a[1]], k),
    aten.hardtanh.default: _hardtanh,
    aten.leaky_relu.default: _leaky,
    aten.elu.default: _elu,
    aten.gelu.default: _gelu,
}

"""Softmax, variances, and what is divided by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.elementwise import shape_of
from rnnbench.formats.c.literals import literal
from rnnbench.formats.c.reductions import Walk, dims_of
from rnnbench.formats.c.sizes import size_of
from rnnbench.formats.c.values import C_TYPES, Block, Index, Value, complete
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def _softmax(log: bool) -> Any:
    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        value: Value = args[0]
        sizes, dtype = shape_of(node)
        if value.cost:
            value = writer.realize(value, f"{node.name}_of")
        walk = Walk(writer, value, dims_of(value, args[1]))
        kind, own = C_TYPES[dtype], "f" if dtype is torch.float32 else ""
        writer.say(node)
        made = writer.room(dtype, sizes, node.name)
        with writer.loops(walk.outer_sizes()) as outer:
            most, total = writer.fresh("most"), writer.fresh("sum")
            writer.line(f"{kind} {most} = {literal(-math.inf, dtype)};")
            with writer.loops(walk.inner_sizes(), "j") as inner:
                x = walk.element(walk.index(outer, inner))
                writer.line(f"{most} = {x} > {most} || {x} != {x} ? {x} : {most};")
            writer.line(f"{kind} {total} = 0;")
            with writer.loops(walk.inner_sizes(), "j") as inner:
                index = walk.index(outer, inner)
                x = walk.element(index)
                place = made.at(index, Block(writer.fresh))
                if log:
                    writer.line(f"{total} += model_exp{own}({x} - {most});")
                else:
                    writer.line(f"{place} = model_exp{own}({x} - {most});")
                    writer.line(f"{total} += {place};")
            if log:
                writer.line(f"{total} = {most} + log{own}({total});")
            with writer.loops(walk.inner_sizes(), "j") as inner:
                index = walk.index(outer, inner)
                place = made.at(index, Block(writer.fresh))
                if log:
                    x = walk.element(index)
                    writer.line(f"{place} = {x} - {total};")
                else:
                    writer.line(f"{place} /= {total};")
        return made

    return write


def _var(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    value: Value = writer.realize(args[0], f"{node.name}_of") if args[0].cost else args[0]
    walk = Walk(writer, value, dims_of(value, args[1] if len(args) > 1 else named.get("dim")))
    correction = named.get("correction", 1)
    results = node.meta["val"]
    with_mean = isinstance(results, tuple | list)
    first = results[0] if with_mean else results
    dtype = first.dtype
    sizes = tuple(map(size_of, first.shape))
    root = node.target in (aten.std.correction,)
    writer.say(node)
    made = writer.room(dtype, sizes, node.name)
    mean_room = writer.room(dtype, sizes, f"{node.name}_mean") if with_mean else None
    with writer.loops(walk.outer_sizes()) as outer:
        mean, total = _moments(writer, walk, outer)
        block = Block(writer.fresh)
        flat = writer.array(made.array, dtype, walk.outer_sizes())
        count = f"(double)({walk.count()} - {writer.number(int(correction or 0))})"
        text = f"{total} / {count}"
        text = f"sqrt({text})" if root else text
        writer.line(f"{flat.at(outer, block)} = ({C_TYPES[dtype]})({text});")
        if mean_room is not None:
            flat = writer.array(mean_room.array, dtype, walk.outer_sizes())
            writer.line(f"{flat.at(outer, block)} = ({C_TYPES[dtype]}){mean};")
    return made if mean_room is None else [made, mean_room]


def _moments(writer: Writer, walk: Walk, outer: Sequence[str]) -> tuple[str, str]:
    """The names of the mean, and of the sum of squares around it."""
    mean, total = writer.fresh("mean"), writer.fresh("squares")
    writer.line(f"double {mean} = 0.0;")
    with writer.loops(walk.inner_sizes(), "j") as inner:
        x = walk.element(walk.index(outer, inner))
        writer.line(f"{mean} += (double){x};")
    writer.line(f"{mean} /= (double)({walk.count()});")
    writer.line(f"double {total} = 0.0;")
    with writer.loops(walk.inner_sizes(), "j") as inner:
        x = walk.element(walk.index(outer, inner))
        writer.line(f"{total} += ((double){x} - {mean}) * ((double){x} - {mean});")
    return mean, total


def _normed(
    writer: Writer,
    node: fx.Node,
    value: Value,
    walk: Walk,
    eps: float,
    affine: Callable[[list[str]], tuple[list[str], list[str]]],
    weight: Value | None,
    bias: Value | None,
) -> Value:
    """(x - mean) / sqrt(variance + eps) * weight + bias, over the dimensions of a walk."""
    dtype = value.dtype
    kind = C_TYPES[dtype]
    writer.say(node)
    made = writer.room(dtype, value.sizes, node.name)
    with writer.loops(walk.outer_sizes()) as outer:
        mean, total = _moments(writer, walk, outer)
        scale = writer.fresh("scale")
        count = f"(double)({walk.count()})"
        writer.line(f"const double {scale} = 1.0 / sqrt({total} / {count} + {eps!r});")
        with writer.loops(walk.inner_sizes(), "j") as inner:
            index = walk.index(outer, inner)
            x = walk.element(index)
            block = Block(writer.fresh)
            text = f"({kind})(((double){x} - {mean}) * {scale})"
            at_weight, at_bias = affine(index)
            if weight is not None:
                text = f"{text} * {weight.at(at_weight, block)}"
            if bias is not None:
                text = f"{text} + {bias.at(at_bias, block)}"
            writer.block(block)
            writer.line(f"{made.at(index, block)} = {text};")
    return made


def _layer_norm(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    value, shape, weight, bias, eps = complete(args[:5], 5, None, None, 1e-5)
    value = writer.realize(value, f"{node.name}_of") if value.cost else value
    rank = len(value.sizes)
    dims = list(range(rank - len(shape), rank))

    def affine(index: list[str]) -> tuple[list[str], list[str]]:
        return index[dims[0] :], index[dims[0] :]

    made = _normed(writer, node, value, Walk(writer, value, dims), eps, affine, weight, bias)
    several = isinstance(node.meta["val"], tuple | list)
    return [made, None, None] if several else made


def _group_norm(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    if node.target is aten.native_group_norm.default:
        value, weight, bias, _, channels, _, groups, eps = args
    else:
        value, groups, weight, bias, eps = complete(args[:5], 5, None, None, 1e-5)
        channels = value.sizes[1]
    given = writer.realize(value, f"{node.name}_of")
    per = channels // groups
    split = writer.array(given.array, given.dtype, [given.sizes[0], groups, per, *given.sizes[2:]])
    walk = Walk(writer, split, list(range(2, len(split.sizes))))

    def affine(index: list[str]) -> tuple[list[str], list[str]]:
        channel = f"{index[1]} * {per} + {index[2]}"
        return [channel], [channel]

    made = _normed(writer, node, split, walk, eps, affine, weight, bias)
    whole = writer.array(made.array, value.dtype, value.sizes)
    return [whole, None, None] if isinstance(node.meta["val"], tuple | list) else whole


def _own_batch_norm(
    writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]
) -> list[Any]:
    """By the mean and variance of each channel: of an instance norm [1, rows * channels]."""
    value, weight, bias, _training, _momentum, eps = args
    value = writer.realize(value, f"{node.name}_of") if value.cost else value
    dims = [n for n in range(len(value.sizes)) if n != 1]

    def affine(index: list[str]) -> tuple[list[str], list[str]]:
        return [index[1]], [index[1]]

    made = _normed(writer, node, value, Walk(writer, value, dims), eps, affine, weight, bias)
    return [made, None, None]


def _batch_norm(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    """In evaluation: with the running mean and variance."""
    value, weight, bias, mean, variance = args[:5]
    own = node.target is aten.batch_norm.default  # its arguments: training, momentum, eps, cudnn
    eps = args[7] if own else args[6]
    if mean is None or variance is None or (own and args[5]):
        raise writer.refusal(node, "a batch norm by the batch itself has no form in C yet")
    kind = value.c_type
    root = "sqrtf" if kind == "float" else "sqrt"

    def at(index: Index, block: Block) -> str:
        channel = [index[1]]
        x = value.at(index, block)
        small = literal(eps, value.dtype)
        text = f"({x} - {mean.at(channel, block)})"
        text = f"{text} / {root}({variance.at(channel, block)} + {small})"
        if weight is not None:
            text = f"{text} * {weight.at(channel, block)}"
        if bias is not None:
            text = f"{text} + {bias.at(channel, block)}"
        return block.hold(kind, text, node.name)

    made = Value(value.dtype, value.sizes, at, cost=value.cost + 4)
    return [made, None, None] if isinstance(node.meta["val"], tuple | list) else made


OPERATORS: dict[Any, Any] = {
    aten._native_batch_norm_legit.no_stats: _own_batch_norm,
    aten._softmax.default: _softmax(False),
    aten.softmax.int: _softmax(False),
    aten._log_softmax.default: _softmax(True),
    aten.log_softmax.int: _softmax(True),
    aten.var.correction: _var,
    aten.std.correction: _var,
    aten.var_mean.correction: _var,
    aten.native_layer_norm.default: _layer_norm,
    aten.layer_norm.default: _layer_norm,
    aten.native_group_norm.default: _group_norm,
    aten.group_norm.default: _group_norm,
    aten._native_batch_norm_legit_no_training.default: _batch_norm,
    aten.batch_norm.default: _batch_norm,
}

"""Convolutions: with weights of the model as products of windows, else sum by sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.elementwise import shape_of
from rnnbench.formats.c.layout import moved
from rnnbench.formats.c.products import product
from rnnbench.formats.c.reductions import each_of
from rnnbench.formats.c.values import C_TYPES, At, Block, Value, added, atom, complete, scaled
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def _convolution(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    """A convolution of x [batch, channels, ...], by the way that its weights allow."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args
    sizes, dtype = shape_of(node)
    rank = len(sizes) - 2
    lists = [each_of(v, rank) for v in (stride, padding, dilation)]
    if transposed:
        return _transposed(writer, node, x, weight, bias, lists, groups)
    if (
        weight.constant is not None
        and (bias is None or bias.constant is not None)
        and groups == 1
        and dtype is torch.float32
    ):
        return _by_windows(writer, node, x, weight.constant, bias, lists)
    return _direct(writer, node, x, weight, bias, lists, groups)


def _places(
    writer: Writer,
    x: Value,
    index: Sequence[str],
    inner: Sequence[str],
    lists: list[list[Any]],
    block: Block,
) -> tuple[list[str], list[str]]:
    """Where a window's element is in x, and what must hold for it to be inside."""
    stride, padding, dilation = lists
    places, tests = [], []
    for n, (i, k) in enumerate(zip(index, inner, strict=True)):
        step = "" if stride[n] == 1 else f" * {writer.number(stride[n])}"
        far = "" if dilation[n] == 1 else f" * {writer.number(dilation[n])}"
        text = added(f"{i}{step}" if i != "0" else "0", f"{k}{far}" if k != "0" else "0")
        if padding[n] != 0:
            text = f"{text} - {writer.number(padding[n])}"
        place = text if text.isidentifier() or text == "0" else block.hold("int64_t", text, "p")
        places.append(place)
        if padding[n] != 0:
            size = writer.sizes.text(x.sizes[2 + n])
            tests += [f"{place} >= 0", f"{place} < {size}"]
    return places, tests


def _by_windows(
    writer: Writer,
    node: fx.Node,
    x: Value,
    weight: torch.Tensor,
    bias: Value | None,
    lists: list[list[Any]],
) -> Value:
    """[batch, places, channels * kernel] windows, by a matrix, with the channels then moved."""
    sizes, dtype = shape_of(node)
    channels, per, *kernel = weight.shape
    given = writer.realize(x, f"{node.name}_of") if x.cost else x
    writer.say(node)
    windows = writer.room(dtype, [sizes[0], *sizes[2:], per, *kernel], f"{node.name}_windows")
    with writer.loops([sizes[0], *sizes[2:], per, *kernel]) as index:
        batch, *rest = index
        out, channel, inner = rest[: len(kernel)], rest[len(kernel)], rest[len(kernel) + 1 :]
        block = Block(writer.fresh)
        places, tests = _places(writer, x, out, inner, lists, block)
        into = windows.at(index, block)
        if tests:
            writer.block(block)
            writer.line(f"{into} = 0;")
            with writer.nested(f"if ({' && '.join(tests)})"):
                text = given.at([batch, channel, *places], block)
                writer.block(block)
                writer.line(f"{into} = {text};")
        else:
            text = given.at([batch, channel, *places], block)
            writer.block(block)
            writer.line(f"{into} = {text};")
    matrix = weight.reshape(channels, -1).t().contiguous()  # [channels * kernel, out channels]
    made = writer.room(dtype, [sizes[0], *sizes[2:], channels], node.name)
    rows = [sizes[0], *sizes[2:]]
    offset = None if bias is None else bias.constant
    product(writer, made.array, windows.array, matrix, offset, rows, node.name)
    # [batch, places, channels] as [batch, channels, places]
    return moved(made, sizes, lambda i: [i[0], *i[2:], i[1]])


def _direct(
    writer: Writer,
    node: fx.Node,
    x: Value,
    weight: Value,
    bias: Value | None,
    lists: list[list[Any]],
    groups: int,
) -> Value:
    """Groups, and weights that are computed: a sum for each element."""
    sizes, dtype = shape_of(node)
    per, kernel = weight.sizes[1], weight.sizes[2:]
    given = writer.realize(x, f"{node.name}_of") if x.cost else x
    weight = writer.realize(weight, f"{node.name}_w") if weight.cost else weight
    writer.say(node)
    made = writer.room(dtype, sizes, node.name)
    out_per = sizes[1] // groups
    with (
        writer.totals(made, C_TYPES[dtype], _of_channel(bias)) as (index, total),
        writer.loops([per, *kernel], "k") as inner,
    ):
        block = Block(writer.fresh)
        places, tests = _places(writer, x, index[2:], inner[1:], lists, block)
        group = f"{index[1]} / {out_per}"
        channel = inner[0] if groups == 1 else added(f"{atom(group)} * {per}", inner[0])
        writer.block(block)
        text = f"{given.at([index[0], channel, *places], block)}"
        by = weight.at([index[1], *inner], block)
        if tests:
            with writer.nested(f"if ({' && '.join(tests)})"):
                writer.block(block)
                writer.line(f"{total} += {atom(text)} * {by};")
        else:
            writer.block(block)
            writer.line(f"{total} += {atom(text)} * {by};")
    return made


def _of_channel(bias: Value | None) -> At | None:
    """What a sum begins with: the bias of its channel."""
    return None if bias is None else lambda index, block: bias.at([index[1]], block)


def _transposed(
    writer: Writer,
    node: fx.Node,
    x: Value,
    weight: Value,
    bias: Value | None,
    lists: list[list[Any]],
    groups: int,
) -> Value:
    """`conv_transpose`: for each element of the result, the inputs whose windows reach it."""
    sizes, dtype = shape_of(node)
    stride, padding, dilation = lists
    per, kernel = weight.sizes[1], weight.sizes[2:]  # weight [in channels, out per group, ...]
    in_per = x.sizes[1] // groups
    given = writer.realize(x, f"{node.name}_of") if x.cost else x
    weight = writer.realize(weight, f"{node.name}_w") if weight.cost else weight
    writer.say(node)
    made = writer.room(dtype, sizes, node.name)
    with (
        writer.totals(made, C_TYPES[dtype], _of_channel(bias)) as (index, total),
        writer.loops(kernel, "k") as inner,
    ):
        block, places, tests = Block(writer.fresh), [], []
        for n, (i, k) in enumerate(zip(index[2:], inner, strict=True)):
            text, back = added(i, writer.number(padding[n])), scaled(k, writer.number(dilation[n]))
            far = block.hold("int64_t", text if back == "0" else f"{text} - {back}", "p")
            step = writer.number(stride[n])
            size = writer.sizes.text(x.sizes[2 + n])
            place = far if step == "1" else f"{far} / {step}"
            tests += [f"{far} >= 0", f"{place} < {size}"]
            tests += [] if step == "1" else [f"{far} % {step} == 0"]
            places.append(place)
        writer.block(block)
        with (
            writer.nested(f"if ({' && '.join(tests)})"),
            writer.loops([in_per], "c") as (c,),
        ):
            group = f"{index[1]} / {per}"
            channel = c if groups == 1 else added(f"{atom(group)} * {in_per}", c)
            out = index[1] if groups == 1 else f"{index[1]} % {per}"
            text = given.at([index[0], channel, *places], block)
            by = weight.at([channel, out, *inner], block)
            writer.block(block)
            writer.line(f"{total} += {atom(text)} * {by};")
    return made


def _conv(rank: int) -> Any:
    """`conv1d(x, weight, bias, stride, padding, dilation, groups)`."""

    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        x, weight, *rest = args
        bias, stride, padding, dilation, groups = complete(rest, 5, None, 1, 0, 1, 1)
        if isinstance(padding, str):
            raise writer.refusal(node, f"a convolution with padding={padding!r} has no form in C")
        whole = [x, weight, bias, stride, padding, dilation, False, 0, groups]
        return _convolution(writer, node, whole, {})

    return write


OPERATORS: dict[Any, Any] = {
    aten.convolution.default: _convolution,
    aten.conv1d.default: _conv(1),
    aten.conv2d.default: _conv(2),
}

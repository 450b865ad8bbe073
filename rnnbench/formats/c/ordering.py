"""What compares elements: the place of the largest, running extremes, sorting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.reductions import Walk, dims_of, least_of, most_of, or_nan
from rnnbench.formats.c.sizes import numel, size_of
from rnnbench.formats.c.values import Block, Value
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def _extreme(sign: str, only_place: bool) -> Any:
    """`max(x, dim)`, with the first place where it is; `argmax`."""

    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
        value: Value = args[0]
        dim = args[1] if len(args) > 1 else named.get("dim")
        if dim is None:
            value = writer.realize(value, node.name)
            value = writer.array(value.array, value.dtype, [numel(value.sizes)])
            dim = 0
        walk = Walk(writer, value, dims_of(value, dim))
        results = node.meta["val"]
        first = results if only_place else results[1]
        writer.say(node)
        places = writer.room(torch.int64, tuple(map(size_of, first.shape)), f"{node.name}_at")
        flat = writer.array(places.array, torch.int64, walk.outer_sizes())
        most = None
        if not only_place:
            most = writer.room(value.dtype, tuple(map(size_of, results[0].shape)), node.name)
        size = writer.sizes.text(walk.inner_sizes()[0])
        with writer.loops(walk.outer_sizes()) as outer:
            best, at, j = writer.fresh("best"), writer.fresh("at"), writer.fresh("j")
            here = walk.element(walk.index(outer, ["0"]))
            writer.line(f"{value.c_type} {best} = {here};")
            writer.line(f"int64_t {at} = 0;")
            with writer.nested(f"for (int64_t {j} = 1; {j} < {size}; ++{j})"):
                x = walk.element(walk.index(outer, [j]))
                nan = f" || ({x} != {x} && {best} == {best})" if value.is_float else ""
                with writer.nested(f"if ({x} {sign} {best}{nan})"):
                    writer.line(f"{best} = {x};")
                    writer.line(f"{at} = {j};")
            block = Block(writer.fresh)
            writer.line(f"{flat.at(outer, block)} = {at};")
            if most is not None:
                into = writer.array(most.array, value.dtype, walk.outer_sizes())
                writer.line(f"{into.at(outer, block)} = {best};")
        return places if most is None else [most, places]

    return write


def _cummax(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    value: Value = args[0]
    walk = Walk(writer, value, dims_of(value, args[1]))
    sign = ">=" if node.target is aten.cummax.default else "<="
    sizes = value.sizes
    writer.say(node)
    made = writer.room(value.dtype, sizes, node.name)
    places = writer.room(torch.int64, sizes, f"{node.name}_at")
    with writer.loops(walk.outer_sizes()) as outer:
        best, at = writer.fresh("best"), writer.fresh("at")
        start = least_of(value.dtype) if sign == ">=" else most_of(value.dtype)
        writer.line(f"{value.c_type} {best} = {start};")
        writer.line(f"int64_t {at} = 0;")
        with writer.loops(walk.inner_sizes(), "j") as inner:
            index = walk.index(outer, inner)
            x = walk.element(index)
            with writer.nested(f"if ({x} {sign} {best}{or_nan(value.dtype, x)})"):
                writer.line(f"{best} = {x};")
                writer.line(f"{at} = {inner[0]};")
            block = Block(writer.fresh)
            writer.line(f"{made.at(index, block)} = {best};")
            writer.line(f"{places.at(index, block)} = {at};")
    return [made, places]


def _sort(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    """By insertion, which keeps the order of equals; `topk` takes the first of them."""
    value: Value = args[0]
    top = node.target is aten.topk.default
    if node.target is aten.sort.stable:
        dim = named.get("dim", args[2] if len(args) > 2 else -1)
        down = named.get("descending", args[3] if len(args) > 3 else False)
    elif top:
        dim, down = (args[2] if len(args) > 2 else -1), (args[3] if len(args) > 3 else True)
    else:
        dim, down = (args[1] if len(args) > 1 else -1), (args[2] if len(args) > 2 else False)
    made, places = sorted_along(writer, node, value, dims_of(value, dim), down)
    if not top:
        return [made, places]
    sizes = tuple(map(size_of, node.meta["val"][0].shape))
    return [Value(v.dtype, sizes, v.at) for v in (made, places)]


def sorted_along(
    writer: Writer, node: fx.Node, value: Value, dims: Sequence[int], down: bool
) -> tuple[Value, Value]:
    """The elements along a dimension in order, and where they stood."""
    walk = Walk(writer, value, dims)
    writer.say(node)
    made = writer.room(value.dtype, value.sizes, node.name)
    places = writer.room(torch.int64, value.sizes, f"{node.name}_at")
    size = writer.sizes.text(walk.inner_sizes()[0])
    with writer.loops(walk.outer_sizes()) as outer:
        j, k = writer.fresh("j"), writer.fresh("k")
        with writer.nested(f"for (int64_t {j} = 0; {j} < {size}; ++{j})"):
            x = walk.element(walk.index(outer, [j]))
            block = Block(writer.fresh)
            here = walk.index(outer, [k])
            before = walk.index(outer, [f"({k} - 1)"])
            writer.line(f"int64_t {k} = {j};")
            test = _goes_before(value, x, made.at(before, block), down)
            with writer.nested(f"for (; {k} > 0 && {test}; --{k})"):
                writer.line(f"{made.at(here, block)} = {made.at(before, block)};")
                writer.line(f"{places.at(here, block)} = {places.at(before, block)};")
            writer.line(f"{made.at(here, block)} = {x};")
            writer.line(f"{places.at(here, block)} = {j};")
    return made, places


def _goes_before(value: Value, x: str, other: str, down: bool) -> str:
    """Whether an element stands before another: not a number is more than all numbers."""
    test = f"{x} {'>' if down else '<'} {other}"
    if not value.is_float:
        return test
    more, less = (x, other) if down else (other, x)
    return f"({test} || ({more} != {more} && {less} == {less}))"


def _median(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    """The lower one of the two in the middle; not a number where there is one.

    `nanmedian` leaves those out, which stand last.
    """
    value: Value = args[0]
    alone = len(args) == 1
    if alone:
        flat = writer.realize(value, node.name)
        value = writer.array(flat.array, value.dtype, [numel(value.sizes)])
    dim = dims_of(value, 0 if alone else args[1])
    ordered, places = sorted_along(writer, node, value, dim, down=False)
    walk = Walk(writer, ordered, dim)
    skips = node.target in (aten.nanmedian.dim, aten.nanmedian.default)
    made = writer.room(value.dtype, walk.outer_sizes(), node.name)
    taken = writer.room(torch.int64, walk.outer_sizes(), f"{node.name}_taken")
    size = writer.sizes.text(walk.inner_sizes()[0])
    with writer.loops(walk.outer_sizes()) as outer:
        count, block = writer.fresh("count"), Block(writer.fresh)
        writer.line(f"int64_t {count} = {size};")
        last = ordered.at(walk.index(outer, [f"({count} - 1)"]), block)
        if skips and value.is_float:
            writer.line(f"while ({count} > 1 && {last} != {last}) {{ --{count}; }}")
        middle = writer.fresh("middle")
        bad = f"{last} != {last} ? {count} - 1 : " if value.is_float and not skips else ""
        writer.line(f"const int64_t {middle} = {bad}({count} - 1) / 2;")
        for into, of in ((made, ordered), (taken, places)):
            writer.line(f"{into.at(outer, block)} = {of.at(walk.index(outer, [middle]), block)};")
    if alone:
        return writer.array(made.array, value.dtype, ())
    shapes = [tuple(map(size_of, v.shape)) for v in node.meta["val"]]
    return [writer.array(v.array, v.dtype, s) for v, s in zip((made, taken), shapes, strict=True)]


def _argsort(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    places: Value = _sort(writer, node, args, named)[1]
    return places


OPERATORS: dict[Any, Any] = {
    aten.max.dim: _extreme(">", False),
    aten.min.dim: _extreme("<", False),
    aten.argmax.default: _extreme(">", True),
    aten.argmin.default: _extreme("<", True),
    aten.cummax.default: _cummax,
    aten.cummin.default: _cummax,
    aten.sort.default: _sort,
    aten.sort.stable: _sort,
    aten.topk.default: _sort,
    aten.argsort.default: _argsort,
    aten.median.dim: _median,
    aten.median.default: _median,
    aten.nanmedian.dim: _median,
    aten.nanmedian.default: _median,
}

"""Windows of the last dimensions: the largest of each, or the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.elementwise import shape_of
from rnnbench.formats.c.reductions import each_of, least_of, or_nan
from rnnbench.formats.c.sizes import size_of
from rnnbench.formats.c.values import C_TYPES, Block, Value, added, complete, scaled
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


@dataclass(frozen=True)
class _Windows:
    """The windows of a pooling.

    Attributes:
        value: what they are of.
        rank: how many of its last dimensions they go over.
        kernel: how many elements they have.
        stride: how far one is from the next.
        padding: how far the first stands before the start.
        dilation: how far an element is from the next.
    """

    value: Value
    rank: int
    kernel: list[Any]
    stride: list[Any]
    padding: list[Any]
    dilation: list[Any]

    def place(
        self, writer: Writer, index: list[str], inner: list[str]
    ) -> tuple[list[str], list[str]]:
        """Where an element is, and what must hold for it to be inside."""
        block, place, tests = Block(writer.fresh), list(index), []
        for n in range(self.rank):
            d = len(index) - self.rank + n
            start = scaled(index[d], writer.number(self.stride[n]))
            text = added(start, scaled(inner[n], writer.number(self.dilation[n])))
            if self.padding[n] != 0:
                text = f"{text} - {writer.number(self.padding[n])}"
            place[d] = block.hold("int64_t", text, "p")
            size = writer.sizes.text(self.value.sizes[d])
            tests += [f"{place[d]} >= 0", f"{place[d]} < {size}"]
        writer.block(block)
        return place, tests


def _windows(writer: Writer, node: fx.Node, args: list[Any], dilated: bool) -> _Windows:
    value: Value = args[0]
    value = writer.realize(value, f"{node.name}_of") if value.cost else value
    rank = 1 if "1d" in str(node.target) else 2
    kernel = each_of(args[1], rank)
    return _Windows(
        value,
        rank,
        kernel,
        each_of(args[2], rank) if len(args) > 2 and args[2] else kernel,
        each_of(args[3] if len(args) > 3 else 0, rank),
        each_of(args[4], rank) if dilated and len(args) > 4 else [1] * rank,
    )


def _average_pool(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    _, _, _, _, ceil_mode, counts_padding, divisor = complete(
        args[:7], 7, None, 0, False, True, None
    )
    if ceil_mode or divisor is not None:
        raise writer.refusal(node, "a mean over windows that overhang has no form in C yet")
    windows = _windows(writer, node, args, dilated=False)
    sizes, dtype = shape_of(node)
    writer.say(node)
    made = writer.room(dtype, sizes, node.name)
    with writer.loops(sizes) as index:
        total, count = writer.fresh("sum"), writer.fresh("count")
        writer.line(f"double {total} = 0.0;")
        writer.line(f"int64_t {count} = 0;")
        with writer.loops(windows.kernel, "k") as inner:
            place, tests = windows.place(writer, index, inner)
            if counts_padding:
                writer.line(f"++{count};")
            with writer.nested(f"if ({' && '.join(tests)})"):
                block = Block(writer.fresh)
                x = windows.value.at(place, block)
                writer.block(block)
                writer.line(f"{total} += (double){x};")
                if not counts_padding:
                    writer.line(f"++{count};")
        text = f"({C_TYPES[dtype]})({total} / (double){count})"
        writer.line(f"{made.at(index, Block(writer.fresh))} = {text};")
    return made


def _max_pool(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    """The largest of each window, and where it is among the elements of the last dimensions."""
    windows = _windows(writer, node, args, dilated=True)
    value, results = windows.value, node.meta["val"]
    several = isinstance(results, tuple | list)
    sizes = tuple(map(size_of, (results[0] if several else results).shape))
    writer.say(node)
    made = writer.room(value.dtype, sizes, node.name)
    places = writer.room(torch.int64, sizes, f"{node.name}_at")
    width = writer.sizes.text(value.sizes[-1])
    with writer.loops(sizes) as index:
        best, at = writer.fresh("best"), writer.fresh("at")
        writer.line(f"{value.c_type} {best} = {least_of(value.dtype)};")
        writer.line(f"int64_t {at} = 0;")
        with writer.loops(windows.kernel, "k") as inner:
            place, tests = windows.place(writer, index, inner)
            with writer.nested(f"if ({' && '.join(tests)})"):
                block = Block(writer.fresh)
                x = value.at(place, block)
                writer.block(block)
                with writer.nested(f"if ({x} > {best}{or_nan(value.dtype, x)})"):
                    writer.line(f"{best} = {x};")
                    row = f"{place[-2]} * {width} + " if windows.rank == 2 else ""
                    writer.line(f"{at} = {row}{place[-1]};")
        block = Block(writer.fresh)
        writer.line(f"{made.at(index, block)} = {best};")
        writer.line(f"{places.at(index, block)} = {at};")
    return [made, places] if several else made


def _adaptive(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    """`adaptive_avg_pool`: means of windows that cover all."""
    value: Value = args[0]
    value = writer.realize(value, f"{node.name}_of") if value.cost else value
    sizes, dtype = shape_of(node)
    rank = 1 if "1d" in str(node.target) else 2
    writer.say(node)
    made = writer.room(dtype, sizes, node.name)
    with writer.loops(sizes) as index:
        bounds, block = [], Block(writer.fresh)
        for n in range(rank):
            d = len(sizes) - rank + n
            of, to = writer.sizes.text(value.sizes[d]), writer.sizes.text(sizes[d])
            low = block.hold("int64_t", f"model_floor_div({index[d]} * {of}, {to})", "low")
            text = f"model_floor_div(({index[d]} + 1) * {of} + {to} - 1, {to})"
            bounds.append((low, block.hold("int64_t", text, "high")))
        writer.block(block)
        total = writer.fresh("sum")
        writer.line(f"double {total} = 0.0;")
        place = list(index)
        names = [writer.fresh("k") for _ in range(rank)]
        heads = [
            f"for (int64_t {k} = {low}; {k} < {high}; ++{k})"
            for k, (low, high) in zip(names, bounds, strict=True)
        ]
        place[len(sizes) - rank :] = names
        for head in heads:
            writer.line(f"{head} {{")
            writer.indent += 1
        x = value.at(place, block)
        writer.block(block)
        writer.line(f"{total} += (double){x};")
        for _ in heads:
            writer.indent -= 1
            writer.line("}")
        count = " * ".join(f"({high} - {low})" for low, high in bounds)
        text = f"({C_TYPES[dtype]})({total} / (double)({count}))"
        writer.line(f"{made.at(index, block)} = {text};")
    return made


OPERATORS: dict[Any, Any] = {
    aten.max_pool2d_with_indices.default: _max_pool,
    aten.max_pool2d.default: _max_pool,
    aten.avg_pool2d.default: _average_pool,
    aten.avg_pool1d.default: _average_pool,
    aten.adaptive_avg_pool1d.default: _adaptive,
    aten._adaptive_avg_pool2d.default: _adaptive,
    aten.adaptive_avg_pool2d.default: _adaptive,
}

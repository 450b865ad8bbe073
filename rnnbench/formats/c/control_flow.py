"""Control flow: a scan is a `for`, a while_loop a `for` that breaks, a cond an `if`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.capture.operators.scan import COND, SCAN, WHILE_LOOP
from rnnbench.formats.c.layout import moved
from rnnbench.formats.c.sizes import size_of
from rnnbench.formats.c.values import Block, Value
from rnnbench.formats.c.writer import Writer


def _results(body: fx.GraphModule) -> list[Any]:
    returned: Any = body.graph.output_node().args[0]
    return list(returned) if isinstance(returned, list | tuple) else [returned]


def _write(writer: Writer, body: fx.GraphModule, given: Sequence[Any]) -> list[Any]:
    """The statements of a body, whose placeholders have these values; returns its results."""
    placeholders = body.graph.find_nodes(op="placeholder")
    for holder, value in zip(placeholders, given, strict=True):
        writer.values[holder] = value
        _bind(writer, holder.meta.get("val"), value)
    writer.write(body.graph, body)
    return [writer.given(r) for r in _results(body)]


def _bind(writer: Writer, seen: Any, value: Any) -> None:
    """A body may have symbols of its own for sizes that are known outside."""
    if isinstance(seen, torch.Tensor) and isinstance(value, Value):
        pairs = list(zip(map(size_of, seen.shape), value.sizes, strict=True))
    elif isinstance(seen, torch.SymInt):
        pairs = [(size_of(seen), value)]
    else:
        return
    for inner, outer in pairs:
        if getattr(inner, "is_Symbol", False) and inner not in writer.sizes.names:
            writer.sizes.names[inner] = writer.number(outer)


def _ready(writer: Writer, value: Any, stem: str) -> Any:
    """What is read in each step is computed once."""
    return writer.realize(value, stem) if isinstance(value, Value) and value.cost else value


def _carried(writer: Writer, init: Sequence[Value], name: str) -> list[Value]:
    """An array for each carried value, which has its first value."""
    made = [writer.room(v.dtype, v.sizes, f"{name}_carry") for v in init]
    for room, value in zip(made, init, strict=True):
        writer.store(room, value)
    return made


def _hand_on(writer: Writer, carries: Sequence[Value], after: Sequence[Value], name: str) -> None:
    """The new values take the place of the old ones, once all of them are computed."""
    own = {c.array for c in carries}
    ready = []
    for carry, value in zip(carries, after, strict=True):
        if value.array == carry.array:
            continue
        if not value.array or value.array in own:
            temporary = writer.room(carry.dtype, carry.sizes, f"{name}_next")
            writer.store(temporary, value)
            value = temporary
        ready.append((carry, value))
    for carry, value in ready:
        size = f"sizeof *{carry.array} * (size_t)({writer.sizes.product(carry.sizes)})"
        writer.line(f"memcpy({carry.array}, {value.array}, {size});")


def _scan(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    body, init, xs, extras = args
    results = list(node.meta["val"])
    xs = [_ready(writer, x, f"{node.name}_x") for x in xs]
    extras = [_ready(writer, e, f"{node.name}_extra") for e in extras]
    writer.say(node, "scan")
    carries = _carried(writer, init, node.name)
    ys = [
        writer.room(v.dtype, tuple(map(size_of, v.shape)), f"{node.name}_y")
        for v in results[len(carries) :]
    ]
    step = writer.fresh("step")
    steps = writer.sizes.text(xs[0].sizes[0])
    with writer.nested(f"for (int64_t {step} = 0; {step} < {steps}; ++{step})"):
        here = [moved(x, x.sizes[1:], lambda i: [step, *i]) for x in xs]
        after = _write(writer, body, [*carries, *here, *extras])
        for y, value in zip(ys, after[len(carries) :], strict=True):
            _store_step(writer, y, value, step)
        _hand_on(writer, carries, after[: len(carries)], node.name)
    return [*carries, *ys]


def _store_step(writer: Writer, y: Value, value: Value, step: str) -> None:
    with writer.loops(value.sizes) as index:
        block = Block(writer.fresh)
        text = value.at(index, block)
        writer.block(block)
        place = y.at([step, *index], block)
        writer.line(f"{place} = {writer.cast(text, value.dtype, y.dtype)};")


def _while(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    condition, body, init, extras = args
    extras = [_ready(writer, e, f"{node.name}_extra") for e in extras]
    writer.say(node, "while_loop")
    carries = _carried(writer, init, node.name)
    with writer.nested("for (;;)"):
        (going,) = _write(writer, condition, [*carries, *extras])
        with writer.nested(f"if (!({_truth(writer, going)}))"):
            writer.line("break;")
        _hand_on(writer, carries, _write(writer, body, [*carries, *extras]), node.name)
    return carries


def _truth(writer: Writer, value: Any) -> str:
    if not isinstance(value, Value):
        return writer.number(value)
    block = Block(writer.fresh)
    text = value.at(["0"] * len(value.sizes), block)
    writer.block(block)
    return text


def _cond(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    predicate, yes, no, operands = args
    operands = [_ready(writer, o, f"{node.name}_of") for o in operands]
    writer.say(node, "cond")
    made = [writer.room(v.dtype, tuple(map(size_of, v.shape)), node.name) for v in node.meta["val"]]
    asked = _truth(writer, predicate)
    for head, branch in ((f"if ({asked})", yes), ("else", no)):
        with writer.nested(head):
            for room, value in zip(made, _write(writer, branch, operands), strict=True):
                writer.store(room, value)
    return made


OPERATORS: dict[Any, Any] = {SCAN: _scan, WHILE_LOOP: _while, COND: _cond}

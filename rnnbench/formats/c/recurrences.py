"""`rnnbench::recurrence`: a layer as a product for all steps, and a loop with one for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rnnbench.capture.operators.recurrence import num_directions, recurrence
from rnnbench.formats.c.products import product
from rnnbench.formats.c.sizes import size_of
from rnnbench.formats.c.values import Value, scaled
from rnnbench.formats.c.writer import Writer

_GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}


def _recurrence(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Any:
    x, lengths, h0, c0, weights, kind, direction = args
    if x.dtype is not torch.float32:
        raise writer.refusal(node, f"a layer in {x.dtype} has no form in C yet")
    if any(w.constant is None for w in weights):
        raise writer.refusal(node, "a layer whose weights are computed has no form in C yet")
    y, hn, cn = node.meta["val"]
    directions = num_directions(direction)
    hidden = weights[1].constant.shape[1]
    time, batch = (writer.sizes.text(s) for s in x.sizes[:2])
    given = writer.realize(x, f"{node.name}_x")
    rows = writer.realize(lengths, f"{node.name}_lengths") if lengths is not None else None
    starts = [None if s is None else writer.realize(s, f"{node.name}_start") for s in (h0, c0)]
    writer.say(node, f"{kind}, {direction}")
    made = writer.room(torch.float32, tuple(map(size_of, y.shape)), node.name)
    last = writer.room(torch.float32, tuple(map(size_of, hn.shape)), f"{node.name}_hn")
    cell = (
        writer.room(torch.float32, tuple(map(size_of, cn.shape)), f"{node.name}_cn")
        if kind == "lstm"
        else None
    )
    gates = _GATES[kind] * hidden
    xs = writer.room(torch.float32, [*x.sizes[:2], gates], f"{node.name}_gates")
    hs = writer.room(torch.float32, [x.sizes[1], gates], f"{node.name}_step")
    per = len(weights) // directions
    for d in range(directions):
        own = [w.constant for w in weights[d * per : (d + 1) * per]]
        biases = own[2:] if per == 4 else [None, None]
        name = f"{node.name}_{'back' if d else 'forward'}"
        # The GRU's own bias of h is inside of its reset gate; that of others is added once.
        first, second = biases
        if first is not None and kind != "gru":
            first, second = first + second, None
        product(writer, xs.array, given.array, own[0].t(), first, x.sizes[:2], f"{name}_ih")
        start = f" + {scaled(batch, str(d * hidden))}"
        h = f"{last.array}{start if d else ''}"
        c = "0" if cell is None else f"{cell.array}{start if d else ''}"
        for state, into in zip(starts, (h, c), strict=True):
            if into != "0":
                source = "0" if state is None else f"{state.array}{start if d else ''}"
                writer.line(f"model_begin({into}, {source}, {scaled(batch, str(hidden))});")
        step = writer.fresh("step")
        at = writer.fresh("row")
        with writer.nested(f"for (int64_t {step} = 0; {step} < {time}; ++{step})"):
            row_count = x.sizes[1:2]
            product(writer, hs.array, h, own[1].t(), second, row_count, f"{name}_hh", f"{step} & 1")
            layer = _Layer(kind, hidden, d, directions, made, xs, hs, h, c, rows)
            with writer.nested(f"for (int64_t {at} = 0; {at} < {batch}; ++{at})"):
                _row(writer, layer, (step, at, time, batch))
    return [made, last, cell]


@dataclass(frozen=True)
class _Layer:
    """One direction of a layer, and where it reads and writes.

    Attributes:
        kind: of the cell.
        hidden: the size of its state.
        direction: 0, or 1 for the one that begins at the end.
        directions: how many the layer has.
        y: the outputs [time, batch, directions * hidden].
        xs: the products of the inputs [time, batch, gates * hidden].
        hs: those of the states [batch, gates * hidden].
        h: the states [batch, hidden], as an expression.
        c: the cell states, likewise.
        lengths: of the rows [batch]; None: all steps.
    """

    kind: str
    hidden: int
    direction: int
    directions: int
    y: Value
    xs: Value
    hs: Value
    h: str
    c: str
    lengths: Value | None


def _row(writer: Writer, layer: _Layer, where: tuple[str, str, str, str]) -> None:
    """A row of the batch at a step: its place in time, its gates, its new state, its output."""
    step, row, time, batch = where
    hidden, kind, lengths = layer.hidden, layer.kind, layer.lengths
    gates = _GATES[kind] * hidden
    steps = time if lengths is None else f"model_steps({lengths.array}[{row}], {time})"
    t = writer.fresh("t")
    inside = f"{step} < {steps}"
    place = step if layer.direction == 0 else f"{steps} - 1 - {step}"
    if lengths is not None and layer.direction:
        place = f"{inside} ? {place} : {step}"
    writer.line(f"const int64_t {t} = {place};")
    here = f"({t} * {batch} + {row})"
    out = f"{layer.y.array} + {here} * {layer.directions * hidden}"
    out = f"{out} + {hidden}" if layer.direction else out
    states = [f"{layer.h} + {row} * {hidden}"]
    states += [f"{layer.c} + {row} * {hidden}"] if kind == "lstm" else []
    products = [f"{layer.xs.array} + {here} * {gates}", f"{layer.hs.array} + {row} * {gates}"]
    call = f"model_{kind}(level, {', '.join([out, *states, *products])}, {hidden});"
    if lengths is None:
        writer.line(call)
        return
    with writer.nested(f"if ({inside})"):
        writer.line(call)
    with writer.nested("else"):
        writer.line(f"model_begin({out}, 0, {hidden});")


OPERATORS: dict[Any, Any] = {recurrence: _recurrence}

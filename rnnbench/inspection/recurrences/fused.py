"""Recurrences that are one operator: ONNX's RNN, GRU and LSTM, PyTorch's layers and cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rnnbench.core.recurrence import GATES
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.operators import CELLS, FUSED, PACKED, PADDED, QUANTISED
from rnnbench.inspection.program import Dim, Node, Program, Ref, walk
from rnnbench.inspection.recurrences.record import FoundRecurrence, state_in, state_out
from rnnbench.inspection.recurrences.turned import direction, is_turned

_QUANTISED_LSTM = "com.microsoft.DynamicQuantizeLSTM"


def find_fused(flow: Flow) -> Iterator[FoundRecurrence]:
    """One for each operator."""
    for node in walk(flow.program.graph):
        if node.op in ("RNN", "GRU", "LSTM", _QUANTISED_LSTM):
            yield _onnx(flow, node)
        elif node.op in FUSED or node.op in QUANTISED:
            yield _layer(flow, node)
        elif node.op in CELLS:
            yield _cell(flow, node)


def _onnx(flow: Flow, node: Node) -> FoundRecurrence:
    """https://onnx.ai/onnx/operators/onnx__LSTM.html

    ONNX Runtime's with weights of 8 bits has the same arguments, and then their scales.
    """
    program, attributes = flow.program, node.attributes
    quantised = node.op == _QUANTISED_LSTM
    kind = (QUANTISED if quantised else FUSED)[node.op]
    activations = [str(a).lower() for a in attributes.get("activations") or ()]
    if node.op == "RNN" and activations:
        kind = f"rnn_{activations[0]}" if set(activations) <= {"tanh", "relu"} else "unknown"
    x, w, r = node.arg(0), program.shape(node.arg(1)), program.shape(node.arg(2))
    batch_first = bool(attributes.get("layout"))
    time, batch = sizes(program, x, batch_first)
    states = tuple(node.args[5:7]) if kind == "lstm" else tuple(node.args[5:6])
    last = node.outputs[1:3]
    return FoundRecurrence(
        place=node.name,
        representation="fused",
        kind=kind,
        input_size=_number(w, 1 if quantised else 2) or _number(program.shape(x), 2),
        note="quantised" if quantised else "",
        hidden_size=attributes.get("hidden_size") or _number(r, 2),
        num_layers=1,
        direction=_way(flow, str(attributes.get("direction") or "forward"), x),
        state_in=state_in(flow, list(states)),
        state_out=state_out(flow, last),
        lengths=node.arg(4) is not None,
        dtype=program.dtype(node.arg(1)) or program.dtype(x),
        time=time,
        batch=batch,
        node=node,
        states=tuple(s for s in states if s is not None),
        lasts=tuple(_padded(last, states)),
        source=x,
        axes=(1, 0) if batch_first else (0, 1),
    )


def layer_arguments(node: Node) -> dict[str, Any]:
    """The arguments of a PyTorch layer by name; those of a packed one have `batch_sizes`."""
    packed = node.attributes.get("overload") == "data" or (
        "overload" not in node.attributes and isinstance(node.arg(3), list)
    )
    names = PACKED if packed else PADDED
    return dict(zip(names, node.args, strict=False)) | {
        k: v for k, v in node.attributes.items() if k in names
    }


def _layer(flow: Flow, node: Node) -> FoundRecurrence:
    given = layer_arguments(node)
    program, kind = flow.program, (FUSED | QUANTISED)[node.op]
    packed = "batch_sizes" in given
    x = given.get("data") if packed else given.get("input")
    hx = given.get("hx")
    listed = given.get("params")
    params: list[Any] = listed if isinstance(listed, list) else []
    w, r = (program.shape(p) for p in (*params, None, None)[:2])
    time, batch = (None, None) if packed else sizes(program, x, bool(given.get("batch_first")))
    rows = _number(r, 0)
    return FoundRecurrence(
        place=node.name,
        representation="fused",
        kind=kind,
        note="quantised" if node.op in QUANTISED else "",
        input_size=_number(w, 1),
        hidden_size=rows // GATES[kind] if rows else None,
        num_layers=int(given.get("num_layers") or 1),
        direction=_way(flow, "bidirectional" if given.get("bidirectional") else "forward", x),
        state_in=state_in(flow, hx),
        state_out=state_out(flow, node.outputs[1:]),
        lengths=packed,
        dtype=program.dtype(params[0]) if params else program.dtype(x),
        time=time,
        batch=batch,
        node=node,
        states=tuple(hx) if isinstance(hx, list) else (hx,),
        lasts=tuple(node.outputs[1:]),
        source=x,
        axes=(1, 0) if given.get("batch_first") else (0, 1),
    )


def _way(flow: Flow, own: str, x: Any) -> str:
    """The way along the sequence, which may have been turned around."""
    return own if own == "bidirectional" else direction(own == "reverse", is_turned(flow, x))


def _cell(flow: Flow, node: Node) -> FoundRecurrence:
    """`lstm_cell(input, [h, c], w_ih, w_hh, ...)`; the loop, if there is one, is around it."""
    program, kind = flow.program, CELLS[node.op]
    w, r = program.shape(node.arg(2)), program.shape(node.arg(3))
    hx = node.arg(1)
    shape = program.shape(node.arg(0))
    return FoundRecurrence(
        place=node.name,
        representation="step",
        kind=kind,
        input_size=_number(w, 1),
        hidden_size=_number(r, 1),
        state_in=state_in(flow, hx),
        state_out=state_out(flow, node.outputs),
        dtype=program.dtype(node.arg(2)),
        time=1,
        batch=shape[0] if shape else None,
        node=node,
        states=tuple(hx) if isinstance(hx, list) else (hx,),
        lasts=node.outputs,
        source=node.arg(0),
    )


def sizes(program: Program, x: Any, batch_first: bool) -> tuple[Dim, Dim]:
    """(time, batch) of a sequence."""
    shape = program.shape(x) if isinstance(x, Ref) else None
    if shape is None or len(shape) != 3:
        return None, None
    return (shape[1], shape[0]) if batch_first else (shape[0], shape[1])


def _padded(last: tuple[str, ...], states: tuple[Any, ...]) -> Iterator[str]:
    """The last value of each state that is given; empty where the file gives it no name."""
    for place, state in enumerate(states):
        if state is not None:
            yield last[place] if place < len(last) else ""


def _number(shape: tuple[Dim, ...] | None, place: int) -> int | None:
    size = shape[place] if shape and len(shape) > place else None
    return size if isinstance(size, int) else None

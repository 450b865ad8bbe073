"""The batch of the example input became a constant: of an initial state, or on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rnnbench.inspection.axes.follow import Axis, follow, open_axes, reaches
from rnnbench.inspection.axes.frozen import frozen_by
from rnnbench.inspection.axes.place import Place
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.numbers import known_shape
from rnnbench.inspection.program import Ref
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "error"
REMEDY = (
    "declare the batch dimension of every state dynamic, and make zeros from the size of the input"
)


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    axes = [axis for axis in open_axes(flow, recurrences) if axis.role == "batch"]
    for r in recurrences:
        size = batch_of_state(flow, r)
        if size is not None and _is_open(flow, r, axes):
            yield r.place, f"its initial state has batch {size}, its input any", ""
    for axis in axes:
        for where, what in frozen_by(axis, recurrences):
            yield where, what, ""
        for use in axis.uses:
            if use.kind == "joined" and use.node is not None:
                start = Place(Ref(use.node.outputs[0]), use.place.axis, use.place.rank)
                if any(u.kind == "batch" for u in follow(flow, start, recurrences)):
                    yield use.node.name, f"puts the rows of {axis.name} behind one another", ""


def batch_of_state(flow: Flow, r: FoundRecurrence) -> int | None:
    """The batch of an initial state that is a number; a loop's may be 1 for all rows."""
    if r.representation == "fused":
        place = 0 if r.axes == (1, 0) and flow.program.format == "onnx" else 1
        sizes = [_size(flow, state, 3, place) for state in r.states]
    elif r.representation in ("scan", "while", "unrolled"):
        # A Scan's state keeps its shape; of others 1 stands for all rows.
        least = 1 if r.representation == "scan" else 2
        states = [s for i, s in enumerate(r.states) if _has_rows(flow, r, i)]
        sizes = [n for n in (_size(flow, s, 2, 0) for s in states) if n is None or n >= least]
    else:
        return None
    return next((n for n in sizes if n is not None), None)


def _size(flow: Flow, value: Any, rank: int, axis: int) -> int | None:
    shape = known_shape(flow, value) or ()
    size = shape[axis] if len(shape) == rank else None
    return size if isinstance(size, int) else None


def _has_rows(flow: Flow, r: FoundRecurrence, place: int) -> bool:
    """Whether the batch of the sequence is the first dimension of what a state becomes."""
    if r.node is None or not r.node.slices or len(r.node.carried) <= place:
        return r.representation == "unrolled"
    if r.node.attributes.get("batched"):
        return True
    states = [c for c in r.node.carried if c.first == r.states[place]]
    time, batch = r.axes
    for outer, inner in r.node.slices:
        rank = len(flow.program.shape(outer) or ()) - 1
        start = Place(Ref(inner), batch - (time < batch), rank)
        if rank > 0 and any(reaches(flow, start, str(c.next), 0) for c in states):
            return True
    return False


def _is_open(flow: Flow, r: FoundRecurrence, axes: list[Axis]) -> bool:
    """Whether its input has any batch: a file says so, or, as TorchScript, says no sizes at all."""
    if r.batch is not None:
        return isinstance(r.batch, str)
    if all(port.shape is None for port in flow.program.inputs):
        return not _has_one_row(flow, r)
    leads = (use for axis in axes for use in axis.uses if use.kind == "batch")
    return any(use.node is r.node for use in leads)


def _has_one_row(flow: Flow, r: FoundRecurrence) -> bool:
    """Whether the module itself may have given its input that batch."""
    value = r.source
    while isinstance(value, Ref):
        value = flow.chosen.get(value, value)
        nodes = flow.makers.get(value, [])
        if not nodes:
            return False
        if len(nodes) != 1 or nodes[0].op not in _KEEPS:
            return True
        value = nodes[0].args[0] if nodes[0].args else None
    return True


_KEEPS = (
    *("aten.transpose", "aten.permute", "aten.contiguous", "aten.dropout", "aten.relu"),
    *("aten.linear", "aten.embedding", "aten.layer_norm", "aten.to"),
)

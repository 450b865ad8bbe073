"""The batch of the example input became a constant: of an initial state, or on the way."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.axes.follow import Axis, follow, open_axes
from rnnbench.inspection.axes.frozen import frozen_by
from rnnbench.inspection.axes.place import Place
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
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
        size = _state_batch(flow, r)
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


def _state_batch(flow: Flow, r: FoundRecurrence) -> int | None:
    """The batch of an initial state that is a number; a loop's may be 1 for all rows."""
    fused = r.representation == "fused"
    for state in () if r.representation == "step" else r.states:
        shape = flow.program.shape(state) or ()
        place = (0 if r.axes == (1, 0) and flow.program.format == "onnx" else 1) if fused else 0
        size = shape[place] if len(shape) == (3 if fused else 2) else None
        if isinstance(size, int) and (fused or size > 1):
            return size
    return None


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

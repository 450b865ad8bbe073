"""Nodes after which a dimension has another place."""

from __future__ import annotations

from rnnbench.inspection.axes.place import WHOLE, Place, Step, on
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.numbers import vector
from rnnbench.inspection.program import Node


def transpose(flow: Flow, node: Node, place: Place) -> Step:
    """In another order."""
    order = node.attributes.get("perm")
    if node.op == "aten.permute":
        order = node.arg(1, "dims")
    if node.op in ("aten.transpose", "aten.t"):
        a, b = (node.arg(1), node.arg(2)) if node.op == "aten.transpose" else (0, 1)
        if not isinstance(a, int) or not isinstance(b, int):
            return Step([WHOLE])
        order = list(range(place.rank))
        a, b = a % place.rank, b % place.rank
        order[a], order[b] = order[b], order[a]
    if order is None and node.op == "Transpose":
        order = list(range(place.rank))[::-1]
    if not isinstance(order, list) or any(not isinstance(i, int) for i in order):
        return Step([WHOLE])
    order = [i % place.rank for i in order]
    return Step([], on(node, order.index(place.axis), place.rank))


def _axes(flow: Flow, node: Node) -> list[int] | None:
    given = node.attributes.get("axes", node.arg(1, "dim"))
    found = vector(flow, given) if given is not None else None
    return None if found is None or None in found else [int(n or 0) for n in found]


def squeeze(flow: Flow, node: Node, place: Place) -> Step:
    """Without some dimensions, which must be 1."""
    axes = _axes(flow, node)
    if axes is None:
        return Step([WHOLE])
    gone = {a % place.rank for a in axes}
    if place.axis in gone:
        # PyTorch's leaves a size that is not 1 as it is.
        return Step([WHOLE] if node.op.startswith("aten.") else [("fixed", (1,))])
    axis = place.axis - sum(1 for a in gone if a < place.axis)
    return Step([], on(node, axis, place.rank - len(gone)))


def unsqueeze(flow: Flow, node: Node, place: Place) -> Step:
    """With new dimensions of 1."""
    axes = _axes(flow, node)
    if axes is None:
        return Step([WHOLE])
    rank = place.rank + len(axes)
    new = {a % rank for a in axes}
    kept = [i for i in range(rank) if i not in new]
    return Step([], on(node, kept[place.axis], rank))


def expand(flow: Flow, node: Node, place: Place) -> Step:
    """Sizes are aligned at their ends; a number fixes a dimension that is not 1."""
    target = vector(flow, node.arg(1, "size"))
    if target is None:
        return Step([WHOLE])
    rank = max(place.rank, len(target))
    end = place.rank - place.axis
    size = target[-end] if len(target) >= end else 1
    if size is not None and size > 1:
        return Step([("fixed", (size,))], on(node, rank - end, rank))
    return Step([], on(node, rank - end, rank))

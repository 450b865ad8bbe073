"""Nodes that keep a dimension, or read all of it."""

from __future__ import annotations

from typing import Any

from rnnbench.inspection.axes.place import WHOLE, Place, Step, on
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.numbers import known_shape, vector
from rnnbench.inspection.operators import BROADCAST
from rnnbench.inspection.program import Node, Ref

_SAME_SIZES = (
    *("Cast", "Identity", "Not", "aten.to", "aten._to_copy", "aten.clone", "aten.logical_not"),
)


def same(flow: Flow, node: Node, place: Place) -> Step:
    """It is in every result as it was."""
    return Step([], on(node, place.axis, place.rank, len(node.outputs)))


def first(flow: Flow, node: Node, place: Place) -> Step:
    """It is in the first result, and the others have a number for all of it."""
    return Step([WHOLE], on(node, place.axis, place.rank))


def nothing(flow: Flow, node: Node, place: Place) -> Step:
    """It reads the size alone."""
    return Step()


def changed(flow: Flow, node: Node, place: Place) -> Step:
    """Its results have one of another length, each place of which is made of a few nearby."""
    return Step([], on(node, place.axis, place.rank), changed=True)


def mixed(flow: Flow, node: Node, place: Place) -> Step:
    """A place of its results may be made of any that it reads."""
    return Step([WHOLE], on(node, place.axis, place.rank), changed=True)


def turned(flow: Flow, node: Node, place: Place) -> Step:
    """Some dimensions are turned round, so that a place is counted from the end."""
    axes = vector(flow, node.arg(1, "dims"))
    if axes is None or None in axes:
        return mixed(flow, node, place)
    about = place.axis in [int(a or 0) % place.rank for a in axes]
    return Step([], on(node, place.axis, place.rank), turned=about)


def convolution(flow: Flow, node: Node, place: Place) -> Step:
    """Rows stay rows; along the other dimensions the results are of other lengths."""
    if node.args[0] != place.value or place.axis == 1:
        return Step([WHOLE])
    return (same if place.axis == 0 else changed)(flow, node, place)


def elementwise(flow: Flow, node: Node, place: Place) -> Step:
    """Sizes are aligned at their ends; a constant of another size than 1 fixes the dimension."""
    others = [a for a in node.refs if a != place.value]
    shapes = [flow.program.shape(o) for o in others]
    if any(shape is None for shape in shapes):
        return Step([WHOLE])
    rank = max([place.rank, *(len(shape or ()) for shape in shapes)])
    end = place.rank - place.axis
    size = max((constant_size(flow, other, end) for other in others), default=1)
    if size > 1:
        return Step([("fixed", (size,))], on(node, rank - end, rank))
    return Step([], on(node, rank - end, rank))


def constant_size(flow: Flow, value: Any, end: int, deepest: int = 8) -> int:
    """The size that a constant gives a dimension of a value, counted from its end; 1 where none.

    In a mask `arange(7) < lengths[:, None]` that is 7 of the last one, whatever the lengths are.
    """
    if not isinstance(value, Ref) or deepest <= 0:
        return 1
    shape = flow.program.shape(value) or ()
    if flow.constant_only(value):
        size = shape[-end] if len(shape) >= end else 1
        return size if isinstance(size, int) else 1
    makers = flow.makers.get(value, [])
    parts: list[Any] = []
    if len(makers) == 1 and makers[0].op in (*BROADCAST, *_SAME_SIZES):
        parts = makers[0].refs
    elif len(makers) == 1 and makers[0].op in ("Unsqueeze", "aten.unsqueeze"):
        parts, end = _before(flow, makers[0], len(shape), end)
    return max((constant_size(flow, part, end, deepest - 1) for part in parts), default=1)


def _before(flow: Flow, node: Node, rank: int, end: int) -> tuple[list[Any], int]:
    """What got another dimension, if not this one, and where this one, from the end, was in it."""
    axes = vector(flow, node.attributes.get("axes") or node.arg(1, "dim"))
    axis = axes[0] if axes and len(axes) == 1 else None
    if axis is None or (axis >= 0 and not rank):
        return [], end
    new = -axis if axis < 0 else rank - axis
    return ([], end) if end == new else ([node.args[0]], end - (end > new))


def product(flow: Flow, node: Node, place: Place) -> Step:
    """`a @ b`: the last of a and the last but one of b are summed over."""
    first = node.args[0] == place.value and node.op != "aten.addmm"
    if not first or place.axis == place.rank - 1 or node.attributes.get("transA"):
        return Step([WHOLE])
    other = flow.program.shape(node.arg(1))
    if other is not None and len(other) > 2 and len(other) != place.rank:
        return Step([WHOLE])
    return Step([], on(node, place.axis, place.rank))


def over_axis(flow: Flow, node: Node, place: Place) -> Step:
    """A norm, a softmax, a running sum: along one dimension, which is the last unless it says."""
    axis = node.attributes.get("axis", node.attributes.get("dim", -1))
    axis = axis if isinstance(axis, int) else -1
    along = (
        place.axis >= axis % place.rank
        if node.op == "LayerNormalization"
        else (place.axis == axis % place.rank)
    )
    return (mixed if along else same)(flow, node, place)


def join(flow: Flow, node: Node, place: Place) -> Step:
    """Put together with others, along this dimension or another, which a constant then fixes."""
    torch = node.op.startswith("aten.")
    axis = int(node.arg(1, "dim", 0) or 0) if torch else int(node.attributes.get("axis") or 0)
    if axis % place.rank == place.axis:
        return Step([WHOLE], on(node, place.axis, place.rank), changed=True, joined=True)
    for other in node.refs:
        shape = known_shape(flow, other) or ()
        size = shape[place.axis] if len(shape) == place.rank else None
        if isinstance(size, int) and {kind for kind, _ in flow.origins(other)} == {"constant"}:
            return Step([("fixed", (size,))], on(node, place.axis, place.rank))
    return same(flow, node, place)


def reduce(flow: Flow, node: Node, place: Place) -> Step:
    """A sum or a mean along some dimensions."""
    given = node.attributes.get("axes")
    axes = given if isinstance(given, list) else vector(flow, node.arg(1, "dim"))
    if not axes or None in axes:
        return Step([WHOLE])
    gone = {int(a or 0) % place.rank for a in axes}
    if place.axis in gone:
        return Step([WHOLE])
    torch = node.op.startswith("aten.")
    keeps = node.arg(2, "keepdim", False) if torch else node.attributes.get("keepdims", 1)
    if keeps:
        return same(flow, node, place)
    axis = place.axis - sum(1 for a in gone if a < place.axis)
    return Step([], on(node, axis, place.rank - len(gone)))

"""Nodes that keep a dimension, or read all of it."""

from __future__ import annotations

from rnnbench.inspection.axes.place import WHOLE, Place, Step, on
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.numbers import known_shape, vector
from rnnbench.inspection.program import Node


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
    for other, shape in zip(others, shapes, strict=True):
        size = shape[-end] if shape and len(shape) >= end else 1
        if isinstance(size, int) and size > 1 and flow.constant_only(other):
            return Step([("fixed", (size,))], on(node, rank - end, rank))
    return Step([], on(node, rank - end, rank))


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

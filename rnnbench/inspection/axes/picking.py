"""Nodes that take a part of a dimension."""

from __future__ import annotations

from typing import Any

from rnnbench.inspection.axes.keeping import changed, mixed, same
from rnnbench.inspection.axes.place import WHOLE, Place, Step, on
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.numbers import fixed_numbers, vector
from rnnbench.inspection.program import Node, Ref

_OPEN_END = 2**31 - 1  # and beyond: to the end
_MOST_PLACES = 1024


def _places(numbers: list[int]) -> Step:
    return Step([("places", tuple(numbers[:_MOST_PLACES]))])


def gather(flow: Flow, node: Node, place: Place) -> Step:
    """Places along a dimension, or rows of a table."""
    axis = node.attributes.get("axis", 0)
    if node.op == "aten.index_select":
        axis = node.arg(1)
    at = node.arg(2 if node.op == "aten.index_select" else 1, "index")
    indices = flow.program.shape(at)
    if at == place.value:  # a place in a table for each: an embedding
        table = flow.program.shape(node.args[0])
        if table is None or not flow.constant_only(node.args[0]):
            return Step([WHOLE])
        return Step([], on(node, place.axis + axis % len(table), place.rank + len(table) - 1))
    axis = axis % place.rank
    if axis != place.axis:
        count = 1 if node.op == "aten.index_select" else len(indices) if indices is not None else -1
        if count < 0:
            return Step([WHOLE])
        shift = count - 1 if place.axis > axis else 0
        return Step([], on(node, place.axis + shift, place.rank + count - 1))
    found = vector(flow, at)
    if not found or None in found:
        return Step([WHOLE])
    numbers = [int(n or 0) for n in found]
    return _places(numbers)


def gather_elements(flow: Flow, node: Node, place: Place) -> Step:
    """One element for each of the indices: constant ones have a fixed place and number."""
    torch = node.op.startswith("aten.")
    axis = node.arg(1) if torch else node.attributes.get("axis", 0)
    at = node.arg(2 if torch else 1, "index")
    if node.args[0] != place.value or not isinstance(axis, int):
        return Step([WHOLE])
    if axis % place.rank == place.axis:
        found = fixed_numbers(flow, at)
        if not found or not all(float(n).is_integer() and n >= 0 for n in found):
            return Step([WHOLE])
        return _places(sorted({int(n) for n in found}))
    shape = flow.program.shape(at)
    size = shape[place.axis] if shape and len(shape) == place.rank else None
    if isinstance(size, int) and flow.constant_only(at):
        return Step([("cut", (0, size))])
    return same(flow, node, place)


def gather_nd(flow: Flow, node: Node, place: Place) -> Step:
    """Elements at (place, place ...), one row of the indices for each; whole rows of the rest."""
    width = (flow.program.shape(node.args[1]) or (None,))[-1]
    found = vector(flow, node.args[1]) if node.args[0] == place.value else None
    if not found or None in found or node.attributes.get("batch_dims"):
        return Step([WHOLE])
    if not isinstance(width, int) or place.axis >= width:
        return Step([WHOLE])
    return _places([int(n or 0) for n in found[place.axis :: width]])


def index(flow: Flow, node: Node, place: Place) -> Step:
    """`x[i, j]`: a tensor of places for each of the first dimensions, or None for all of one."""
    given = node.arg(1, "indices")
    if node.args[0] != place.value or not isinstance(given, list) or place.axis >= len(given):
        return Step([WHOLE])
    found = vector(flow, given[place.axis]) if given[place.axis] is not None else None
    if not found or None in found or len(found) < 1:
        return Step([WHOLE])
    return _places([int(n or 0) for n in found])


def embedding(flow: Flow, node: Node, place: Place) -> Step:
    """A row of a table for each number."""
    if node.args[0] == place.value:
        return Step([WHOLE])
    return Step([], on(node, place.axis, place.rank + 1))


def select(flow: Flow, node: Node, place: Place) -> Step:
    """One place, counted from the start or, below 0, from the end."""
    axis, at = node.arg(1, "dim"), node.arg(2, "index")
    if not isinstance(axis, int):
        return Step([WHOLE])
    axis = axis % place.rank
    if axis == place.axis:
        whole = isinstance(at, bool) or not isinstance(at, int)
        return Step([WHOLE]) if whole else _places([at])
    return Step([], on(node, place.axis - (axis < place.axis), place.rank - 1))


def slice_(flow: Flow, node: Node, place: Place) -> Step:
    """Old ONNX has its numbers in attributes, newer in inputs; PyTorch has one dimension."""
    if node.op == "aten.slice":
        given = [node.arg(1, "dim", 0)], [node.arg(2, "start")], [node.arg(3, "end")]
        axes, starts, ends = (
            [default if v is None else v for v in values]
            for values, default in zip(given, (0, 0, _OPEN_END), strict=True)
        )
        steps = [node.arg(4, "step", 1)]
        if any(isinstance(v, Ref) for v in axes):
            return Step([WHOLE])
    elif "starts" in node.attributes:
        starts, ends = node.attributes["starts"], node.attributes["ends"]
        steps = [1] * len(starts)
        axes = node.attributes.get("axes") or list(range(len(starts)))
    else:
        found = [vector(flow, node.arg(i)) if node.arg(i) is not None else None for i in range(5)]
        starts, ends = found[1] or [], found[2] or []
        steps = [1] * len(starts) if node.arg(4) is None else found[4] or []
        axes = found[3] or list(range(len(starts)))
        if node.arg(3) is not None and (found[3] is None or None in axes):
            return Step([WHOLE])
    places = [int(a) % place.rank for a in axes]
    if place.axis not in places:
        return same(flow, node, place)
    i = places.index(place.axis)
    numbers: list[Any] = [v[i] if i < len(v) else None for v in (starts, ends, steps)]
    if any(isinstance(n, bool) or not isinstance(n, int) for n in numbers):
        return mixed(flow, node, place)
    return _stretch(flow, node, place, *numbers)


def _stretch(flow: Flow, node: Node, place: Place, begin: int, end: int, by: int) -> Step:
    """From a place to another, in steps."""
    kept = on(node, place.axis, place.rank)
    if (begin, by) == (-1, -1) and end <= -_OPEN_END:
        return Step([], kept, turned=True)
    if begin >= 0 and end >= _OPEN_END and by > 0:
        return Step([("rest", (begin,))], kept, changed=begin > 0 or by > 1)
    if begin >= 0 and end < 0 and by > 0:
        return changed(flow, node, place)
    if begin < 0 or end < 0 or by < 0:  # counted from the end
        last = begin == -1 and end >= _OPEN_END
        return _places([begin]) if last else mixed(flow, node, place)
    if end <= begin + 1:
        return _places([begin])
    return Step([("cut", (begin, end))], kept)


def split(flow: Flow, node: Node, place: Place) -> Step:
    """Parts of given sizes, which then are all that there is, or equal ones."""
    torch = node.op.startswith("aten.")
    axis = node.arg(2, "dim", 0) if torch else node.attributes.get("axis", 0)
    if not isinstance(axis, int):
        return Step([WHOLE])
    if axis % place.rank != place.axis:
        return same(flow, node, place)
    sizes = node.attributes.get("split", node.arg(1))
    found = vector(flow, sizes) if sizes is not None and not isinstance(sizes, int) else None
    if found and None not in found and len(found) == len(node.outputs):
        return Step([("fixed", (sum(int(n or 0) for n in found),))])
    return Step([WHOLE])


def unbind(flow: Flow, node: Node, place: Place) -> Step:
    """Each place by itself: as many as the example had."""
    axis = node.arg(1, "dim", 0)
    if not isinstance(axis, int):
        return Step([WHOLE])
    axis = axis % place.rank
    if axis == place.axis:
        count = len(node.outputs)
        return Step([("fixed", (count,))] if count > 1 else [WHOLE])
    return Step([], on(node, place.axis - (axis < place.axis), place.rank - 1, len(node.outputs)))

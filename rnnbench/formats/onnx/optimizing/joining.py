"""Places of a sequence that are put together again are the sequence.

Gather(0), Gather(1), ... of y -> Unsqueeze -> Concat   becomes   y, its time moved there
"""

from __future__ import annotations

from typing import Any

from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.algebra.layouts import Layouts
from rnnbench.formats.onnx.optimizing.algebra.views import View
from rnnbench.formats.onnx.optimizing.building import Builder, Label
from rnnbench.formats.onnx.optimizing.graph import Graph, attribute, is_standard

Column = tuple[str, ...]
"""The same value of each step, in the order of the steps."""


def joins(graph: Graph, counts: set[int]) -> list[Column]:
    """What is put together by Concats of so many values."""
    layouts = Layouts(graph, Constants(graph))
    found = []
    for node in graph.nodes:
        if is_standard(node, "Concat") and len(node.input) in counts:
            views = [layouts.view(i) for i in node.input]
            column = tuple(v.root for v in views if v is not None)
            if len(set(column)) == len(node.input):
                found.append(column)
    return found


def join_columns(graph: Graph, counts: set[int]) -> int:
    """Concats of all places of a sequence, one after another, are the sequence; how many.

    Gather(0), Gather(1), ... of y -> Unsqueeze -> Concat   becomes   y, its time moved there
    """
    constants = Constants(graph)
    layouts = Layouts(graph, constants)
    joined, suspects = [], []
    for node in graph.nodes:
        if not is_standard(node, "Concat") or len(node.input) not in counts:
            continue
        found = _joined_view(layouts, node)
        if found is None:
            continue
        view, time, backwards = found
        rank = graph.rank(view.root) or 0
        build = Builder(graph, node, node.name or node.output[0])
        value, have = view.root, [*range(rank)]
        for other, place in reversed(view.fixed):
            if other != time:
                value = build.gather(value, other, place)
                have.remove(other)
        if backwards:
            value = build.slice(value, have.index(time), -1, -(2**63) + 1, -1)
        axis = attribute(node, "axis", 0) % len(view.axes)
        want: list[Label] = [None if a is None else str(a) for a in view.axes]
        want[axis] = str(time)
        build.arrange(value, [str(a) for a in have], want, node.output[0])
        joined.append(node.output[0])
        suspects += list(node.input)
    if joined:
        graph.drop(joined)
        graph.commit()
        graph.sweep(suspects)
    return len(joined)


def _joined_view(layouts: Layouts, node: Any) -> tuple[View, int, bool] | None:
    """The sequence that a Concat puts together again, along which axis, and whether turned."""
    views = [layouts.view(i) for i in node.input]
    found = [v for v in views if v is not None]
    if len(found) < len(views) or len({(v.root, v.axes, v.flipped) for v in found}) != 1:
        return None
    axis = attribute(node, "axis", 0) % len(found[0].axes)
    moving = {a for v in found for a, _ in {*v.fixed} ^ {*found[0].fixed}}
    along, shape = found[0].axes[axis], layouts.graph.shape(found[0].root) or ()
    single = along is None or shape[along] == 1
    if not single or found[0].flipped or len(moving) != 1:
        return None
    (time,) = moving
    direction = direction_of([dict(v.fixed)[time] for v in found])
    size = (layouts.graph.shape(found[0].root) or ())[time]
    if direction is None or (isinstance(size, int) and size != len(found)):
        return None
    return found[0], time, direction


def direction_of(places: list[int]) -> bool | None:
    """Whether places go from the last to the first; None: they are not one after another.

    A last state is counted from the end: -1, or 0 where steps run backwards.
    """
    count = len(places)
    if places[0] >= 0 and places[-1] == -1:
        places = [*places[:-1], count - 1]
    elif places[0] < 0 and places[-1] == 0:
        places = [*places[:-1], -count]
    forwards = [*range(count)]
    from_the_end = [-1 - p for p in forwards]
    if places in (forwards, from_the_end[::-1]):
        return False
    return True if places in (forwards[::-1], from_the_end) else None

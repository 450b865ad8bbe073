"""A batch or a length that the file has written down is open again, where it is right then.

x (6, 2, 40) -> LSTM -> Transpose -> Reshape(6, 2, -1)
x (time, batch, 40) -> LSTM -> Transpose -> Reshape(0, 0, -1)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.algebra.layouts import Layouts
from rnnbench.formats.onnx.optimizing.findings import Finding, Outcome
from rnnbench.formats.onnx.optimizing.graph import Graph, attribute, is_standard, reads
from rnnbench.formats.onnx.optimizing.open_sizes import Opened, prove_batch, prove_length
from rnnbench.formats.onnx.optimizing.proving import Proof
from rnnbench.formats.onnx.optimizing.shapes import forget_sizes

ORDER = 60
_LAYERS = ("RNN", "GRU", "LSTM")
_STATES = (5, 6)
_FARTHEST = 64  # nodes between an input and a layer
_TIME, _BATCH = 0, 1  # axes of what a layer is fed


def find(graph: Graph, skip: frozenset[str], keep: frozenset[str]) -> Outcome:
    """The sizes of inputs that layers are fed, and start from."""
    found = Outcome()
    layers = [n for n in graph.nodes if is_standard(n, *_LAYERS)]
    if not layers or graph.model is None or graph.model.functions:
        return found
    opened = [o for o in (_sizes(graph, layers, what) for what in ("batch", "time")) if o]
    for each in opened:
        if each.name in skip:
            continue
        model = _open(graph, each)
        proof = _proof(graph, model, layers, each)
        what = f"a {each.name} of {each.size}, written down"
        if proof.ok:
            _apply(graph, each)
            graph.model = model
            note = "any batch" if each.name.startswith("batch") else "any length"
            found.findings.append(Finding(each.name, what, True, note, str(proof)))
        else:
            found.findings.append(Finding(each.name, what, False, str(proof)))
    return found


def _proof(graph: Graph, model: Any, layers: list[Any], each: Opened) -> Proof:
    if each.name.startswith("batch"):
        return prove_batch(graph, model, each)
    if any(attribute(n, "direction", "forward") != "forward" for n in layers):
        return Proof(0, 0.0, "it runs backwards as well, so that no beginning can be compared")
    return prove_length(graph, model, each, _of_last_states(graph, layers))


def _sizes(graph: Graph, layers: list[Any], what: str) -> Opened | None:
    """Where the batch or the length of the layers is a number of inputs."""
    layouts = Layouts(graph, Constants(graph))
    found: dict[str, int] = {}
    for node in layers:
        if attribute(node, "layout", 0):
            return None
        places = [(0, _BATCH if what == "batch" else _TIME)]
        if what == "batch":
            places += [(p, 1) for p in _STATES if len(node.input) > p and node.input[p]]
        for place, axis in places:
            behind = _behind(graph, layouts, node.input[place], axis)
            if behind is not None:
                found[behind[0]] = behind[1]
    sizes = {(graph.shape(n) or ())[axis] for n, axis in found.items()}
    if len(sizes) != 1:
        return None
    (size,) = sizes
    if not isinstance(size, int):
        return None
    return Opened(_name(graph, what), size, found)


def _behind(graph: Graph, layouts: Layouts, name: str, axis: int) -> tuple[str, int] | None:
    """The input, and the axis of it, that an axis of a value is of: through what keeps it."""
    for _ in range(_FARTHEST):
        view = layouts.view(name)
        own = view.axes[axis] if view is not None else None
        if view is None or own is None or view.root in graph.inputs:
            return None if view is None or own is None else (view.root, own)
        node, shape = graph.makers.get(view.root), graph.shape(view.root) or ()
        given = [i for i in node.input if i and not graph.is_constant(i)] if node else []
        same = [
            i for i in given if len(graph.shape(i) or ()) == len(shape) and own < len(shape) - 1
        ]
        kept = [i for i in same if (graph.shape(i) or ())[own] == shape[own]]
        if not kept:
            return None
        name, axis = kept[0], own
    return None


def _name(graph: Graph, what: str) -> str:
    known = {n for name in graph.inputs for n in graph.shape(name) or () if isinstance(n, str)}
    name, n = what, 1
    while name in known:
        n += 1
        name = f"{what}_{n}"
    return name


def _open(graph: Graph, each: Opened) -> Any:
    """The file with a name in the place of a size."""
    model = type(graph.model)()
    model.CopyFrom(graph.model)
    graph_of_copy = Graph(model.graph, graph.opset, graph.folder)
    graph_of_copy.shapes |= graph.shapes
    _apply(graph_of_copy, each)
    graph_of_copy.write_back()
    return model


def _apply(graph: Graph, each: Opened) -> None:
    for node in graph.nodes:
        if is_standard(node, "Reshape") and not attribute(node, "allowzero", 0):
            _copy_sizes(graph, node, each.size)
    for value in graph.proto.input:
        if value.name in each.axes:
            dim = value.type.tensor_type.shape.dim[each.axes[value.name]]
            dim.Clear()
            dim.dim_param = each.name
    forget_sizes(graph.proto)


def _copy_sizes(graph: Graph, node: Any, size: int) -> None:
    """Sizes that a Reshape leaves as they are it copies, whatever they are."""
    target, shape = graph.numbers(node.input[1]), graph.shape(node.input[0])
    if target is None or shape is None or size not in target:
        return
    same = 0
    while same < min(len(target), len(shape)) and target[same] in (shape[same], 0):
        same += 1
    made = [*[0] * same, *target[same:]]
    if size in made and -1 not in made:
        made[made.index(size)] = -1
    if made != target:
        stem = f"{node.name or node.output[0]}/sizes"
        node.input[1] = graph.constant(stem, np.array(made, np.int64))


def _of_last_states(graph: Graph, layers: list[Any]) -> list[str]:
    """Outputs that the sequence reaches through last states alone, which have no time."""
    timed: set[str] = {*graph.inputs}
    layouts = Layouts(graph, Constants(graph))
    steps = {o for n in layers for o in n.output[:1] if o}
    for node in graph.nodes:
        if any(name in timed for name in reads(node)):
            is_layer = is_standard(node, *_LAYERS)
            made = [o for o in (node.output[:1] if is_layer else node.output) if o]
            timed |= {o for o in made if not _is_last(graph, layouts, steps, o)}
    return [name for name in graph.outputs if name not in timed]


def _is_last(graph: Graph, layouts: Layouts, steps: set[str], name: str) -> bool:
    """Whether a value is the last of a layer's steps, counted from the end or by its place."""
    view = layouts.view(name)
    if view is None or view.root not in steps:
        return False
    size = (graph.shape(view.root) or (None,))[_TIME]
    place = dict(view.fixed).get(_TIME)
    return place == -1 or (isinstance(size, int) and place == size - 1)

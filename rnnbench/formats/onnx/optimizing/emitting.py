"""Adds the fused node of a recurrence, what it is fed, and what reads its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.algebra.views import View
from rnnbench.formats.onnx.optimizing.building import Builder, Label
from rnnbench.formats.onnx.optimizing.fused import Layer, add_layer
from rnnbench.formats.onnx.optimizing.graph import Array, Graph
from rnnbench.formats.onnx.optimizing.sequences import Run, labels, sequence

Start = View | Array | None
"""A first state: a value, a vector for every row, or zeros."""

_STATE: tuple[Label, ...] = ("direction", "batch", "feature")
_BACKWARDS = (-1, -(2**63) + 1, -1)  # a Slice from the last to the first


@dataclass(frozen=True)
class Result:
    """A value of the file that the new node gives.

    Attributes:
        what: `all` (hidden states), `step` (one of them), `last` (hidden state), `cell` (state).
        output: its name.
        axes: what its axes are.
        turned: of all steps, whether they are back to front.
        place: of one step, which of the sequence's.
    """

    what: str
    output: str
    axes: tuple[Label, ...]
    turned: bool = False
    place: int = 0


@dataclass(frozen=True)
class Spec:
    """A recurrence as one node.

    Attributes:
        name: other recurrences' name for it.
        layer: its weights.
        runs: what it is fed.
        reverse: whether it runs from the last step to the first.
        step: what the axes of a state are.
        starts: the first states.
        results: the values that it gives.
        is_read: whether another recurrence is fed its hidden states.
        steps: how many it has where all that it is fed stays the same.
    """

    name: str
    layer: Layer
    runs: tuple[Run, ...]
    reverse: bool
    step: tuple[Label, ...]
    starts: tuple[Start, ...]
    results: tuple[Result, ...]
    is_read: bool = False
    steps: int = 1


def emit(build: Builder, spec: Spec, sequences: dict[str, str]) -> None:
    """Adds the nodes of a recurrence.

    Args:
        build: adds nodes.
        spec: the recurrence.
        sequences: name -> hidden states of all steps, (time, batch, feature): read and added to.
    """
    x = _fed(build, spec, sequences)
    states = [_start(build, start, x, spec.layer) for start in spec.starts]
    kinds = {r.what for r in spec.results}
    wanted = (bool(kinds & {"all", "step"}) or spec.is_read, "last" in kinds, "cell" in kinds)
    direction = "reverse" if spec.reverse else "forward"
    y, y_h, y_c = add_layer(build, [spec.layer], x, states, direction=direction, wanted=wanted)
    every: list[Label] = ["time", *_STATE]
    if spec.is_read:
        sequences[spec.name] = build.arrange(y, every, ["time", "batch", "feature"])
    turned = steps = ""
    for result in spec.results:
        if result.what == "step":
            steps = steps or build.arrange(y, every, ["time", "batch", "feature"])
            row: tuple[Label, ...] = ("batch", "feature")
            direct = result.axes == row
            one = build.gather(steps, 0, result.place, result.output if direct else "")
            if not direct:
                build.arrange(one, row, result.axes, result.output)
        elif result.what == "all":
            if result.turned:
                turned = turned or build.slice(y, 0, *_BACKWARDS)
            build.arrange(turned if result.turned else y, every, result.axes, result.output)
        else:
            value = y_h if result.what == "last" else y_c
            build.arrange(value, _STATE, result.axes, result.output)


def _fed(build: Builder, spec: Spec, sequences: Mapping[str, str]) -> str:
    """What the layer is fed, (time, batch, input)."""
    parts = [sequence(build, run, sequences) for run in spec.runs]
    moving = [i for i, r in enumerate(spec.runs) if r.time is not None or r.of]
    batched = [i for i, r in enumerate(spec.runs) if "batch" in _axes(build.graph, spec, r)]
    for i in range(len(parts)):
        if i in moving and (i in batched or not batched):
            continue
        if moving:
            time = build.size_of(parts[moving[0]], 0)
            batch = build.size_of(parts[batched[0]], 1) if batched else build.whole(1)
            sizes = build("Concat", [time, batch, build.whole(1)], axis=0)
        else:
            sizes = build.whole(spec.steps, 1, 1)
        parts[i] = build("Expand", [parts[i], sizes])
    return parts[0] if len(parts) == 1 else build("Concat", parts, axis=2)


def _axes(graph: Graph, spec: Spec, run: Run) -> list[Label]:
    return list(spec.step) if run.of else labels(graph, run.view, run.time)


def _start(build: Builder, start: Start, x: str, layer: Layer) -> str:
    """A first state, (direction, batch, hidden); empty where it is zeros."""
    if start is None:
        return ""
    if not isinstance(start, View):
        row = build.constant(start[None, None].astype(layer.r.dtype), "state")
        return _repeated(build, row, x)
    found = labels(build.graph, start, None)
    value = start.root
    shape = build.graph.shape(start.root) or ()
    for axis, place in reversed(start.fixed):
        if shape[axis] == 1 and "direction" not in found:  # the only one, as a layer has it
            found[axis] = "direction"
            continue
        value = build.gather(value, axis, place)
        del found[axis]
    value = build.arrange(value, found, _STATE)
    return value if "batch" in found else _repeated(build, value, x)


def start_of(constants: Constants, view: View) -> Start:
    """A view as a first state: a vector where it is the same for every row, whatever the batch."""
    if constants.is_zero(view.root):
        return None
    array = constants.value(view.root)
    if array is not None and view.whole:
        rows = array.reshape(-1, array.shape[-1])
        if (rows == rows[0]).all():
            return np.asarray(rows[0])
    return view


def _repeated(build: Builder, row: str, x: str) -> str:
    """A row for each row of the batch."""
    batch = build.size_of(x, 1)
    return build("Expand", [row, build("Concat", [build.whole(1), batch, build.whole(1)], axis=0)])

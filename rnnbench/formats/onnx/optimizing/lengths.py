"""Whether a layer is the steps of an unrolled loop at lengths that the given file cannot take.

There is nothing to compare with at another length, but the steps themselves: one of them is taken
out of the given file, and run again and again, on the states that it handed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.algebra.steps import Step
from rnnbench.formats.onnx.optimizing.algebra.views import View
from rnnbench.formats.onnx.optimizing.chains import Chain, Inside, inside
from rnnbench.formats.onnx.optimizing.engines import TOLERANCE, CannotRunError, Runner, distance
from rnnbench.formats.onnx.optimizing.fused import OPERATORS, Layer
from rnnbench.formats.onnx.optimizing.graph import Array, reads
from rnnbench.formats.onnx.optimizing.proving import Proof
from rnnbench.formats.onnx.optimizing.sequences import labels

_LONGEST = 48
_BATCHES = (3, 1)


def prove_lengths(forms: Forms, chain: Chain, layer: Layer, widths: list[int]) -> Proof:
    """A layer against a step of the chain that is run again and again, at several lengths."""
    step = chain.steps[min(1, len(chain.steps) - 1)]
    alone = Chain((step,))
    try:
        within = inside(forms, alone)
        run = _Step(forms, step, within, Runner(_step_model(forms, step, within), _here(forms)))
        fused = Runner(_layer_model(layer, forms.graph.opset), _here(forms))
    except CannotRunError as error:
        return Proof(0, 0.0, f"its step cannot be run by itself ({error})")
    worst, runs = 0.0, 0
    for i, length in enumerate(sorted({1, 2, 9, min(len(chain.steps), _LONGEST) + 3})):
        batch = _batch(forms, step, _BATCHES[i % len(_BATCHES)])
        generator = np.random.default_rng(i)
        x = [generator.standard_normal((length, batch, n)) for n in widths]
        states = [generator.standard_normal((batch, layer.hidden_size)) for _ in step.before]
        try:
            expected = _stepwise(run, x, states)
            given = {"x": np.concatenate(x, 2)}
            given |= {n: s[None] for n, s in zip(("h", "c"), states, strict=False)}
            found = fused(given)
        except CannotRunError as error:
            return Proof(0, 0.0, f"its step does not run ({error})")
        results = [found["y"][:, 0], *(found[n][0] for n in ("hn", "cn") if n in found)]
        worst = max([worst, *map(distance, results, expected)])
        runs += 1
    why = "" if worst <= TOLERANCE else f"as a layer it would be off by {worst:.0e}"
    return Proof(runs, worst, why)


def _here(forms: Forms) -> Path:
    return forms.graph.folder


@dataclass(frozen=True)
class _Step:
    """A step by itself.

    Attributes:
        forms: of its graph.
        step: which it is.
        within: its nodes, and what these read.
        run: the nodes; what the step is fed and starts from are inputs.
    """

    forms: Forms
    step: Step
    within: Inside
    run: Runner

    def __call__(self, x: list[Array], states: list[Array]) -> list[Array]:
        """The states behind a step; each (batch, features), as what it is fed and the states."""
        given = _Inputs(self.forms, len(states[0]))
        for number, value in zip((*self.step.before, *self.step.fed), (*states, *x), strict=True):
            given.put(self.forms.sources[number], value)
        found = self.run(given.seen_as(self.within.edges))
        return [found[name].reshape(states[0].shape) for name in self.step.after]


def _stepwise(run: _Step, x: list[Array], states: list[Array]) -> list[Array]:
    """A step again and again: the hidden states of all, and the last ones; x (time, batch, ...)."""
    hidden = []
    for t in range(len(x[0])):
        states = run([part[t] for part in x], states)
        hidden.append(states[0])
    return [np.stack(hidden), *states]


class _Inputs:
    """The arrays that a region reads, of which each view is a part."""

    def __init__(self, forms: Forms, batch: int) -> None:
        self._forms, self._batch = forms, batch
        self.arrays: dict[str, Array] = {}

    def put(self, view: View, value: Array) -> None:
        """Writes (batch, features) where a view is."""
        if view.root not in self.arrays:
            self.arrays[view.root] = np.zeros(self._shape(view, value.shape[1]))
        array = self.arrays[view.root]
        where: list[Any] = [slice(None)] * array.ndim
        for axis, place in view.fixed:
            where[axis] = place
        found = labels(self._forms.graph, view, None)
        named = [n for i, n in enumerate(found) if not isinstance(where[i], int)]
        part = value if "batch" in named else value[0]
        if named.index("feature") < len(named) - 1:
            part = part.T
        array[tuple(where)] = part.reshape(array[tuple(where)].shape)

    def seen_as(self, edges: Mapping[str, View]) -> dict[str, Array]:
        """The arrays as the steps read them."""
        return {name: _seen(self.arrays[v.root], v) for name, v in edges.items()}

    def _shape(self, view: View, width: int) -> list[int]:
        found = labels(self._forms.graph, view, None)
        known = self._forms.graph.shape(view.root) or (None,) * len(found)
        sizes = {"batch": self._batch, "feature": width}
        return [
            size if isinstance(size, int) else sizes.get(label or "", self._least(view.root, axis))
            for axis, (label, size) in enumerate(zip(found, known, strict=True))
        ]

    def _least(self, root: str, axis: int) -> int:
        """The size that an axis has at least, by the places that are read."""
        fixed = [dict(v.fixed) for v in self._forms.sources if v.root == root]
        places = [f[axis] for f in fixed if axis in f]
        return max((p + 1 if p >= 0 else -p for p in places), default=1)


def _seen(array: Array, view: View) -> Array:
    """A view of an array."""
    for axis in view.flipped:
        array = np.flip(array, axis)
    where: list[Any] = [slice(None)] * array.ndim
    for axis, place in view.fixed:
        where[axis] = place
    left = [a for a in range(array.ndim) if isinstance(where[a], slice)]
    order = [left.index(a) for a in view.axes if a is not None]
    found = array[tuple(where)].transpose(order)
    return np.expand_dims(found, tuple(i for i, a in enumerate(view.axes) if a is None))


def _batch(forms: Forms, step: Step, batch: int) -> int:
    """The rows that a step can take: a file may have written down how many."""
    for source in (*step.before, *step.fed):
        view = forms.sources[source]
        shape = forms.graph.shape(view.root) or ()
        for axis, label in enumerate(labels(forms.graph, view, None)):
            if label == "batch" and axis < len(shape) and isinstance(shape[axis], int):
                return int(shape[axis])  # type: ignore[arg-type]
    return batch


def _step_model(forms: Forms, step: Step, within: Inside) -> Any:
    """The nodes of a step as a file of their own."""
    from onnx import helper

    graph = forms.graph
    nodes = [n for n in graph.nodes if id(n) in within.nodes]
    made = {o for n in nodes for o in n.output}
    inputs = [name for name in within.edges if name not in made]
    reading = dict.fromkeys(r for n in nodes for r in reads(n))
    needed = [r for r in reading if r not in made and r not in within.edges]
    lost = [r for r in needed if not forms.constants.is_fixed(r)]
    if lost:
        raise CannotRunError(f"they read {lost[0]}")
    kind = helper.np_dtype_to_tensor_dtype(forms.matrices.dtype)
    infos = [helper.make_tensor_value_info(n, kind, None) for n in inputs]
    outputs = [helper.make_tensor_value_info(n, kind, None) for n in step.after]
    weights = [named_tensor(forms, n) for n in needed]
    return _model(helper.make_graph(nodes, "steps", infos, outputs, weights), graph.opset)


def named_tensor(forms: Forms, name: str) -> Any:
    """What is constant as an initializer of its name.

    Raises:
        CannotRunError: it cannot be worked out.
    """
    from onnx import numpy_helper

    array = forms.constants.value(name)
    if array is None:
        raise CannotRunError(f"{name} cannot be worked out")
    return numpy_helper.from_array(array, name)


def _layer_model(layer: Layer, opset: int) -> Any:
    from onnx import helper, numpy_helper

    kind = helper.np_dtype_to_tensor_dtype(layer.w.dtype)
    states = ["h", "c"] if layer.kind == "lstm" else ["h"]
    lasts = ["hn", "cn"][: len(states)]
    b = np.zeros(2 * len(layer.w), layer.w.dtype) if layer.b is None else layer.b
    weights = {"w": layer.w[None], "r": layer.r[None], "b": b[None]}
    attributes: dict[str, Any] = {"hidden_size": layer.hidden_size}
    if layer.resets_after:
        attributes["linear_before_reset"] = 1
    if layer.kind == "rnn_relu":
        attributes["activations"] = ["Relu"]
    node = helper.make_node(
        OPERATORS[layer.kind], ["x", "w", "r", "b", "", *states], ["y", *lasts], **attributes
    )
    infos = [helper.make_tensor_value_info(n, kind, None) for n in ("x", *states)]
    outputs = [helper.make_tensor_value_info(n, kind, None) for n in ("y", *lasts)]
    tensors = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    return _model(helper.make_graph([node], "layer", infos, outputs, tensors), opset)


def _model(graph: Any, opset: int) -> Any:
    from onnx import helper

    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)

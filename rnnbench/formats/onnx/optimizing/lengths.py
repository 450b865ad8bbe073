"""Whether a layer is the steps of an unrolled loop at lengths that the given file cannot take.

There is nothing to compare with at another length, but the steps themselves: some of them are
taken out of the given file, and run again and again, on states that they handed on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.algebra.layouts import View
from rnnbench.formats.onnx.optimizing.chains import Chain, inside
from rnnbench.formats.onnx.optimizing.engines import TOLERANCE, CannotRunError, Runner, distance
from rnnbench.formats.onnx.optimizing.fused import OPERATORS, Layer
from rnnbench.formats.onnx.optimizing.graph import Array, reads
from rnnbench.formats.onnx.optimizing.proving import Proof
from rnnbench.formats.onnx.optimizing.sequences import labels

_MOST_STEPS, _LONGEST = 4, 48
_BATCHES = (3, 1)


@dataclass(frozen=True)
class _Region:
    """Steps of a file by themselves.

    Attributes:
        run: the steps; what they are fed and start from are inputs.
        steps: which they are.
    """

    run: Any
    steps: Chain


def prove_lengths(forms: Forms, chain: Chain, layer: Layer, widths: list[int]) -> Proof:
    """A layer against steps of the chain, at several lengths."""
    first = 1 if len(chain.steps) > 1 else 0
    steps = Chain(chain.steps[first : first + _MOST_STEPS])
    region = replace(chain, steps=steps.steps)
    try:
        run = Runner(_region_model(forms, region), forms.graph.folder)
        fused = Runner(_layer_model(layer, forms.graph.opset), forms.graph.folder)
    except CannotRunError as error:
        return Proof(0, 0.0, f"its steps cannot be run by themselves ({error})")
    count, total = len(steps.steps), len(chain.steps)
    worst, runs = 0.0, 0
    for i, length in enumerate(sorted({1, 2, 2 * count + 1, min(total, _LONGEST) + 3})):
        batch = _batch(forms, region, _BATCHES[i % len(_BATCHES)])
        generator = np.random.default_rng(i)
        x = [generator.standard_normal((length, batch, n)) for n in widths]
        width = layer.hidden_size
        states = [generator.standard_normal((batch, width)) for _ in steps.steps[0].before]
        try:
            expected = _stepwise(forms, _Region(run, steps), x, states)
            given = {"x": np.concatenate(x, 2)}
            given |= {n: s[None] for n, s in zip(("h", "c"), states, strict=False)}
            found = fused(given)
        except CannotRunError as error:
            return Proof(0, 0.0, f"its steps do not run ({error})")
        results = [found["y"][:, 0], *(found[n][0] for n in ("hn", "cn") if n in found)]
        worst = max([worst, *map(distance, results, expected)])
        runs += 1
    why = "" if worst <= TOLERANCE else f"as a layer it would be off by {worst:.0e}"
    return Proof(runs, worst, why)


def _stepwise(forms: Forms, region: _Region, x: list[Array], states: list[Array]) -> list[Array]:
    """Steps run again and again: the hidden states of all, the last ones.

    Args:
        forms: of the graph.
        region: some steps.
        x: each (time, batch, features).
        states: each (batch, hidden).
    """
    hidden: list[Array] = []
    chain = region.steps
    length, batch = x[0].shape[:2]
    for begin in range(0, length, len(chain.steps)):
        given = _Inputs(forms, batch)
        for number, state in zip(chain.steps[0].before, states, strict=True):
            given.put(forms.sources[number], state)
        for s, step in enumerate(chain.steps):
            for part, source in zip(x, step.fed, strict=True):
                place = min(begin + s, length - 1)
                given.put(forms.sources[source], part[place])
        found = region.run(given.arrays)
        valid = chain.steps[: length - begin]
        flat = [[found[n].reshape(states[0].shape) for n in step.after] for step in valid]
        hidden += [after[0] for after in flat]
        states = flat[-1]
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


def _batch(forms: Forms, chain: Chain, batch: int) -> int:
    """The rows that the steps can take: a file may have written down how many."""
    for step in chain.steps[:1]:
        for source in (*step.before, *step.fed):
            view = forms.sources[source]
            shape = forms.graph.shape(view.root) or ()
            for axis, label in enumerate(labels(forms.graph, view, None)):
                if label == "batch" and axis < len(shape) and isinstance(shape[axis], int):
                    return int(shape[axis])  # type: ignore[arg-type]
    return batch


def _region_model(forms: Forms, chain: Chain) -> Any:
    """The nodes of some steps as a file of their own."""
    from onnx import helper

    graph = forms.graph
    within = inside(forms, chain).nodes
    nodes = [n for n in graph.nodes if id(n) in within]
    inputs = dict.fromkeys(
        forms.sources[s].root for step in chain.steps for s in (*step.fed, *chain.steps[0].before)
    )
    made = {o for n in nodes for o in n.output}
    needed = dict.fromkeys(r for n in nodes for r in reads(n) if r not in made and r not in inputs)
    kind = helper.np_dtype_to_tensor_dtype(forms.matrices.dtype)
    infos = [helper.make_tensor_value_info(n, kind, None) for n in inputs]
    outputs = [
        helper.make_tensor_value_info(n, kind, None) for step in chain.steps for n in step.after
    ]
    weights = [graph.named_tensor(n) for n in needed]
    return _model(helper.make_graph(nodes, "steps", infos, outputs, weights), graph.opset)


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

"""Two layers over one input, forwards and backwards, whose steps are joined: a bidirectional one.

x -> LSTM (forward) -> Squeeze -> Concat      x -> LSTM (bidirectional) -> Transpose -> Reshape
x -> LSTM (reverse) -> Squeeze --^        ->
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.algebra.layouts import Layouts
from rnnbench.formats.onnx.optimizing.algebra.views import View
from rnnbench.formats.onnx.optimizing.building import Builder, Label
from rnnbench.formats.onnx.optimizing.chains import gone_with
from rnnbench.formats.onnx.optimizing.findings import Finding, Outcome
from rnnbench.formats.onnx.optimizing.graph import Array, Graph, attribute, is_standard

ORDER = 50
_LAYERS = ("RNN", "GRU", "LSTM")
_X, _BIAS, _LENGTHS, _STATES = 0, 3, 4, (5, 6)
_TIME = 0  # the axis of all steps: (time, direction, batch, hidden)


@dataclass(frozen=True)
class _Pair:
    """Two layers, and what joins their steps.

    Attributes:
        forth: the layer that runs forwards.
        back: the one that runs backwards.
        join: the Concat.
        view: what it reads of the first: its axes.
    """

    forth: Any
    back: Any
    join: Any
    view: View


def find(graph: Graph, skip: frozenset[str], keep: frozenset[str]) -> Outcome:
    """Every such pair of the graph itself."""
    found, suspects = Outcome(), []
    constants = Constants(graph)
    layouts = Layouts(graph, constants)
    taken: set[int] = set()
    for node in graph.nodes:
        place = node.name or node.output[0] if node.output else ""
        pair = _pair(graph, layouts, node) if place not in skip else None
        if pair is None or {id(pair.forth), id(pair.back)} & taken:
            continue
        weights = _weights(constants, pair)
        if weights is None:
            continue
        taken |= {id(pair.forth), id(pair.back)}
        _rewrite(graph, pair, weights)
        suspects += [*node.input, *pair.forth.input, *pair.back.input]
        what = f"{pair.forth.op_type} forwards and one backwards, joined"
        found.findings.append(Finding(place, what, True, f"{pair.forth.op_type}, bidirectional"))
    if suspects:
        graph.commit()
        graph.sweep([s for s in suspects if s])
    return found


def _pair(graph: Graph, layouts: Layouts, node: Any) -> _Pair | None:
    if not is_standard(node, "Concat") or len(node.input) != 2:
        return None
    views = [layouts.view(name) for name in node.input]
    layers = [graph.makers.get(v.root) if v is not None else None for v in views]
    first, second = views
    if first is None or second is None or any(n is None for n in layers):
        return None
    forth, back = layers
    axis, rank = attribute(node, "axis", 0), len(first.axes)
    hidden = axis % rank == rank - 1 and first.axes[-1] == 3
    if not hidden or first.axes != second.axes or not _alike(graph, forth, back):
        return None
    if {*first.fixed} | {*second.fixed} != {(1, 0)} or first.flipped:
        return None
    if not _backwards(layouts, forth, back, second) or not _alone(graph, node, views):
        return None
    return _Pair(forth, back, node, first)


def _alike(graph: Graph, forth: Any, back: Any) -> bool:
    """Whether two layers may be the directions of one."""
    if not is_standard(forth, *_LAYERS) or forth.op_type != back.op_type or forth is back:
        return False
    plain = not any(_given(n, place) for n in (forth, back) for place in (_LENGTHS, 7))
    same = all(
        attribute(forth, name, default) == attribute(back, name, default)
        for name, default in (
            ("hidden_size", None),
            ("linear_before_reset", 0),
            ("activations", None),
            ("clip", None),
            ("input_forget", 0),
            ("activation_alpha", None),
            ("activation_beta", None),
        )
    )
    states = all(bool(_given(forth, p)) == bool(_given(back, p)) for p in _STATES)
    first = attribute(forth, "direction", "forward") == "forward"
    return plain and same and states and first and not attribute(forth, "layout", 0)


def _backwards(layouts: Layouts, forth: Any, back: Any, steps: View) -> bool:
    """Whether the second runs along the same input backwards, by its direction or by flips."""
    given, other = layouts.view(forth.input[_X]), layouts.view(back.input[_X])
    if given is None or other is None or given.root != other.root or given.axes != other.axes:
        return False
    if given.fixed != other.fixed:
        return False
    turned = given.flipped ^ other.flipped
    if attribute(back, "direction", "forward") == "reverse":
        return not turned and not steps.flipped
    return turned == {given.axes[_TIME]} and steps.flipped == {_TIME}


def _alone(graph: Graph, join: Any, views: list[View | None]) -> bool:
    """Whether nobody else reads the steps of either."""
    gone = gone_with(graph, {id(join)})
    roots = [v.root for v in views if v is not None]
    readers = [r for root in roots for r in graph.readers.get(root, [])]
    return all(id(r) in gone for r in readers) and not {*roots} & {*graph.outputs}


def _weights(constants: Constants, pair: _Pair) -> list[Array] | None:
    """W, R and B of both, one behind the other."""
    made: list[Array] = []
    for place in (1, 2):
        both = [constants.value(n.input[place]) for n in (pair.forth, pair.back)]
        if any(b is None for b in both) or both[0].shape != both[1].shape:  # type: ignore[union-attr]
            return None
        made.append(np.concatenate(both))  # type: ignore[arg-type]
    rows = [_given(n, _BIAS) for n in (pair.forth, pair.back)]
    if any(rows):
        known = [constants.value(r) if r else np.zeros((1, 2 * made[0].shape[1])) for r in rows]
        if any(k is None for k in known):
            return None
        made.append(np.concatenate([np.asarray(k) for k in known]).astype(made[0].dtype))
    return made


def _rewrite(graph: Graph, pair: _Pair, weights: list[Array]) -> None:
    forth, back = pair.forth, pair.back
    build = Builder(graph, forth, f"{forth.name or forth.output[0]}_both")
    names = [build.constant(w, n) for w, n in zip(weights, "WRB", strict=False)]
    inputs = [forth.input[_X], *names, *[""] * (5 - 1 - len(names))]
    for place in _STATES:
        firsts = [_given(n, place) for n in (forth, back)]
        if any(firsts):
            inputs += [""] * (place - len(inputs))
            inputs.append(build("Concat", firsts, axis=0))
    kept = {a.name: attribute(forth, a.name) for a in forth.attribute if a.name != "direction"}
    if "activations" in kept:
        kept["activations"] = [*kept["activations"], *attribute(back, "activations")]
    for name in ("activation_alpha", "activation_beta"):
        if name in kept:
            kept[name] = [*kept[name], *attribute(back, name)]
    lasts = [_read_lasts(graph, forth, i, back) for i in (1, 2)]
    wanted = ["", *("" if any(last) else None for last in lasts)]
    while wanted and wanted[-1] is None:
        wanted.pop()
    outputs = build.node(
        forth.op_type, inputs, [w or "" for w in wanted], direction="bidirectional", **kept
    )
    _join(build, pair, outputs[0])
    dropped = [pair.join.output[0]]
    for output, each in zip(outputs[1:], lasts, strict=False):
        for direction, name in enumerate(each):
            if name:
                bounds = [build.whole(n) for n in (direction, direction + 1, 0)]
                build("Slice", [output, *bounds], name)
                dropped.append(name)
    graph.drop(dropped)


def _join(build: Builder, pair: _Pair, y: str) -> None:
    """All steps, (time, direction, batch, hidden), with the directions beside the features."""
    names: dict[int | None, Label] = {0: "time", 2: "batch", 3: "feature", None: None}
    want = [names[a] for a in pair.view.axes]
    order = [*(a for a in pair.view.axes[:-1] if a is not None), 1, 3]
    value = build("Transpose", [y], perm=order)
    plain = [label for label in want if label is not None]
    direct = plain == want
    shape = [*[0] * (len(order) - 2), -1]
    joined = build("Reshape", [value, build.whole(*shape)], pair.join.output[0] if direct else "")
    if not direct:
        build.arrange(joined, plain, want, pair.join.output[0])


def _read_lasts(graph: Graph, forth: Any, place: int, back: Any) -> list[str]:
    """The last states of both that somebody reads; empty where nobody does."""
    found = []
    for node in (forth, back):
        name = node.output[place] if len(node.output) > place else ""
        is_read = name and (name in graph.outputs or bool(graph.readers.get(name)))
        found.append(name if is_read else "")
    return found


def _given(node: Any, place: int) -> str:
    return str(node.input[place]) if len(node.input) > place else ""

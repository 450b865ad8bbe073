"""Unrolled loops of a cell -> one fused node each, of any length.

x -> Gather(0) -> cell(h0) -> h1         x -> LSTM(h0) -> Squeeze -> y
x -> Gather(1) -> cell(h1) -> h2   ->                  -> Squeeze -> h of the last step
Concat(h1, h2, ...) -> y
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.building import Builder, Label
from rnnbench.formats.onnx.optimizing.chains import Chain, Inside, inside
from rnnbench.formats.onnx.optimizing.fused import OPERATORS, add_layer, layer_of
from rnnbench.formats.onnx.optimizing.graph import attribute, is_standard
from rnnbench.formats.onnx.optimizing.sequences import (
    NoSequenceError,
    Run,
    labels,
    runs,
    sequence,
)


@dataclass(frozen=True)
class Plan:
    """How a chain becomes one node.

    Attributes:
        chain: the steps.
        inside: the nodes that go.
        runs: what it is fed.
        reverse: whether the first step reads the last place.
        step: what the axes of a step's state are.
        joined: a Concat's output of the states of all steps -> whether they are in the order in
            which they were computed.
        picked: the places of single steps whose hidden state is read.
        last_cell: whether the last cell state is read.
        states: what it starts from; empty where that is zeros.
    """

    chain: Chain
    inside: Inside
    runs: tuple[Run, ...]
    reverse: bool
    step: tuple[Label, ...]
    joined: Mapping[str, bool]
    picked: tuple[int, ...]
    last_cell: bool
    read_by_chain: bool
    states: tuple[int, ...] = field(default=())


class NotFusedError(Exception):
    """A chain that stays as it is; the message says why."""


def plan_all(
    forms: Forms, chains: Iterable[Chain]
) -> tuple[list[Plan], dict[str, tuple[Chain, str]]]:
    """The plans, those that others read first; and the chains without one, with the reason."""
    left = {chain.place: chain for chain in chains}
    refused: dict[str, tuple[Chain, str]] = {}
    insides = {place: inside(forms, chain) for place, chain in left.items()}
    while True:
        try:
            return _ordered([*_plans(forms, left, insides)]), refused
        except _RefusedError as error:
            place, why = error.args
            refused[place] = (left.pop(place), why)


class _RefusedError(Exception):
    pass


def _plans(
    forms: Forms, left: Mapping[str, Chain], insides: Mapping[str, Inside]
) -> Iterable[Plan]:
    of_chain: dict[str, tuple[Chain, bool]] = {}
    backwards: dict[str, bool] = {}
    waiting = dict(left)
    found: dict[str, list[Run]] = {}
    states = {name: chain for chain in left.values() for name in chain.hidden}
    while waiting:
        needed = {p: _needs(forms, c, states) - {p} for p, c in waiting.items()}
        ready = [p for p in waiting if not needed[p] & waiting.keys()]
        if not ready:
            raise _RefusedError(
                next(iter(waiting)), "its steps and those of another read each other"
            )
        for place in ready:
            chain = waiting.pop(place)
            try:
                found[place] = runs(forms, chain, of_chain)
            except NoSequenceError as error:
                raise _RefusedError(place, str(error)) from None
            backwards[place] = any(r.reverse for r in found[place])
            of_chain |= dict.fromkeys(chain.hidden, (chain, backwards[place]))
    gone = {node for place in left for node in insides[place].nodes}
    for place, chain in left.items():
        fed = any(r.of == place for other in found.values() for r in other)
        try:
            yield _plan(forms, chain, insides[place], found[place], backwards[place], gone, fed)
        except (NotFusedError, NoSequenceError) as error:
            raise _RefusedError(place, str(error)) from None


def _needs(forms: Forms, chain: Chain, states: Mapping[str, Chain]) -> set[str]:
    roots = {forms.sources[s].root for step in chain.steps for s in step.fed}
    return {states[r].place for r in roots if r in states}


def _ordered(plans: list[Plan]) -> list[Plan]:
    """Those whose states others read before these."""
    known = {p.chain.place: p for p in plans}
    ordered: dict[str, Plan] = {}

    def visit(plan: Plan) -> None:
        for run in plan.runs:
            if run.of and run.of not in ordered:
                visit(known[run.of])
        ordered.setdefault(plan.chain.place, plan)

    for plan in plans:
        visit(plan)
    return list(ordered.values())


def _plan(
    forms: Forms,
    chain: Chain,
    within: Inside,
    fed: list[Run],
    reverse: bool,
    gone: set[int],
    read_by_chain: bool,
) -> Plan:
    graph = forms.graph
    step = _step_labels(forms, chain, fed)
    hidden = {name: t for t, name in enumerate(chain.hidden)}
    cells = {s.after[1] for s in chain.steps if len(s.after) > 1}
    last_cell = chain.steps[-1].after[1] if cells else ""
    outputs = {*graph.outputs}
    joined: dict[str, bool] = {}
    picked: dict[int, None] = {}
    for name in sorted(within.values):
        readers = [n for n in graph.readers.get(name, []) if id(n) not in gone]
        if not readers and name not in outputs:
            continue
        if name in hidden:
            found = [_joins(forms, chain, n, name) for n in readers]
            for each in found:
                joined |= each or {}
            if name in outputs or not all(found):
                picked[hidden[name]] = None
        elif name != last_cell:
            where = "an output" if name in outputs else f"{readers[0].op_type} {readers[0].name!r}"
            what = "a cell state" if name in cells else f"{name}, which is inside of a step,"
            raise NotFusedError(f"{what} is read by {where}")
    read = last_cell in outputs or any(id(n) not in gone for n in graph.readers.get(last_cell, []))
    return Plan(
        chain,
        within,
        tuple(fed),
        reverse,
        step,
        joined,
        tuple(sorted(picked)),
        bool(last_cell) and read,
        read_by_chain,
        chain.steps[0].before,
    )


def _step_labels(forms: Forms, chain: Chain, fed: list[Run]) -> tuple[Label, ...]:
    """What the axes of a hidden state are, from those of what is fed."""
    rank = forms.graph.rank(chain.hidden[0])
    if rank is None:
        raise NotFusedError("the sizes of its states are unknown")
    found: list[Label] = [None] * rank
    for run in fed:
        labels(run.view, run.time)  # no more axes than a layer has
        for i, axis in enumerate(reversed(run.view.axes[:-1]), 2):
            if axis is not None and i <= rank:
                found[-i] = "batch"
    found[-1] = "feature"
    if found.count("batch") > 1:
        raise NotFusedError("its states have more axes than batch and features")
    return tuple(found)


def _joins(forms: Forms, chain: Chain, node: Any, name: str) -> dict[str, bool] | None:
    """Outputs of Concats of the states of all steps behind one reader; None: it is another."""
    found: dict[str, bool] = {}
    waiting = [node]
    while waiting:
        at = waiting.pop()
        if is_standard(at, "Concat"):
            order = _order(forms, chain, at)
            if order is None:
                return None
            found[at.output[0]] = order
        elif is_standard(at, "Unsqueeze", "Reshape", "Identity", "Squeeze", "Transpose"):
            view = forms.layouts.view(at.output[0])
            if view is None or view.root != name or at.output[0] in forms.graph.outputs:
                return None
            waiting += forms.graph.readers.get(at.output[0], [])
        else:
            return None
    return found or None


def _order(forms: Forms, chain: Chain, node: Any) -> bool | None:
    """Whether a Concat has the states of all steps as they were computed, or the last first."""
    views = [forms.layouts.view(i) for i in node.input]
    found = [v for v in views if v is not None]
    if len(found) != len(chain.steps) or len({v.axes for v in found}) != 1:
        return None
    rank = len(found[0].axes)
    axis = attribute(node, "axis", 0) % rank
    if any(v.fixed or v.flipped for v in found) or found[0].axes[axis] is not None:
        return None
    names = [v.root for v in found]
    hidden = list(chain.hidden)
    if names == hidden:
        return True
    return False if names == hidden[::-1] else None


def rewrite(forms: Forms, plans: Iterable[Plan]) -> None:
    """Puts the nodes in the places of the chains."""
    sequences: dict[str, str] = {}
    suspects: list[str] = []
    for plan in plans:
        suspects += _rewrite(forms, plan, sequences)
    forms.graph.commit()
    forms.graph.sweep(suspects)


def _rewrite(forms: Forms, plan: Plan, sequences: dict[str, str]) -> list[str]:
    graph, chain = forms.graph, plan.chain
    anchor = next(n for n in graph.nodes if id(n) in plan.inside.nodes)
    build = Builder(graph, anchor, f"{chain.place}_{OPERATORS[chain.weights.kind].lower()}")
    x = _fed(build, forms, plan, sequences)
    layer = layer_of(chain.weights, forms.matrices, widths_of(forms, chain))
    states = [_state(build, forms, plan, s, x) for s in plan.states]
    if any(states):
        states = [s or _zeros(build, plan, x, layer.hidden_size, layer.r.dtype) for s in states]
    count = len(chain.steps)
    singles = [t for t in plan.picked if t != count - 1]
    wanted = (
        bool(plan.joined or singles or plan.read_by_chain),
        count - 1 in plan.picked,
        plan.last_cell,
    )
    direction = "reverse" if plan.reverse else "forward"
    y, y_h, y_c = add_layer(build, [layer], x, states, direction=direction, wanted=wanted)
    dropped = [*plan.joined, *(chain.hidden[t] for t in plan.picked)]
    suspects = [name for step in chain.steps for name in step.after]
    if y:
        _all_steps(build, forms, plan, y, sequences)
        for t in singles:
            place = t - count if plan.reverse else t
            place = -1 - t if plan.reverse else t
            one = build.gather(y, 0, place)
            build.arrange(one, ["direction", "batch", "feature"], plan.step, chain.hidden[t])
    last: list[Label] = ["direction", "batch", "feature"]
    if y_h:
        build.arrange(y_h, last, plan.step, chain.hidden[-1])
    if y_c:
        cell = chain.steps[-1].after[1]
        dropped.append(cell)
        build.arrange(y_c, last, plan.step, cell)
    for name in dropped:
        suspects += graph.makers[name].input
    graph.drop(dropped)
    return suspects


def _all_steps(build: Builder, forms: Forms, plan: Plan, y: str, sequences: dict[str, str]) -> None:
    """The states of all steps, (time, direction, batch, feature), as they are read."""
    have: list[Label] = ["time", "direction", "batch", "feature"]
    if plan.read_by_chain:
        sequences[plan.chain.place] = build.arrange(y, have, ["time", "batch", "feature"])
    turned = ""
    for output, as_computed in plan.joined.items():
        node = forms.graph.makers[output]
        view = forms.layouts.view(node.input[0])
        assert view is not None
        axis = attribute(node, "axis", 0) % len(view.axes)
        want: list[Label] = [None if a is None else plan.step[a] for a in view.axes]
        want[axis] = "time"
        value = y
        if as_computed == plan.reverse:  # Y is in the order of the sequence
            turned = turned or build.slice(y, 0, -1, -(2**63) + 1, -1)
            value = turned
        build.arrange(value, have, want, output)


def _fed(build: Builder, forms: Forms, plan: Plan, sequences: Mapping[str, str]) -> str:
    """What the layer is fed, (time, batch, input)."""
    parts = [sequence(build, run, sequences) for run in plan.runs]
    moving = [i for i, r in enumerate(plan.runs) if r.time is not None or r.of]
    batched = [i for i, r in enumerate(plan.runs) if "batch" in _axes(plan, r)]
    for i in range(len(plan.runs)):
        still = i not in moving
        if not still and (i in batched or not batched):
            continue
        if not moving:
            sizes = build.whole(len(plan.chain.steps), 1, 1)
        else:
            time = build.graph_shape(parts[moving[0]], 0)
            batch = build.graph_shape(parts[batched[0]], 1) if batched else build.whole(1)
            sizes = build("Concat", [time, batch, build.whole(1)], axis=0)
        parts[i] = build("Expand", [parts[i], sizes])
    return parts[0] if len(parts) == 1 else build("Concat", parts, axis=2)


def _axes(plan: Plan, run: Run) -> list[Label]:
    return list(plan.step) if run.of else labels(run.view, run.time)


def widths_of(forms: Forms, chain: Chain) -> list[int]:
    """The features of each thing that a chain is fed."""
    known = ([m for m in rows if m is not None] for rows in chain.weights.inputs)
    return [int(forms.matrices.value(found[0]).shape[1]) for found in known]


def _state(build: Builder, forms: Forms, plan: Plan, number: int, x: str) -> str:
    """An initial state, (direction, batch, hidden); empty where it is zeros."""
    want: list[Label] = ["direction", "batch", "feature"]
    if number < 0:
        vector = forms.matrices.value(-1 - number)
        if not vector.any():
            return ""
        row = build.constant(vector[None, None].astype(forms.matrices.dtype), "state")
        return _repeated(build, row, x)
    view = forms.sources[number]
    if forms.constants.is_zero(view.root):
        return ""
    found = labels(view, None)
    array = forms.constants.value(view.root)
    if array is not None and array.ndim == len(found):
        rows = array.reshape(-1, array.shape[-1])
        if view.whole and (rows == rows[0]).all():  # one row for a batch of any size
            row = build.constant(rows[:1][None], "state")
            return _repeated(build, row, x)
    value = view.root
    for axis, place in reversed(view.fixed):
        value = build.gather(value, axis, place)
        del found[axis]
    value = build.arrange(value, found, want)
    if "batch" not in found:
        return _repeated(build, value, x)
    return value


def _repeated(build: Builder, row: str, x: str) -> str:
    """A row for each row of the batch."""
    batch = build.graph_shape(x, 1)
    return build("Expand", [row, build("Concat", [build.whole(1), batch, build.whole(1)], axis=0)])


def _zeros(build: Builder, plan: Plan, x: str, size: int, dtype: Any) -> str:
    """One of two states may be zeros alone: then it has to be there."""
    return _repeated(build, build.constant(np.zeros((1, 1, size), dtype), "state"), x)

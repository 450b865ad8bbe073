"""Unrolled loops of a cell -> one fused node each, of any length.

x -> Gather(0) -> cell(h0) -> h1         x -> LSTM(h0) -> Squeeze -> y
x -> Gather(1) -> cell(h1) -> h2   ->                  -> Squeeze -> h of the last step
Concat(h1, h2, ...) -> y
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.building import Builder, Label
from rnnbench.formats.onnx.optimizing.chains import Chain, Inside, gone_with, inside
from rnnbench.formats.onnx.optimizing.emitting import Result, Spec, Start, emit, start_of
from rnnbench.formats.onnx.optimizing.fused import OPERATORS, layer_of, widths
from rnnbench.formats.onnx.optimizing.graph import attribute
from rnnbench.formats.onnx.optimizing.reading import NotFusedError, Read, Readers, note_read
from rnnbench.formats.onnx.optimizing.sequences import (
    NoSequenceError,
    Run,
    aligned,
    kept,
    runs,
    step_labels,
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
        picked: a value -> the step whose hidden state it is, and what its axes are.
        cells: a value -> what its axes are that is the last cell state.
        states: what it starts from; empty where that is zeros.
    """

    chain: Chain
    inside: Inside
    runs: tuple[Run, ...]
    reverse: bool
    step: tuple[Label, ...]
    joined: Mapping[str, bool]
    picked: Mapping[str, tuple[int, tuple[Label, ...]]]
    cells: Mapping[str, tuple[Label, ...]]
    read_by_chain: bool
    states: tuple[int, ...] = field(default=())


def plan_all(
    forms: Forms, chains: Iterable[Chain], keep: Container[str] = ()
) -> tuple[list[Plan], dict[str, tuple[Chain, str]]]:
    """The plans, those that others read first; and the chains without one, with the reason.

    Args:
        forms: of the graph.
        chains: in it.
        keep: those that have as many steps as they had, however long their input is.
    """
    left = {chain.place: chain for chain in chains}
    refused: dict[str, tuple[Chain, str]] = {}
    insides = {place: inside(forms, chain) for place, chain in left.items()}
    while True:
        try:
            return _ordered([*_plans(forms, left, insides, keep)]), refused
        except _RefusedError as error:
            place, why = error.args
            refused[place] = (left.pop(place), why)


class _RefusedError(Exception):
    pass


def _plans(
    forms: Forms,
    left: Mapping[str, Chain],
    insides: Mapping[str, Inside],
    keep: Container[str],
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
            if place in keep or any(r.step > 1 for r in found[place]):
                found[place] = [kept(run, len(chain.steps)) for run in found[place]]
            backwards[place] = any(r.reverse for r in found[place])
            of_chain |= dict.fromkeys(chain.hidden, (chain, backwards[place]))
    inner = {node for place in left for node in insides[place].nodes}
    fed_with = {run.view.root for each in found.values() for run in each if not run.of}
    gone = gone_with(forms.graph, inner, fed_with)
    starts = {forms.sources[s].root for c in left.values() for s in c.steps[0].before if s >= 0}
    for place, chain in left.items():
        fed = any(r.of == place for other in found.values() for r in other)
        try:
            yield _plan(
                forms,
                chain,
                insides[place],
                found[place],
                backwards[place],
                Readers(forms.graph, gone, starts),
                fed,
            )
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
    readers: Readers,
    read_by_chain: bool,
) -> Plan:
    graph = forms.graph
    rank = graph.rank(chain.hidden[0])
    if rank is None:
        raise NotFusedError("the sizes of its states are unknown")
    step = step_labels(graph, rank, fed)
    read = Read({}, {}, {})
    for name in sorted(within.values):
        if readers.reads(name):
            note_read(forms, chain, step, readers, name, read)
    return Plan(
        chain,
        within,
        tuple(fed),
        reverse,
        step,
        read.joined,
        read.picked,
        read.cells,
        read_by_chain,
        chain.steps[0].before,
    )


def rewrite(forms: Forms, plans: Iterable[Plan]) -> None:
    """Puts the nodes in the places of the chains."""
    sequences: dict[str, str] = {}
    suspects: list[str] = []
    graph = forms.graph
    for plan in plans:
        spec = _spec(forms, plan)
        anchor = next(n for n in graph.nodes if id(n) in plan.inside.nodes)
        operator = OPERATORS[spec.layer.kind].lower()
        emit(Builder(graph, anchor, f"{spec.name}_{operator}"), spec, sequences)
        dropped = [r.output for r in spec.results]
        suspects += [name for step in plan.chain.steps for name in step.after]
        suspects += [i for name in dropped for i in graph.makers[name].input]
        graph.drop(dropped)
    graph.commit()
    graph.sweep(suspects)


def _spec(forms: Forms, plan: Plan) -> Spec:
    chain = plan.chain
    count = len(chain.steps)
    results = [_all_steps(forms, plan, *joined) for joined in plan.joined.items()]
    for name, (t, axes) in plan.picked.items():
        what = "last" if t == count - 1 else "step"
        place = -1 - t if plan.reverse else t
        results.append(Result(what, name, axes, place=place))
    results += [Result("cell", name, axes) for name, axes in plan.cells.items()]
    return Spec(
        chain.place,
        layer_of(chain.weights, forms.matrices, widths_of(forms, chain)),
        plan.runs,
        plan.reverse,
        plan.step,
        tuple(_start(forms, number) for number in plan.states),
        tuple(results),
        plan.read_by_chain,
        count,
    )


def _start(forms: Forms, number: int) -> Start:
    """A first state; a number below 0 is that of a constant vector, less 1."""
    if number >= 0:
        return start_of(forms.constants, forms.sources[number])
    vector = forms.matrices.value(-1 - number)
    return vector if vector.any() else None


def _all_steps(forms: Forms, plan: Plan, output: str, as_computed: bool) -> Result:
    """A Concat of the states of all steps."""
    node = forms.graph.makers[output]
    view = forms.layouts.view(node.input[0])
    assert view is not None
    axis = attribute(node, "axis", 0) % len(view.axes)
    labels = aligned(plan.step, forms.graph.rank(view.root))
    want: list[Label] = [None if a is None else labels[a] for a in view.axes]
    want[axis] = "time"
    # The node gives its steps in the order of the sequence.
    return Result("all", output, tuple(want), turned=as_computed == plan.reverse)


def widths_of(forms: Forms, chain: Chain) -> list[int]:
    """The features of each thing that a chain is fed."""
    return widths(forms.matrices, chain.weights)

"""Steps of a cell that hand their states on: an unrolled loop, and what it reads step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rnnbench.formats.onnx.optimizing.algebra.first_steps import step_before
from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.algebra.steps import Step, Weights
from rnnbench.formats.onnx.optimizing.algebra.views import View
from rnnbench.formats.onnx.optimizing.graph import Graph, reads

_FEWEST = 2


@dataclass(frozen=True)
class Chain:
    """Steps in the order in which they are computed; all have the same weights."""

    steps: tuple[Step, ...]

    @property
    def weights(self) -> Weights:
        """What every step computes with."""
        return self.steps[0].weights

    @property
    def hidden(self) -> tuple[str, ...]:
        """The hidden state behind each step."""
        return tuple(step.after[0] for step in self.steps)

    @property
    def place(self) -> str:
        """What it is called: the value behind its first step."""
        return self.steps[0].after[0]


def link(forms: Forms, steps: Iterable[Step]) -> list[Chain]:
    """The chains of two steps and more."""
    known = {step.after[0]: step for step in steps}
    earlier: dict[str, str] = {}
    later: dict[str, str] = {}
    for name, step in known.items():
        before = _before(forms, step, known)
        if before is not None and before not in later:
            earlier[name], later[before] = before, name
    chains = []
    for name in known:
        if name in earlier:
            continue
        found = [name]
        while found[-1] in later:
            found.append(later[found[-1]])
        first = step_before(forms, known[name])
        linked = [*([first] if first else []), *(known[n] for n in found)]
        if len(linked) >= _FEWEST:
            chains.append(Chain(tuple(linked)))
    return chains


def _before(forms: Forms, step: Step, known: dict[str, Step]) -> str | None:
    """The step whose states a step is handed, as they are."""
    if any(number < 0 for number in step.before):
        return None
    views = [forms.sources[number] for number in step.before]
    earlier = known.get(views[0].root)
    if earlier is None or earlier.weights != step.weights:
        return None
    same = all(_is_state(v, name) for v, name in zip(views, earlier.after, strict=True))
    return views[0].root if same else None


def _is_state(view: View, name: str) -> bool:
    """Whether it is a value with its axes in order, those of size 1 aside."""
    axes = [a for a in view.axes if a is not None]
    return view.root == name and axes == sorted(axes) and not view.flipped


@dataclass(frozen=True)
class Inside:
    """What belongs to a chain.

    Attributes:
        nodes: the ids of the nodes that compute its states from what it is fed.
        values: what they make that depends on the states before.
        edges: what they read of what is fed, and of the states before the first step.
    """

    nodes: frozenset[int]
    values: frozenset[str]
    edges: Mapping[str, View]


def inside(forms: Forms, chain: Chain) -> Inside:
    """The nodes between what a chain is fed and its states."""
    graph = forms.graph
    stops = {
        forms.sources[s].root for step in chain.steps for s in (*step.fed, *step.before) if s >= 0
    }
    after = [name for step in chain.steps for name in step.after]
    nodes: set[int] = set()
    waiting = [r for name in after if name in graph.makers for r in _expand(graph, name, nodes)]
    seen: set[str] = set()
    edges: dict[str, View] = {}
    while waiting:
        name = waiting.pop()
        if name in seen or (name not in graph.makers and name not in stops):
            continue
        seen.add(name)
        view = forms.layouts.view(name)
        if view is None or view.root not in stops:
            waiting += _expand(graph, name, nodes)
        elif view.root not in after:
            edges[name] = view
    states = {forms.sources[s].root for step in chain.steps for s in step.before if s >= 0}
    states |= {*after}
    values = {*after}
    for node in graph.nodes:  # in order
        if id(node) in nodes and any(
            i in values or _root(forms, i) in states for i in node.input if i
        ):
            values |= {o for o in node.output if o}
    return Inside(frozenset(nodes), frozenset(values), edges)


def _root(forms: Forms, name: str) -> str:
    view = forms.layouts.view(name)
    return name if view is None else view.root


def _expand(graph: Graph, name: str, nodes: set[int]) -> list[str]:
    node = graph.makers[name]
    nodes.add(id(node))
    return reads(node)


def gone_with(graph: Graph, nodes: set[int], read: Iterable[str] = ()) -> set[int]:
    """Nodes that go, and those that nothing else reads.

    Args:
        graph: that they are in.
        nodes: their ids.
        read: values that something reads that is not there yet.
    """
    gone, outputs = set(nodes), {*graph.outputs, *read}
    for node in reversed(graph.nodes):
        made = [o for o in node.output if o]
        readers = [r for o in made for r in graph.readers.get(o, [])]
        kept = any(o in outputs for o in made) or any(id(r) not in gone for r in readers)
        if readers and not kept:
            gone.add(id(node))
    return gone

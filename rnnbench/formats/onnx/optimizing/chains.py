"""Steps of a cell that hand their states on: an unrolled loop, and what it reads step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.algebra.layouts import View
from rnnbench.formats.onnx.optimizing.algebra.steps import Step, Weights
from rnnbench.formats.onnx.optimizing.graph import reads

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
        if name in earlier or name not in later:
            continue
        found = [name]
        while found[-1] in later:
            found.append(later[found[-1]])
        if len(found) >= _FEWEST:
            chains.append(Chain(tuple(known[n] for n in found)))
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
    """

    nodes: frozenset[int]
    values: frozenset[str]


def inside(forms: Forms, chain: Chain) -> Inside:
    """The nodes between what a chain is fed and its states."""
    graph = forms.graph
    stops = {forms.sources[s].root for step in chain.steps for s in step.fed}
    first = chain.steps[0]
    starts = {forms.sources[s].root for s in first.before if s >= 0}
    nodes: dict[int, None] = {}
    waiting = [name for step in chain.steps for name in step.after]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        node = graph.makers.get(name)
        if name in seen or name in stops or name in starts or node is None:
            continue
        seen.add(name)
        nodes[id(node)] = None
        waiting += reads(node)
    depends = set(starts) | {n for step in chain.steps for n in step.after}
    values: set[str] = set()
    for node in graph.nodes:  # in order
        if id(node) in nodes and any(i in depends or i in values for i in node.input):
            values |= {o for o in node.output if o}
    return Inside(frozenset(nodes), frozenset(values))

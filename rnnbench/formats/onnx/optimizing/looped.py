"""Scan and Loop of known cells -> fused nodes.

x -> Scan(h0, body: cell) -> steps        x -> GRU(h0) -> Squeeze -> steps
-> last     ->               -> Squeeze -> last
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rnnbench.formats.onnx.optimizing.algebra.cells import find_steps
from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.algebra.form_rules import forms_of
from rnnbench.formats.onnx.optimizing.algebra.layouts import Layouts
from rnnbench.formats.onnx.optimizing.algebra.steps import Step
from rnnbench.formats.onnx.optimizing.algebra.views import View, compose
from rnnbench.formats.onnx.optimizing.building import Builder, Label
from rnnbench.formats.onnx.optimizing.emitting import Result, Spec, Start, emit, start_of
from rnnbench.formats.onnx.optimizing.fused import OPERATORS, layer_of, widths
from rnnbench.formats.onnx.optimizing.graph import Graph, attribute, is_standard, reads
from rnnbench.formats.onnx.optimizing.loops import Collected, Handed, Loop
from rnnbench.formats.onnx.optimizing.sequences import NoSequenceError, step_labels
from rnnbench.formats.onnx.optimizing.stepped import Stepped


class NotFusedError(Exception):
    """A loop that stays as it is; the message says why."""


class LoopPlan:
    """How a loop becomes fused nodes.

    Attributes:
        specs: one for each cell, those that others read first.
        dropped: the values whose makers go.
        exact: (value, axis) -> the steps that are written down.
    """

    def __init__(self, graph: Graph, loop: Loop) -> None:
        """Plans it.

        Raises:
            NotFusedError: it stays as it is.
        """
        self.graph, self.loop = graph, loop
        self.forms = forms_of(loop.body)
        self.constants = Constants(graph)
        self.dropped = [o for o in loop.node.output if o][:1]
        handed = {self._root(h.next): h.inside for h in loop.handed if self._root(h.next)}
        self.steps = {s.after[0]: s for s in find_steps(self.forms, handed)}
        if not self.steps:
            raise NotFusedError("its step is no Elman, GRU or LSTM cell")
        self._states = self._sort_states()
        self._stepped = Stepped(self.forms, loop, self._same, self.steps)
        try:
            self.specs = self._specs()
        except NoSequenceError as error:
            raise NotFusedError(str(error)) from None
        self.exact = self._count()

    def _root(self, name: str) -> str:
        view = self.forms.layouts.view(name)
        return view.root if view is not None else ""

    def _sort_states(self) -> dict[str, Handed]:
        """Value behind a step -> how it is handed on; what is handed on is of a cell, or no matter.

        What every step hands on as it is, is the value before the loop.
        """
        after = {name: i for step in self.steps.values() for i, name in enumerate(step.after)}
        found: dict[str, Handed] = {}
        self._same: dict[str, str] = {}
        self.collected: list[Collected] = list(self.loop.collected)
        for handed in self.loop.handed:
            root = self._root(handed.next)
            if root in after:
                found[root] = handed
            elif root == handed.inside or handed.next == handed.inside:
                self._same[handed.inside] = handed.first
                if self._is_read(handed.last):
                    raise NotFusedError(f"it returns {handed.last}, which it does not change")
            elif not self._is_list(handed) and self._is_read(handed.last):
                raise NotFusedError(f"it hands on {handed.inside}, which is no state of a cell")
        return found

    def _is_read(self, name: str) -> bool:
        return bool(name) and (name in self.graph.outputs or bool(self.graph.readers.get(name)))

    def _is_list(self, handed: Handed) -> bool:
        """Whether it is a list that grows by one value a step, and is joined behind the loop."""
        node = self.loop.body.makers.get(handed.next)
        first = self.graph.makers.get(handed.first)
        if node is None or first is None or not is_standard(first, "SequenceEmpty"):
            return False
        if not is_standard(node, "SequenceInsert") or node.input[0] != handed.inside:
            return False
        place = self.loop.body.numbers(node.input[2]) if len(node.input) > 2 else None
        readers = self.graph.readers.get(handed.last, [])
        if (len(node.input) > 2 and place != [0]) or handed.last in self.graph.outputs:
            return False
        return all(self._joins(node.input[1], place == [0], reader) for reader in readers)

    def _joins(self, inside: str, reverse: bool, reader: Any) -> bool:
        """Whether a node puts the values of a list together; remembered."""
        view = self.forms.layouts.view(inside)
        if view is None or not is_standard(reader, "ConcatFromSequence"):
            return False
        new = attribute(reader, "new_axis", 0)
        axis = attribute(reader, "axis") % (len(view.axes) + new)
        if not new and view.axes[axis] is not None:
            return False
        self.collected.append(Collected(inside, reader.output[0], axis, reverse, not new))
        self.dropped.append(reader.output[0])
        return True

    def _specs(self) -> tuple[Spec, ...]:
        made: dict[str, Spec] = {}
        waiting = dict(self.steps)
        while waiting:
            ready = [n for n, s in waiting.items() if not self._needs(s) & waiting.keys()]
            if not ready:
                raise NotFusedError("its cells read each other")
            for name in ready:
                made[name] = self._spec(waiting.pop(name))
        read = {run.of for spec in made.values() for run in spec.runs}
        specs = [replace(s, is_read=n in read) for n, s in made.items()]
        results = self._results({s.name: s for s in specs})
        return tuple(replace(s, results=tuple(results[s.name])) for s in specs)

    def _needs(self, step: Step) -> set[str]:
        roots = {self.forms.sources[s].root for s in step.fed}
        return roots & self.steps.keys()

    def _spec(self, step: Step) -> Spec:
        runs = tuple(self._stepped.run(self.forms.sources[s]) for s in step.fed)
        ways = {r.reverse for r in runs if r.time is not None or r.of}
        if len(ways) > 1:
            raise NotFusedError("what it reads runs in both directions")
        rank = self.loop.body.rank(step.after[0])
        if rank is None:
            raise NotFusedError("the sizes of its states are unknown")
        labels = step_labels(self.loop.body, rank, runs)
        layer = layer_of(
            step.weights, self.forms.matrices, widths(self.forms.matrices, step.weights)
        )
        starts = tuple(
            self._start(number, name) for number, name in zip(step.before, step.after, strict=True)
        )
        return Spec(step.after[0], layer, runs, ways == {True}, labels, starts, ())

    def _start(self, number: int, after: str) -> Start:
        handed = self._states.get(after)
        view = self.forms.sources[number] if number >= 0 else None
        if handed is None or view is None or view.root != handed.inside:
            raise NotFusedError(f"a state of its cell, {after}, is not handed on as it is")
        own = View(handed.first, view.axes, view.fixed, view.flipped)
        outside = Layouts(self.graph, self.constants).view(handed.first)
        composed = None if outside is None else compose(own, outside)
        return start_of(self.constants, composed or own)

    def _results(self, specs: dict[str, Spec]) -> dict[str, list[Result]]:
        found: dict[str, list[Result]] = {name: [] for name in specs}
        of = {name: step.after[0] for step in self.steps.values() for name in step.after}
        for after, handed in self._states.items():
            if self._is_read(handed.last):
                spec = specs[of[after]]
                axes = self._axes(handed.next, spec)
                what = "last" if after == spec.name else "cell"
                found[spec.name].append(Result(what, handed.last, axes))
        for each in self.collected:
            if not self._is_read(each.output):
                continue
            root = self._root(each.inside)
            if root not in specs:
                raise NotFusedError(f"it returns {each.inside} of each step, which is no state")
            every = list(self._axes(each.inside, specs[root]))
            if each.replaces:
                every[each.axis] = "time"
            else:
                every.insert(each.axis % (len(every) + 1), "time")
            turned = each.reverse != specs[root].reverse
            found[root].append(Result("all", each.output, tuple(every), turned))
        return found

    def _axes(self, name: str, spec: Spec) -> tuple[Label, ...]:
        """What the axes of a value are that is a view of a state."""
        view = self.forms.layouts.view(name)
        if view is None or view.flipped or any(spec.step[a] for a, _ in view.fixed):
            raise NotFusedError(f"it takes a part of its state, {name}")
        return tuple(None if a is None else spec.step[a] for a in view.axes)

    def _count(self) -> dict[tuple[str, int], int]:
        """Where the steps of a Loop are written down, what they are of.

        Raises:
            NotFusedError: they are neither written down nor the length of anything.
        """
        if not self.loop.count:
            return {}
        number = self.constants.value(self.loop.count)
        moving = [r for s in self.specs for r in s.runs if r.time is not None]
        if not moving:
            raise NotFusedError("it reads nothing step by step")
        if number is not None:
            return {(r.view.root, r.time): int(number) for r in moving if r.time is not None}
        if not is_length(self.graph, self.loop.count):
            raise NotFusedError("its steps are not as many as its input has")
        return {}


def is_length(graph: Graph, name: str) -> bool:
    """Whether a number is a size of some value."""
    for _ in range(8):
        node = graph.makers.get(name)
        if node is None:
            return False
        if is_standard(node, "Gather", "Slice"):
            maker = graph.makers.get(node.input[0])
            while maker is not None and is_standard(maker, "Cast", "Identity"):
                maker = graph.makers.get(maker.input[0])
            if maker is not None and is_standard(maker, "Shape"):
                return True
        if is_standard(node, "Shape"):
            return attribute(node, "start") is not None
        if not is_standard(node, "Squeeze", "Unsqueeze", "Reshape", "Cast", "Identity", "Gather"):
            return False
        name = node.input[0]
    return False


def rewrite(graph: Graph, plans: Iterable[LoopPlan]) -> None:
    """Puts the nodes in the places of the loops."""
    suspects: list[str] = []
    for plan in plans:
        node: Any = plan.loop.node
        sequences: dict[str, str] = {}
        for spec in plan.specs:
            stem = f"{node.name or node.output[0]}_{OPERATORS[spec.layer.kind].lower()}"
            emit(Builder(graph, node, stem), spec, sequences)
        suspects += reads(node)
        suspects += [i for o in plan.dropped for i in graph.makers[o].input]
        graph.drop(plan.dropped)
    graph.commit()
    graph.sweep(suspects)

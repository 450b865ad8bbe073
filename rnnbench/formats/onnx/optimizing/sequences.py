"""What the steps of a chain are fed, as one sequence along time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from rnnbench.formats.onnx.optimizing.algebra.forms import Forms
from rnnbench.formats.onnx.optimizing.algebra.views import View
from rnnbench.formats.onnx.optimizing.building import Builder, Label
from rnnbench.formats.onnx.optimizing.chains import Chain
from rnnbench.formats.onnx.optimizing.graph import Graph

_END = 2**63 - 1


@dataclass(frozen=True)
class Run:
    """One thing that a chain is fed.

    Attributes:
        view: of the root, the first step's.
        time: the axis of the root along which the steps go; None: all read the same, or it is the
            states of another chain.
        start: the first place that is read.
        stop: the place behind the last; None: to the end.
        step: how far it is from one to the next.
        reverse: whether the first step reads the last place.
        back: whether the places are counted from the end.
        of: the chain whose hidden states are read, by its name.
    """

    view: View
    time: int | None = None
    start: int = 0
    stop: int | None = None
    step: int = 1
    reverse: bool = False
    back: bool = False
    of: str = ""

    @property
    def whole(self) -> bool:
        """Whether it is all of the sequence, however long that is."""
        return self.start == 0 and self.stop is None and self.step == 1


class NoSequenceError(Exception):
    """What the steps read is no sequence; the message says what it is."""


def runs(forms: Forms, chain: Chain, others: Mapping[str, tuple[Chain, bool]]) -> list[Run]:
    """What a chain is fed.

    Args:
        forms: of the graph.
        chain: the steps.
        others: value -> the chain whose hidden state it is, and whether that runs backwards.

    Raises:
        NoSequenceError: it is not read step by step.
    """
    columns = [
        [forms.sources[step.fed[i]] for step in chain.steps]
        for i in range(len(chain.weights.inputs))
    ]
    found = [_run(forms, column, others) for column in columns]
    moving = {r.reverse for r in found if r.time is not None or r.of}
    if len(moving) > 1:
        raise NoSequenceError("what it reads runs in both directions")
    return found


def _run(forms: Forms, column: Sequence[View], others: Mapping[str, tuple[Chain, bool]]) -> Run:
    first = column[0]
    if len(set(column)) == 1:
        return Run(first)
    if len({v.root for v in column}) == len(column) and first.root in others:
        return _states(forms, column, others)
    if len({(v.root, v.axes, v.flipped) for v in column}) > 1:
        raise NoSequenceError(f"its steps read different values ({first.root}, {column[1].root})")
    moving = {axis for v in column for axis, _ in {*v.fixed} ^ {*first.fixed}}
    if len(moving) != 1:
        raise NoSequenceError(f"its steps read {first.root} along several axes")
    (time,) = moving
    places = [dict(v.fixed).get(time, 0) for v in column]
    return _counted(forms, first, time, places)


def _counted(forms: Forms, first: View, time: int, places: list[int]) -> Run:
    count = len(places)
    size = (forms.graph.shape(first.root) or ())[time]
    back = all(p < 0 for p in places) and not isinstance(size, int)
    if isinstance(size, int):  # what was turned around is counted from the end
        places = [p + size if p < 0 else p for p in places]
    elif back:
        places = [p + count for p in places]
    steps = {b - a for a, b in pairwise(places)}
    if len(steps) != 1 or 0 in steps:
        raise NoSequenceError(f"its steps do not read {first.root} one after another")
    (step,) = steps
    start, last = min(places), max(places)
    stop = last + 1 if isinstance(size, int) and last + abs(step) < size else None
    return Run(first, time, start, stop, abs(step), reverse=step < 0, back=back)


def kept(run: Run, count: int) -> Run:
    """The same run of as many steps as the given file has, however long the sequence is."""
    if run.time is None or run.stop is not None:
        return run
    last = run.start + (count - 1) * run.step
    if run.back:
        return replace(run, start=run.start - last - 1)
    return replace(run, stop=last + 1)


def _states(forms: Forms, column: Sequence[View], others: Mapping[str, tuple[Chain, bool]]) -> Run:
    first = column[0]
    other, backwards = others[first.root]
    names = [v.root for v in column]
    shape = forms.graph.shape(first.root) or ()
    plain = all(v.axes == first.axes and v.fixed == first.fixed for v in column)
    plain = plain and not first.flipped and all(shape[a] == 1 for a, _ in first.fixed)
    hidden = list(other.hidden)
    if not plain or names not in (hidden, hidden[::-1]):
        raise NoSequenceError(f"its steps do not read those of {other.place} one after another")
    return Run(first, reverse=backwards ^ (names != hidden), of=other.place)


def labels(graph: Graph, view: View, time: int | None) -> list[Label]:
    """What the axes of a root are: the time, one batch at most, the features.

    Where two may be the batch, those of size 1 are not.

    Raises:
        NoSequenceError: there are more.
    """
    rank = 1 + max([-1, *(a for a in view.axes if a is not None), *(a for a, _ in view.fixed)])
    found: list[Label] = [None] * max(rank, 0)
    for axis in view.axes[:-1]:
        if axis is not None:
            found[axis] = "batch"
    if view.axes[-1] is not None:
        found[view.axes[-1]] = "feature"
    if time is not None:
        found[time] = "time"
    shape = graph.shape(view.root) or ()
    for axis, size in enumerate(shape[:rank]):
        if size == 1 and found[axis] == "batch" and found.count("batch") > 1:
            found[axis] = None
    if found.count("batch") > 1:
        raise NoSequenceError(f"{view.root} has more axes than time, batch and features")
    return found


def sequence(build: Builder, run: Run, sequences: Mapping[str, str]) -> str:
    """A run as (time, batch, feature), whichever of them it has.

    Args:
        build: adds the nodes.
        run: what is read.
        sequences: name of a chain -> its hidden states of all steps, (time, batch, feature).
    """
    if run.of:
        return sequences[run.of]
    value, found = run.view.root, labels(build.graph, run.view, run.time)
    for axis, place in reversed(run.view.fixed):
        if axis != run.time:
            value = build.gather(value, axis, place)
            del found[axis]
    if run.time is not None and not run.whole:
        stop = _END if run.stop is None else run.stop
        value = build.slice(value, found.index("time"), run.start, stop, run.step)
    want: list[Label] = ["time", "batch", "feature"]
    return build.arrange(value, found, want)


def step_labels(graph: Graph, rank: int, runs: Iterable[Run]) -> tuple[Label, ...]:
    """What the axes of a hidden state are, from those of what a step is fed.

    Raises:
        NoSequenceError: they are more than batch and features.
    """
    found: list[Label] = [None] * rank
    for run in runs:
        known = labels(graph, run.view, run.time)
        for i, axis in enumerate(reversed(run.view.axes[:-1]), 2):
            if axis is not None and known[axis] == "batch" and i <= rank:
                found[-i] = "batch"
    found[-1] = "feature"
    if found.count("batch") > 1:
        raise NoSequenceError("its states have more axes than batch and features")
    return tuple(found)


def aligned(step: tuple[Label, ...], rank: int | None) -> tuple[Label, ...]:
    """The axes of a state of another rank: the last ones are the same."""
    more = (rank or 0) - len(step)
    return (None,) * more + step if more >= 0 else step[-more:]

"""Traces of few and of more steps, and the loops that are found in both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from rnnbench.capture.loops.counting import numbers_of_constants
from rnnbench.capture.loops.generalise import generalise_traces
from rnnbench.capture.loops.late import outputs_last
from rnnbench.capture.loops.nested import take_once
from rnnbench.capture.rolling.conditional import make_conditional, without_end
from rnnbench.capture.rolling.emitter import Rolled
from rnnbench.capture.rolling.roll import roll_loops
from rnnbench.capture.simplify import fold_constants, per_step_reads
from rnnbench.capture.tracing.errors import DependsOnData
from rnnbench.capture.tracing.exhausted import TooFewSteps, run_told
from rnnbench.capture.tracing.prove import difference
from rnnbench.capture.tracing.steps_run import (
    STEPS,
    Counting,
    counted_sizes,
    with_steps,
)
from rnnbench.capture.tracing.trace import Trace, retrace, trace_module, unlift
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model
from rnnbench.core.recurrence import Recurrence

_ENOUGH = 5  # steps
_FASTER = 1.25  # than the dimension that grows most
_FEW, _MORE = 3, 4
_SCALES = (1, 5)  # short traces are fast; strided front-ends need longer ones


def with_loops(
    model: Model, first: Trace, keep_loops: bool, *, outputs_behind: bool = False
) -> tuple[fx.GraphModule, dict[str, int], list[Recurrence]]:
    """Rolls the loops over the dimensions that turned into constants.

    Args:
        model: the declaration.
        first: a trace, which may become one of the two.
        keep_loops: leave a scan where a fused layer could stand.
        outputs_behind: put what is computed for an output alone behind the steps.

    Returns:
        A graph for any length, the sizes at which it was traced, and what the loops became.
    """
    error: RnnbenchError | None = None
    for scale in _SCALES:
        shorter, longer = _two_traces(model, first, scale)
        nested = _grow_together(first, shorter, longer)  # before they are rolled
        if outputs_behind:
            outputs_last(shorter.graph.graph)
            outputs_last(longer.graph.graph)
        try:
            loops = _roll(shorter, longer, first.frozen, keep_loops)
        except RnnbenchError as found:
            error = error or found
            if not nested:
                continue
            # Longer traces would be of thousands of nodes.
            for inner in first.frozen:
                with contextlib.suppress(RnnbenchError):
                    return _nested_loops(model, first, inner, keep_loops)
            break
        return shorter.graph, dict(shorter.dims), loops
    raise RnnbenchError(f"model {model.name!r}: {error}")


def _roll(
    shorter: Trace, longer: Trace, frozen: Sequence[str], keep_loops: bool
) -> list[Recurrence]:
    """Makes the graph of the shorter trace right for any length of some dimensions."""
    graphs = shorter.graph, longer.graph
    _fold_alike(*graphs)
    lengths = [(shorter.dims[d], longer.dims[d]) for d in frozen]
    rolled = roll_loops(*graphs, lengths, keep_loops=keep_loops)
    generalise_traces(*graphs)
    return [r for loop in rolled for r in _described(loop)]


def _grow_together(first: Trace, shorter: Trace, longer: Trace) -> bool:
    """Whether the trace grows with more than one dimension at once, as loops in loops do."""
    if len(first.frozen) < 2:
        return False
    nodes = [len(trace.graph.graph.nodes) for trace in (shorter, longer)]
    most = max(longer.dims[d] / shorter.dims[d] for d in first.frozen)
    return nodes[1] / nodes[0] > _FASTER * most


def _nested_loops(
    model: Model, first: Trace, inner: str, keep_loops: bool
) -> tuple[fx.GraphModule, dict[str, int], list[Recurrence]]:
    """Rolls the inner loop in each step of the outer one, and then the outer one.

    5 sentences of 7 words, 5 of 11  ->  5 sentences of any number of words
    8 sentences of 7 words, 8 of 11  ->  8 sentences of any number of words  ->  any of any
    """
    outer = tuple(d for d in first.frozen if d != inner)

    def any_inner(sizes: dict[str, int]) -> tuple[Trace, list[Recurrence]]:
        longer = sizes | model.fit({inner: sizes[inner] + _MORE})
        traces = [trace_module(model, s, first.frozen) for s in (sizes, longer)]
        for trace in traces:
            take_once(trace.graph.graph)
        loops = _roll(traces[0], traces[1], (inner,), keep_loops)
        graph = unlift(retrace(traces[0].graph, model, sizes, outer))
        return Trace(graph, sizes, outer), loops

    sizes = dict(first.dims)
    shorter, loops = any_inner(sizes)
    more = {d: sizes[d] + _FEW * model.dims[d].fit(1) for d in outer}
    longer, _ = any_inner(sizes | model.fit(more))
    # Each step had the inner loop; it is there once now.
    own = loops[: max(1, len(loops) // sizes[outer[0]])]
    return shorter.graph, sizes, own + _roll(shorter, longer, outer, keep_loops)


def _two_traces(model: Model, first: Trace, scale: int) -> tuple[Trace, Trace]:
    """Traces of few and of more steps: what differs between them grows with time."""
    # Each input has a symbol of its own for a dimension; the loop may have fixed one of several.
    having = [spec for spec in model.inputs if set(first.frozen) & set(spec.shape)]
    sizes = model.fit({d: n * scale if d in first.frozen else n for d, n in first.dims.items()})
    reused = scale == 1 and len(having) == 1
    trace = (
        first if reused else trace_module(model, sizes, first.frozen, first.counting, first.those)
    )
    half = _half(model, sizes, first.frozen) if scale == 1 else None
    if half is not None:
        return trace_module(model, half, first.frozen, first.counting, first.those), trace
    # Where there is a least size, a step takes about as much. Of every second, third, fourth or
    # sixth step a longer trace of 12 more has as many left over as the shorter one.
    steps = 3 if scale == 1 else 12
    least = {d: model.dims[d].fit(1) for d in first.frozen}
    more = model.fit(
        {d: sizes[d] + steps * (i + 1) * least[d] for i, d in enumerate(first.frozen)}
        if scale > 1
        else {d: sizes[d] + steps * least[d] + i for i, d in enumerate(first.frozen)}
    )
    return trace, trace_module(model, sizes | more, first.frozen, first.counting, first.those)


def _half(model: Model, sizes: dict[str, int], frozen: Sequence[str]) -> dict[str, int] | None:
    """Half the steps, which take half as long to trace, where they are enough to tell a loop by."""
    half = model.fit(sizes | {d: sizes[d] // 2 for d in frozen})
    enough = all(_ENOUGH * model.dims[d].fit(1) <= half[d] < sizes[d] for d in frozen)
    return half if enough and len(set(half.values())) == len(half) else None


def _fold_alike(shorter: fx.GraphModule, longer: fx.GraphModule) -> None:
    """Folds the same constants in both traces."""
    for graph in (shorter, longer):
        numbers_of_constants(graph)
    # What is read of a table step by step stays as it is, or each step would be a constant.
    read = per_step_reads(shorter, longer)
    for graph in (shorter, longer):
        fold_constants(graph, read)


def counted_loops(
    model: Model, dims: dict[str, int], keep_loops: bool, error: DependsOnData
) -> Iterator[tuple[fx.GraphModule, dict[str, int], list[Recurrence]]]:
    """The model with loops that run as long as data say: one for each way in which they may ask.

    Args:
        model: the declaration.
        dims: the size of each dynamic dimension.
        keep_loops: leave a scan where a fused layer could stand.
        error: why it cannot be traced as it is.

    Yields:
        As `with_loops`.
    """
    ways = [Counting(ends=False)]
    if model.max_steps is not None:
        ways += [Counting(ends=True, going=False), Counting(ends=True, going=True)]
    counted = with_steps(model)
    for way in ways:
        try:
            asking = counted_sizes(model, dims, way)
            first = trace_module(counted, asking, (STEPS,), way, error.those)
            if not _asked_as_often(first, model):
                continue
            # What a loop asks in each step is to be a value of that step.
            graph, sizes, loops = with_loops(counted, first, keep_loops or way.ends)
        except RnnbenchError:
            continue
        sizes = {d: n for d, n in sizes.items() if d != STEPS}
        loops = [_ending(loop, way) for loop in loops]
        for module in _conditional(model, first, graph, sizes):
            yield module, sizes, loops


def _ending(loop: Recurrence, way: Counting) -> Recurrence:
    """What is said of a loop that runs as long as data say."""
    if loop.representation != "scan":
        return loop
    note = "it ends on data" if way.ends else loop.note
    return replace(loop, representation="while", note=note)


def _conditional(
    model: Model, first: Trace, graph: fx.GraphModule, sizes: dict[str, int]
) -> Iterator[fx.GraphModule]:
    """The rolled graph with a loop that ends on data, where it ends as the module does."""
    way, most = first.counting, model.max_steps
    assert way is not None
    # A `while` asks once more than it has steps, but for those that it has at most.
    for questions in (most, most + 1) if most is not None and way.ends else (most,):
        try:
            module = make_conditional(graph, way.ends, way.going, questions)
            if way.ends and not _ends_alike(model, first, module, sizes):
                continue
        except TooFewSteps:
            raise
        except Exception:  # a graph that is wrong may raise anything
            continue
        yield module


def _ends_alike(model: Model, first: Trace, module: fx.GraphModule, sizes: dict[str, int]) -> bool:
    """Whether it gives what the module does at the first, second and last end."""
    assert first.counting is not None
    for questions in (None, 1, 2):
        try:
            told = run_told(model, sizes, first.counting.going, first.those, questions)
        except TooFewSteps:
            raise
        except Exception:  # it gives nothing without steps: torch.stack([])
            continue
        tensors, expected = told
        given = torch.utils._pytree.tree_leaves(without_end(module, questions).forward(*tensors))
        if any(difference(a, b) for a, b in zip(expected, given, strict=True)):
            return False
    return True


def _asked_as_often(first: Trace, model: Model) -> bool:
    """Whether the loop asked once a step, or for one number."""
    results: Any = first.graph.graph.output_node().args[0]
    asked = results[len(model.outputs) :]
    each_step = first.counting is not None and first.counting.ends
    shapes = [tuple(getattr(node.meta.get("val"), "shape", ())) for node in asked]
    return shapes == [(first.dims[STEPS],) if each_step else ()]


def _described(loop: Rolled) -> Iterator[Recurrence]:
    """What one loop became: a layer or a scan for each piece of its body that recurs."""
    for kind in loop.kinds:
        if kind == "scan":
            yield Recurrence(loop.place, "loop", "scan", loop.why)
        else:
            yield Recurrence(loop.place, kind, "fused", loop.why)

"""The stages of a capture in their order: trace, roll, simplify, prove, export for good, prove."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from rnnbench.capture.graph_edit import number, shape_of
from rnnbench.capture.loops.blocks import find_blocks
from rnnbench.capture.operators.lowering import lower
from rnnbench.capture.operators.recurrence import recurrence
from rnnbench.capture.operators.scan import SCAN, WHILE_LOOP
from rnnbench.capture.program import Captured
from rnnbench.capture.simplify import (
    drop_size_arguments,
    drop_zero_states,
    fold_constants,
)
from rnnbench.capture.source_lines import source_line
from rnnbench.capture.splits import split_by_slices
from rnnbench.capture.this_thread import exporting_alone
from rnnbench.capture.tracing.branches import explain_unproved, sizes_beyond
from rnnbench.capture.tracing.caches import beginning, ways_to_begin
from rnnbench.capture.tracing.errors import DependsOnData
from rnnbench.capture.tracing.prove import Proof, Unproved, runs_at
from rnnbench.capture.tracing.rewriting import Rewritten, numbering_steps
from rnnbench.capture.tracing.sizes import traced_sizes
from rnnbench.capture.tracing.states import check_states
from rnnbench.capture.tracing.trace import Trace, frozen_dims, retrace, trace_module
from rnnbench.capture.two_traces import counted_loops, with_loops
from rnnbench.core.collector import collecting_seldom
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model
from rnnbench.core.recurrence import Recurrence, Representation

_LOOPS: dict[Any, Representation] = {SCAN: "scan", WHILE_LOOP: "while"}
_LARGER = 2  # how often larger sizes are tried
_LARGEST = 1000
_ENOUGH = 5  # steps
_SCALES = (1, 5)  # short traces are fast; strided front-ends need longer ones


@exporting_alone()
@collecting_seldom()
def capture(model: Model, *, keep_loops: bool = False, allow_frozen: bool = False) -> Captured:
    """Captures a model once for all formats.

    Args:
        model: what the user declared.
        keep_loops: leave loops as scans where fused layers could stand.
        allow_frozen: accept a program that is right at the traced sizes alone.

    Raises:
        RnnbenchError: the module cannot be captured; the message names the place and the remedy.
    """
    check_states(model)
    ways = ways_to_begin(model.module)
    for way in ways:
        try:
            with beginning(way):
                return _at_sizes_large_enough(model, keep_loops)
        except RnnbenchError as error:
            if way != ways[-1] or allow_frozen:
                continue
            if not isinstance(error, Unproved):
                raise
            with beginning(way):
                raise explain_unproved(model, error) from None
    return _frozen(model, ways)


class _Small(Exception):  # noqa: N818  (a reason to try again)
    """At the traced sizes something is 1, or so small, that is not so elsewhere.

    Attributes:
        dims: larger sizes.
    """

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__()
        self.dims = dims


def _at_sizes_large_enough(model: Model, keep_loops: bool) -> Captured:
    """Captures a model at small sizes, or at larger ones where those say too little."""
    dims = traced_sizes(model)
    for _ in range(_LARGER):
        try:
            return _capture(model, keep_loops, dims)
        except _Small as small:
            dims = model.fit(small.dims)
        except Unproved as error:
            larger = sizes_beyond(model, error, dims)
            if larger is None:
                raise
            dims = larger
    return _capture(model, keep_loops, dims, any_size=True)


def _frozen(model: Model, ways: Sequence[str]) -> Captured:
    """The model at the traced lengths alone, its loops unrolled."""
    dims = traced_sizes(model)
    lengths = tuple(d for d in dims if d != model.batch_dim)
    for way in ways:
        try:
            with beginning(way):
                graph = trace_module(model, dims, lengths).graph
            break
        except RnnbenchError:
            if way == ways[-1]:
                raise
    fold_constants(graph)
    drop_zero_states(graph.graph)
    program = retrace(graph, model, dims, lengths)
    frozen = frozen_dims(model, program)
    return Captured(model, program, _recurrences(graph), dims, frozen)


def _capture(
    model: Model, keep_loops: bool, dims: dict[str, int], *, any_size: bool = False
) -> Captured:
    try:
        first = trace_module(model, dims)
    except DependsOnData as error:
        for graph, sizes, loops in counted_loops(model, dims, keep_loops, error):
            with contextlib.suppress(RnnbenchError):
                return _finish(model, graph, sizes, loops, any_size=any_size)
        raise
    conditions = first.conditions

    def finish(graph: fx.GraphModule, dims: dict[str, int], loops: list[Recurrence]) -> Captured:
        told = {"any_size": any_size, "shorter": bool(first.those.functions)}
        return _finish(model, graph, dims, loops, conditions, **told)

    if not first.frozen:  # no loop over time: the trace is the graph
        try:
            return finish(first.graph, dims, [])
        except Unproved:
            # A size that was computed from a dimension became a constant, as a loop's length does.
            lengths = tuple(d for d in dims if d != model.batch_dim)
            if not lengths:
                raise
            first = trace_module(model, dims, lengths)
    try:
        return finish(*with_loops(model, first, keep_loops))
    except RnnbenchError as error:
        for graph, sizes, loops in _unlike_steps(model, first, keep_loops):
            with contextlib.suppress(RnnbenchError):
                return finish(graph, sizes, loops)
        if keep_loops or not isinstance(error, Unproved):
            raise
    # No rewrite is made that cannot be proved: the loops stay loops.
    first = trace_module(model, dims, first.frozen)
    graph, dims, loops = with_loops(model, first, keep_loops=True)
    note = "its fused form could not be proved to compute the same"
    return finish(graph, dims, [replace(r, note=note) for r in loops])


def _unlike_steps(
    model: Model, first: Trace, keep_loops: bool
) -> Iterator[tuple[fx.GraphModule, dict[str, int], list[Recurrence]]]:
    """Loops whose steps do not all do the same, as `with_loops` gives them."""
    if first.those.steps:
        return

    def again(those: Rewritten) -> Trace:
        return trace_module(model, first.dims, first.frozen, those=those)

    # Some steps may give an output, `if t % 2: seen.append(f(h))`, or ask for their number.
    with contextlib.suppress(RnnbenchError):
        yield with_loops(model, again(first.those), keep_loops, outputs_behind=True)
    numbered = numbering_steps(model.module, first.those)
    if numbered is not None:
        with contextlib.suppress(RnnbenchError):
            yield with_loops(model, again(numbered), keep_loops)


def _finish(
    model: Model,
    graph: fx.GraphModule,
    dims: dict[str, int],
    loops: list[Recurrence],
    conditions: Sequence[tuple[Any, str]] = (),
    *,
    any_size: bool = False,
    shorter: bool = False,
) -> Captured:
    """Simplifies the graph, proves it, exports it for good, and proves what came out.

    Raises:
        _Small: the traced sizes say too little of others, unless they are taken as they are.
    """
    fold_constants(graph)
    drop_zero_states(graph.graph)
    split_by_slices(graph.graph)
    graph.recompile()
    proof = Proof(model, dims, conditions, shorter=shorter)
    proof.compare(graph.forward)  # a call would print what it raises
    recurrences = _recurrences(graph) + tuple(loops)
    # Traced once more, with the layers' and scans' own shapes, every size is a symbol again.
    program = retrace(graph, model, dims)
    drop_size_arguments(program)
    frozen = frozen_dims(model, program)
    if frozen:
        raise RnnbenchError(_still_frozen(model, frozen, dims))
    varying = proof.varying()
    if not any_size:
        larger = _above_largest(model, program, dims)
        if larger == dims and _fixes(program, varying):
            larger = {d: n if d == model.batch_dim else 3 * n for d, n in dims.items()}
        if larger != dims:
            raise _Small(larger)
    proof.compare(lower(program).module(check_guards=False).forward)
    return Captured(model, program, recurrences, dims, varying=varying)


def _above_largest(
    model: Model, program: ExportedProgram, dims: Mapping[str, int]
) -> dict[str, int]:
    """Sizes above those that the program may have at most, where the module has larger ones.

    Where `1 + samples // 32` was 1, the samples may not be above 31.
    """
    larger = dict(dims)
    nodes = {n.name: n for n in program.graph.nodes}
    for spec, name in zip(model.inputs, program.graph_signature.user_inputs, strict=True):
        for size, declared in zip(shape_of(nodes[str(name)]) or (), spec.shape, strict=False):
            if declared not in dims or declared == model.batch_dim:
                continue
            known = isinstance(size, torch.SymInt) and size.node.expr
            sizes = program.range_constraints.get(known) if known else None
            if sizes is not None and sizes.upper.is_Integer:
                beyond = 3 * (int(sizes.upper) + 1) + dims[str(declared)]
                if beyond <= _LARGEST and runs_at(model, dict(dims) | {str(declared): beyond}):
                    larger[str(declared)] = beyond
    return larger


def _fixes(program: ExportedProgram, varying: Sequence[Collection[int]]) -> bool:
    """Whether an output's size is a number in the program, and varies in the module."""
    nodes = {n.name: n for n in program.graph.nodes}
    for name, dims in zip(program.graph_signature.user_outputs, varying, strict=False):
        shape = shape_of(nodes.get(str(name))) or ()
        if any(number(shape[dim]) is not None for dim in dims if dim < len(shape)):
            return True
    return False


def _recurrences(graph: fx.GraphModule) -> tuple[Recurrence, ...]:
    """The layers of a traced module, by their place in it; loops are listed by who rolled them."""
    found = []
    for node in graph.graph.nodes:
        stack = node.meta.get("nn_module_stack") or {}
        path = str(list(stack.values())[-1][0]) or "(the module)" if stack else ""
        if node.target is recurrence and stack:
            found.append(Recurrence(path, str(node.args[5]), "fused"))
        elif node.target is SCAN and stack and _is_lstm(list(stack.values())[-1][1]):
            found.append(Recurrence(path, "lstm", "scan", "no operator has projections"))
        elif node.target in _LOOPS:
            name = _LOOPS[node.target]
            found.append(Recurrence(source_line(node) or name, "loop", name))
    # A loop of a fixed number of steps is left as it is; the largest one is named.
    for block in find_blocks(graph.graph):
        if block.carried:
            steps = f"{block.length} steps at any length of the input"
            place = source_line(block.body[-1]) or "a loop"
            found.append(Recurrence(place, "loop", "unrolled", steps))
            break
    return tuple(found)


def _is_lstm(kind: Any) -> bool:
    """Whether an entry of a node's module stack, a class or its name, is `nn.LSTM`."""
    return kind is torch.nn.LSTM or str(kind) == "torch.nn.modules.rnn.LSTM"


def _still_frozen(model: Model, frozen: tuple[str, ...], dims: Mapping[str, int]) -> str:
    which = ", ".join(f"{d!r} at {dims[d]}" for d in frozen)
    return (
        f"model {model.name!r}: dimension {which} became a constant: the module computes with it "
        "as a Python number; use tensor operations, or fix this size (allow_frozen=True, or no "
        "dynamic axis in a drop-in call)"
    )

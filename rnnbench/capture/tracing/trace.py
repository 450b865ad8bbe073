"""A module becomes a graph: the one place that calls `torch.export`. Tried on torch 2.11 to 2.14.

The graph is functional (nothing is written in place), its operators are ATen's as the author called
them and `rnnbench::recurrence`, and its parameters and buffers are attributes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from rnnbench.capture.graph_edit import drop_casts, keep_constants, number, settle_squeezes
from rnnbench.capture.operators.sizes import settle_whole
from rnnbench.capture.tracing.arguments import as_called, example_of
from rnnbench.capture.tracing.assertions import (
    conditions_of,
    drop_least_of_two,
    plain_assertions,
)
from rnnbench.capture.tracing.autocast import spell_autocast
from rnnbench.capture.tracing.data_bounds import select_by_tensors
from rnnbench.capture.tracing.data_branches import FEW, MANY, Answers, NoWay, merge_ways, share
from rnnbench.capture.tracing.declared import as_declared
from rnnbench.capture.tracing.errors import (
    DependsOnData,
    in_one_line,
    one_line_errors,
    raised_by_the_model,
)
from rnnbench.capture.tracing.foreign import refuse_foreign
from rnnbench.capture.tracing.layers import standing_in
from rnnbench.capture.tracing.listed import AsksForNumbers
from rnnbench.capture.tracing.merging import Unlike
from rnnbench.capture.tracing.regions import inline_regions
from rnnbench.capture.tracing.rewriting import Rewritten
from rnnbench.capture.tracing.scripted import Wrapped
from rnnbench.capture.tracing.states import hidden_state
from rnnbench.capture.tracing.steps_run import STEPS, Counting, ask_once
from rnnbench.core.dims import names_of
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model
from rnnbench.models.calls import leave_inference_mode, undisturbed

aten = torch.ops.aten

_NONE = Rewritten()


@dataclass(frozen=True)
class Trace:
    """A graph of a module.

    Attributes:
        graph: the graph; its placeholders are the model's inputs, in order.
        dims: dynamic dimension -> the size that it had.
        frozen: the dimensions that turned into constants although they were to be dynamic.
        conditions: what the module asked of its sizes, and was so: an expression of SymPy in the
            names of the dimensions, and `file:line`.
        counting: where a loop runs as long as data say, how it was told; the last output is then
            what it asked.
        those: the functions of the model that ran both ways of an `if` on data.
    """

    graph: fx.GraphModule
    dims: Mapping[str, int]
    frozen: tuple[str, ...]
    conditions: tuple[tuple[Any, str], ...] = ()
    counting: Counting | None = None
    those: Rewritten = _NONE


def trace_module(
    model: Model,
    dims: Mapping[str, int],
    static: Sequence[str] = (),
    counting: Counting | None = None,
    those: Rewritten = _NONE,
) -> Trace:
    """Traces the module, once for each way that an `if` on data may take.

    Args:
        model: what to trace.
        dims: the size of each dynamic dimension.
        static: the dimensions that are to be constants.
        counting: how to answer a loop that runs as long as data say.
        those: the functions that run both ways of an `if` on data; others are found.

    Raises:
        RnnbenchError: the module raises, or keeps a state that the declaration does not name.
    """
    given = model, dims, static, counting, those
    try:
        trace = _all_functions(*given, rows=False)
    except RnnbenchError as error:
        asks = isinstance(error, DependsOnData) or isinstance(error.__cause__, AsksForNumbers)
        if not asks:  # its numbers might be had row by row
            raise
        try:
            return _all_functions(*given, rows=True)
        except RnnbenchError:
            raise error from error.__cause__
    if _takes_numbers(trace):
        with contextlib.suppress(RnnbenchError):
            other = _all_functions(*given, rows=True)
            return trace if _takes_numbers(other) else other
    return trace


def _takes_numbers(trace: Trace) -> bool:
    """Whether a number is taken out of a tensor in each step of a loop."""
    items = trace.graph.graph.find_nodes(op="call_function", target=aten.item.default)
    return bool(trace.frozen) and len(items) >= min(trace.dims[d] for d in trace.frozen)


def _all_functions(
    model: Model,
    dims: Mapping[str, int],
    static: Sequence[str],
    counting: Counting | None,
    those: Rewritten,
    *,
    rows: bool,
) -> Trace:
    """The trace in which every function that has to runs both ways of an `if` on data.

    Where such a function leaves what cannot be chosen from, `mask if mask.any() else None`, more
    questions are answered instead, and only what functions demand of sizes is rewritten; where
    that is refused as well, the first refusal says why.
    """
    first, most = those.functions, FEW
    unlike: RnnbenchError | None = None
    while True:
        try:
            return _all_ways(model, dims, static, those, counting, rows=rows, most=most)
        except RnnbenchError as error:
            if isinstance(error.__cause__, Unlike) and most == FEW and those.functions != first:
                those, most, unlike = replace(those, functions=first), MANY, error
                continue
            # A function that asks in each step of a loop runs both ways in each.
            cause = error.__cause__ if isinstance(error, DependsOnData) else None
            more = None if cause is None else those.and_those_of(cause)
            if unlike is not None and (more is None or more.functions != first):
                unlike.add_note(f"and with more questions answered: {error}")
                raise unlike from unlike.__cause__
            if more is None:
                if isinstance(error, DependsOnData):
                    error.those = those
                raise
            those = more


def _all_ways(
    model: Model,
    dims: Mapping[str, int],
    static: Sequence[str],
    those: Rewritten,
    counting: Counting | None,
    *,
    rows: bool,
    most: int,
) -> Trace:
    """One graph for all the ways that the questions outside of loops have."""
    answers, first, asked = _first_way(model, dims, static, those, counting, rows, most)
    if counting is not None:
        if asked:
            raise RnnbenchError("an `if` on data beside a loop that runs as long as data say")
        ask_once(first.graph.graph, len(model.outputs))
    if not asked:
        return replace(first, counting=counting, those=those)

    def trace(given: tuple[bool, ...]) -> tuple[fx.GraphModule, int]:
        told = Answers(given, rows=rows, most=most)
        found, count = _trace_once(model, dims, static, told, those)
        return found.graph, count

    merged = merge_ways((first.graph, asked), answers, trace, model.name)
    program = retrace(merged, model, dims, static)
    graph = unlift(program)
    share(graph.graph)
    graph.recompile()
    return replace(_as_trace(graph, model, dims, static, program), those=those)


def _first_way(
    model: Model,
    dims: Mapping[str, int],
    static: Sequence[str],
    those: Rewritten,
    counting: Counting | None,
    rows: bool,
    most: int,
) -> tuple[tuple[bool, ...], Trace, int]:
    """The first way on which the module does not raise: its answers, and what `_trace_once` gives.

    `if (lengths < 1).any(): raise ValueError` is answered by True first.
    """
    answers: tuple[bool, ...] = ()
    while True:
        told = Answers(answers, counting, dims.get(STEPS, 0), rows=rows, most=most)
        try:
            return answers, *_trace_once(model, dims, static, told, those)
        except NoWay as error:
            place = len(told.asked) - 1
            if place < len(answers) or place < 0:
                raise RnnbenchError(in_one_line(model, error.error)) from error.error
            answers = (*answers, *[True] * (place - len(answers)), False)


def _trace_once(
    model: Model,
    dims: Mapping[str, int],
    static: Sequence[str],
    told: Answers,
    those: Rewritten,
    whole: int | None = None,
) -> tuple[Trace, int]:
    """One way through the module, and how many questions it asked; their truths come last.

    Where it counts the rows of steps, it is traced once more, to know which sequences are unpacked
    after that: see `Packing`.

    Raises:
        NoWay: the module raises after it was told something.
    """
    module = model.module
    module = Wrapped(module) if isinstance(module, torch.jit.ScriptModule) else module
    fixed = {d: dims[d] for d in static}
    declared = as_declared(model, module, fixed, told)
    instead = standing_in(module, told, those, fixed.values(), whole)
    with evaluating(module), one_line_errors(model), instead as packing, declared:
        tensors, shapes = example_of(model, dims, static)
        shapes = as_called(module, shapes)
        try:
            program = torch.export.export(module, tensors, dynamic_shapes=shapes, strict=False)
        except Exception as error:
            if told.asked and raised_by_the_model(error):
                raise NoWay(error) from error
            raise
        program = _functional(program)
    if whole is None and packing.before_walks:
        return _trace_once(model, dims, static, told.anew(), those, packing.before_walks)
    _refuse_hidden_state(model, program)
    graph = unlift(program)
    inline_regions(graph)
    spell_autocast(graph)
    refuse_foreign(graph.graph, model.name)
    return _as_trace(graph, model, dims, static, program), len(told.asked)


def _as_trace(
    graph: fx.GraphModule,
    model: Model,
    dims: Mapping[str, int],
    static: Sequence[str],
    program: ExportedProgram,
) -> Trace:
    """Tidies a graph up."""
    plain_assertions(graph.graph)
    select_by_tensors(graph.graph)
    drop_casts(graph.graph)
    settle_squeezes(graph.graph)
    settle_whole(graph.graph)
    # A product of a constant and another dimension is none: `envs*time`, with time fixed.
    frozen = tuple(d for d in dims if d in static or d in frozen_dims(model, program))
    return Trace(graph, dict(dims), frozen, conditions_of(model, program))


def retrace(
    graph: fx.GraphModule, model: Model, dims: Mapping[str, int], static: Sequence[str] = ()
) -> ExportedProgram:
    """Exports a rewritten graph, with its dimensions dynamic but for the `static` ones."""
    keep_constants(graph)
    with torch.no_grad(), one_line_errors(model):
        tensors, shapes = example_of(model, dims, static)
        program = torch.export.export(graph, tensors, dynamic_shapes=shapes, strict=False)
        program = _functional(program)
    drop_least_of_two(program.graph)
    return program


def _functional(program: ExportedProgram) -> ExportedProgram:
    """The program without writes in place; it is traced once more for that, where it has any.

    select = select(y, 0, 1)       select = select(y, 0, 1)
    copy_ = copy_(select, exp)  ->  copy = copy(select, exp)
                                    y_1 = select_scatter(y, copy, 0, 1)
    """
    calls = [n.target for g in program.graph_module.modules() for n in _calls(g)]
    writes = any(isinstance(t, torch._ops.OpOverload) and t._schema.is_mutable for t in calls)
    functional: ExportedProgram = program.run_decompositions({}) if writes else program
    return functional


def _calls(module: Any) -> list[fx.Node]:
    return list(module.graph.nodes) if isinstance(module, fx.GraphModule) else []


def unlift(program: ExportedProgram) -> fx.GraphModule:
    """The program's graph with parameters as attributes and the outputs in one flat tuple.

    p_cell_weight_ih = placeholder  ->  cell_weight_ih = get_attr cell.weight_ih
    return ((y, (h, c)),)           ->  return (y, h, c)
    """
    graph = program.module(check_guards=False)
    graph.graph.set_codegen(fx.graph.CodeGen())
    output = graph.graph.output_node()
    output.args = (tuple(torch.utils._pytree.tree_leaves(output.args[0])),)
    # Torch's own checks of the sizes at each call: the declaration says which there may be.
    for node in list(graph.graph.nodes):
        if node.op == "call_module" and node.target == "_guards_fn":
            graph.graph.erase_node(node)
    graph._forward_pre_hooks.clear()
    graph.recompile()
    return graph


def frozen_dims(model: Model, program: ExportedProgram) -> tuple[str, ...]:
    """The declared dynamic dimensions that are constants of a program."""
    names = program.graph_signature.user_inputs
    nodes = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    found: dict[str, None] = {}
    for spec, name in zip(model.inputs, names, strict=True):
        value = nodes[str(name)].meta["val"]
        # value [batch, time, 3] as symbols or numbers, spec.shape ("batch", "time", 3)
        for size, declared in zip(value.shape, spec.shape, strict=True):
            if number(size) is not None:
                found |= dict.fromkeys(names_of(declared))
    return tuple(found)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards the module is as it was, also on an error."""
    with undisturbed(module), torch.no_grad():
        leave_inference_mode(module)
        yield


def _refuse_hidden_state(model: Model, program: ExportedProgram) -> None:
    mutated = program.graph_signature.buffers_to_mutate
    if mutated:
        raise hidden_state(model, f"self.{next(iter(mutated.values()))}")

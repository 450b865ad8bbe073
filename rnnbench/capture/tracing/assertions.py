"""What a trace asserts, and what it asked of sizes."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from rnnbench.core.dims import names_of
from rnnbench.core.model import Model

aten = torch.ops.aten


def plain_assertions(graph: fx.Graph) -> None:
    """Takes out what a cast leaves, which tracing has asserted, and the sizes in messages.

    _assert_tensor_metadata(x, dtype=torch.float32, ...)  ->  (nothing)
    _assert_scalar(ge, "... expression u0 >= 1 on ...")   ->  _assert_scalar(ge, "a length is ...")
    """
    for node in graph.find_nodes(op="call_function", target=aten._assert_tensor_metadata.default):
        graph.erase_node(node)
    for node in graph.find_nodes(op="call_function", target=aten._assert_scalar.default):
        node.args = (node.args[0], "a length is out of range")
    drop_least_of_two(graph)


def drop_least_of_two(graph: fx.Graph) -> None:
    """Takes out that a number in a tensor is 2 or more, which it need not be.

    Torch takes it from sizes that are equal to it, which are 2 or more while a module is traced.

    _assert_scalar(ge(item, 2), "...")   ->  (nothing)
    _assert_scalar(eq(item, time), "...")    (stays)
    """
    for node in graph.find_nodes(op="call_function", target=aten._assert_scalar.default):
        test: Any = node.args[0]
        if test.target is operator.ge and test.args[1] == 2:
            graph.erase_node(node)


def conditions_of(model: Model, program: ExportedProgram) -> tuple[tuple[Any, str], ...]:
    """What the module asked of its sizes: an expression in the names of the dimensions, a place."""
    import sympy

    names: dict[Any, Any] = {}
    guards: list[Any] = []
    # The inputs are the last placeholders; before them are parameters and buffers.
    holders = [n for n in program.graph.find_nodes(op="placeholder") if "val" in n.meta]
    for spec, node in zip(model.inputs, holders[-len(model.inputs) :], strict=False):
        for dim, size in zip(spec.shape, getattr(node.meta["val"], "shape", ()), strict=False):
            if names_of(dim) == (dim,) and isinstance(size, torch.SymInt):
                guards = size.node.shape_env.guards
                if size.node.expr.is_Symbol:
                    names[size.node.expr] = sympy.Symbol(dim, integer=True, positive=True)
    found = []
    for guard in guards:
        expression = guard.expr.subs(names)
        # Of sizes of the inputs alone: what holds of a length in a tensor is asserted in the graph.
        if expression.free_symbols and expression.free_symbols <= set(names.values()):
            frame = guard.sloc.framework_loc
            place = f"{frame.filename}:{frame.lineno}" if hasattr(frame, "filename") else ""
            found.append((expression, place))
    return tuple(found)

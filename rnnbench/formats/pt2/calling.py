"""A flat program that takes and returns what the module did: nested, with constants among it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import (
    ConstantArgument,
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
)
from torch.utils import _pytree


@dataclass(frozen=True)
class Convention:
    """How a program is called.

    Attributes:
        args: an example of the positional arguments.
        kwargs: an example of those by name.
        names: of the parameters that they are given to.
        returned: the structure of what it returns.
        kept: of what it returns, in order, whether each is a tensor (else it is None).
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    names: Sequence[str]
    returned: _pytree.TreeSpec
    kept: Sequence[bool]


def with_convention(program: ExportedProgram, convention: Convention) -> ExportedProgram:
    """The same program under another calling convention.

    f(x, h, c) -> (y, h, c)   becomes   f(x, (h, c), None, scale=2.0) -> {"y": y, "state": (h, c)}

    Args:
        program: takes tensors one by one and returns a flat tuple; its graph is changed.
        convention: the arguments, whose tensors are its inputs in their order.
    """
    leaves, structure = _pytree.tree_flatten((convention.args, convention.kwargs))
    signature = ExportGraphSignature(_inputs(program, leaves), _outputs(program, convention.kept))
    program.graph_module.recompile()
    entry = program.module_call_graph[0]
    assert entry.signature is not None
    said = replace(
        entry.signature,
        in_spec=structure,
        out_spec=convention.returned,
        forward_arg_names=list(convention.names),
    )
    return ExportedProgram(
        root=program.graph_module,
        graph=program.graph,
        graph_signature=signature,
        state_dict=program.state_dict,
        range_constraints=program.range_constraints,
        module_call_graph=[replace(entry, signature=said)],
        example_inputs=(convention.args, convention.kwargs),
        constants=program.constants,
        verifiers=[program.verifier],
    )


def _inputs(program: ExportedProgram, leaves: Sequence[Any]) -> list[InputSpec]:
    """The inputs, with a placeholder for each constant among the arguments."""
    graph = program.graph
    nodes = {node.name: node for node in graph.find_nodes(op="placeholder")}
    specs = program.graph_signature.input_specs
    lifted = [spec for spec in specs if spec.kind is not InputKind.USER_INPUT]
    users = iter([spec for spec in specs if spec.kind is InputKind.USER_INPUT])
    found = list(lifted)
    last = nodes[lifted[-1].arg.name] if lifted else None
    for number, leaf in enumerate(leaves):
        if isinstance(leaf, torch.Tensor):
            spec = next(users)
            last = nodes[spec.arg.name]
        else:
            place = graph.inserting_after(last) if last else graph.inserting_before()
            with place:
                last = graph.placeholder(f"constant_{number}")
            last.meta["val"] = leaf
            argument = ConstantArgument(name=last.name, value=leaf)
            spec = InputSpec(InputKind.USER_INPUT, argument, target=None)
        found.append(spec)
    return found


def _outputs(program: ExportedProgram, kept: Sequence[bool]) -> list[OutputSpec]:
    """The outputs, with None where the module returns it."""
    specs, values = iter(program.graph_signature.output_specs), []
    node = program.graph.output_node()
    tensors = iter(node.args[0])
    found = []
    for tensor in kept:
        if tensor:
            found.append(next(specs))
            values.append(next(tensors))
        else:
            nothing = ConstantArgument(name="", value=None)
            found.append(OutputSpec(OutputKind.USER_OUTPUT, nothing, target=None))
            values.append(None)
    node.args = (tuple(values),)
    return found


def bound_sizes(
    program: ExportedProgram,
    shapes: Sequence[Sequence[int | str]],
    least: Mapping[str, int],
    most: Mapping[str, int],
) -> None:
    """Writes the sizes that dimensions may have into the program's constraints.

    Args:
        program: whose `range_constraints` are changed.
        shapes: of the inputs, with the names of dimensions.
        least: the least sizes by the names.
        most: the largest sizes by the names.
    """
    from torch.utils._sympy.value_ranges import ValueRanges

    nodes = {node.name: node for node in program.graph.find_nodes(op="placeholder")}
    for name, shape in zip(program.graph_signature.user_inputs, shapes, strict=True):
        for size, declared in zip(nodes[str(name)].meta["val"].shape, shape, strict=True):
            symbol = size.node.expr if isinstance(size, torch.SymInt) else None
            known = program.range_constraints.get(symbol) if symbol is not None else None
            if known is not None and isinstance(declared, str):
                lower = max(known.lower, least.get(declared, 1))
                upper = min(known.upper, most.get(declared, known.upper))
                program.range_constraints[symbol] = ValueRanges(lower, upper)

"""A program's graph in nodes of its own: for who rewrites it and leaves the program as it is."""

from __future__ import annotations

import copy

from torch import fx
from torch.export import ExportedProgram


def copy_of(program: ExportedProgram) -> fx.GraphModule:
    """A program's graph in nodes of its own, and so the bodies of its loops and branches."""
    root = _copied(program.graph_module)
    for copied, given in zip(
        root.graph.find_nodes(op="placeholder"),
        program.graph.find_nodes(op="placeholder"),
        strict=True,
    ):
        copied.name = given.name  # fx renames what is called like a function of Python: `input`
    return root


def _copied(module: fx.GraphModule) -> fx.GraphModule:
    graph = fx.Graph()
    output = graph.graph_copy(module.graph, {}, return_output_node=True)
    assert isinstance(output, tuple)
    values, old = output
    new = graph.output(values)
    new.meta = copy.copy(old.meta)
    made = fx.GraphModule(module, graph)
    for name, body in list(made.named_children()):
        if isinstance(body, fx.GraphModule):
            setattr(made, name, _copied(body))
    return made

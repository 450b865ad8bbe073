"""A program's graph in nodes of its own: for who rewrites it and leaves the program as it is."""

from __future__ import annotations

import copy

from torch import fx
from torch.export import ExportedProgram


def copy_of(program: ExportedProgram) -> fx.GraphModule:
    """A program's graph in nodes of its own, and so the bodies of its loops and branches."""
    return _copied(program.graph_module, {})


def _copied(module: fx.GraphModule, bodies: dict[int, fx.GraphModule]) -> fx.GraphModule:
    """A copy; `bodies` has those that were copied before, by the `id` of what they are of.

    fx renames what is called like a function of Python, and with it what has the name that it
    chooses, which a program's signature goes by:

        sum = placeholder          sum_1 = placeholder          sum = placeholder
        sum_1 = sum(gru)       ->  sum_2 = sum(gru)         ->  sum_1 = sum(gru)
    """
    graph, nodes = fx.Graph(), dict[fx.Node, fx.Node]()
    output = graph.graph_copy(module.graph, nodes, return_output_node=True)
    assert isinstance(output, tuple)
    values, old = output
    new = graph.output(values)
    new.meta = copy.copy(old.meta)
    for given, copied in nodes.items():
        copied.name = given.name
    made = fx.GraphModule(module, graph)
    for path in _bodies_of(made):
        body: fx.GraphModule = made.get_submodule(path)  # type: ignore[assignment]
        if id(body) not in bodies:
            bodies[id(body)] = _copied(body, bodies)
        owner, _, name = path.rpartition(".")
        setattr(made.get_submodule(owner), name, bodies[id(body)])
    return made


def _bodies_of(module: fx.GraphModule) -> list[str]:
    """Where its own bodies are, not those in them."""
    found: list[str] = []
    for path, part in module.named_modules(remove_duplicate=False):
        inside = path.startswith(tuple(f"{outer}." for outer in found))
        if path and isinstance(part, fx.GraphModule) and not inside:
            found.append(path)
    return found

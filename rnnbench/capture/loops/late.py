"""What a step computes for an output alone, put behind all steps.

In every other step of a loop an output is computed of the state:

    gru_cell           gru_cell
    linear             gru_cell_1
    gru_cell_1     ->  gru_cell_2
    gru_cell_2         ...
    linear_1           linear
    ...                linear_1
    stack              stack

Then each cell is a step of one loop, and each output a step of a second one with a stride.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from rnnbench.capture.loops.ends import token


def outputs_last(graph: fx.Graph) -> None:
    """Moves what no later step needs behind the steps, grouped by what it ends in."""
    nodes = [node for node in graph.nodes if node.op == "call_function"]
    kinds: dict[Any, int] = {}
    kind = {node: kinds.setdefault(token(node), len(kinds)) for node in nodes}
    before: dict[fx.Node, int] = {}  # a bit for each kind of which a node needs one
    for node in nodes:
        found = 0
        for source in node.all_input_nodes:
            if source in kind:
                found |= before[source] | 1 << kind[source]
        before[node] = found
    carried = 0
    for node in nodes:
        carried |= before[node] & 1 << kind[node]
    group: dict[fx.Node, int] = {}
    for place in reversed(range(len(nodes))):
        node = nodes[place]
        users = [user for user in node.users if user.op != "output"]
        of_steps = before[node] & carried
        if of_steps and not carried >> kind[node] & 1 and all(user in group for user in users):
            group[node] = min((group[user] for user in users), default=place)
    order = {node: place for place, node in enumerate(nodes)}
    end = graph.output_node()
    for node in sorted(group, key=lambda n: (group[n], order[n])):
        end.prepend(node)

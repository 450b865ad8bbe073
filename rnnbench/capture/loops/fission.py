"""Takes the body of a loop apart: what really recurs, and what each step computes on its own.

The classic loop distribution: nodes that reach themselves through the step before belong together
(a strongly connected component), everything else may be computed for all steps at once.

Of the body `mul = x_t * 2; add = mul + h; tanh = tanh(add); h = h + tanh; exp = exp(h)`:

    Piece((mul,), recurs=False)    Piece((add, tanh, h), recurs=True)    Piece((exp,), recurs=False)
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import networkx as nx
from torch import fx

from rnnbench.capture.loops.steps import Block, arguments


@dataclass(frozen=True)
class Piece:
    """Positions of the body that stay together.

    Attributes:
        positions: in the order of the body.
        recurs: whether a step needs what the piece computed in the step before.
    """

    positions: tuple[int, ...]
    recurs: bool

    def reads(self, block: Block) -> set[int]:
        """The positions outside of the piece whose values it needs."""
        body = block.body
        index = {n: j for j, n in enumerate(body)}
        found = set()
        for j in self.positions:
            for place, leaf in enumerate(arguments(body[j])):
                before = block.previous.get((j, place))
                if before is not None:
                    found.add(before)
                elif isinstance(leaf, fx.Node) and leaf in index:
                    found.add(index[leaf])
        return found - set(self.positions)


def dependencies(block: Block) -> nx.DiGraph:
    """An edge from each position to those that need its value, in the same step or the next."""
    body = block.body
    index = {n: j for j, n in enumerate(body)}
    graph = nx.DiGraph()
    given = {*block.inputs, *block.writes}  # these are taken and put for all steps anyway
    graph.add_nodes_from(j for j in range(len(body)) if j not in given)
    for j in list(graph):
        for place, leaf in enumerate(arguments(body[j])):
            before = block.previous.get((j, place))
            if before is not None:
                graph.add_edge(before, j, before=True)
            elif isinstance(leaf, fx.Node) and leaf in index and index[leaf] not in given:
                graph.add_edge(index[leaf], j)
                if body[j].target is operator.getitem:
                    graph.add_edge(j, index[leaf])  # a tuple stays with what is taken from it
    return graph


def split_body(block: Block) -> list[Piece]:
    """The pieces of a body in an order in which each needs only those before it."""
    graph = dependencies(block)
    condensed = nx.condensation(graph)  # a graph of the components, which has no cycle
    members = {c: tuple(sorted(data["members"])) for c, data in condensed.nodes(data=True)}
    recurs = {
        c: any(data.get("before") for _, _, data in graph.subgraph(positions).edges(data=True))
        for c, positions in members.items()
    }
    pieces: list[Piece] = []
    waiting = dict(condensed.in_degree())
    while waiting:
        ready = sorted((c for c, n in waiting.items() if n == 0), key=lambda c: members[c])
        # All that needs no recurrence first, as one piece; then one recurrence alone.
        plain = [c for c in ready if not recurs[c]]
        chosen = plain or ready[:1]
        positions = tuple(sorted(j for c in chosen for j in members[c]))
        if plain and pieces and not pieces[-1].recurs:  # it continues the piece before
            positions = tuple(sorted({*pieces.pop().positions, *positions}))
        pieces.append(Piece(positions, not plain))
        for c in chosen:
            del waiting[c]
            for after in condensed.successors(c):
                waiting[after] -= 1
    return pieces

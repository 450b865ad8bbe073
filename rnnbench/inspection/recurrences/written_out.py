"""Recurrences that are one step of a cell, written out as products and activations.

The file has no loop: whoever runs it is the loop, and hands its output on to its input. So a step
begins at what comes of an input as it is (or of a tensor that the module keeps), and ends at what
goes to an output as it is; between them stand the formulas of a cell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.operators import LOOPS, MATRIX, MULTIPLY, PASS, RELU, TANH
from rnnbench.inspection.program import Body, Node, Ref, walk
from rnnbench.inspection.recurrences.cells import dtype, sizes
from rnnbench.inspection.recurrences.proof import Step, steps_between
from rnnbench.inspection.recurrences.record import FoundRecurrence, state_in, state_out

_ENDS = (*TANH, *RELU, *MULTIPLY, "Add", "aten.add", "Sub", "aten.sub", "Sum")
_MOST = 24  # values that a step may begin at, or end at: a stack of cells has two for each
_MOST_NODES = 4096


def find_written_out(flow: Flow, claimed: Collection[int]) -> Iterator[FoundRecurrence]:
    """One for each cell, in the graph itself and in its branches; loops are no single steps.

    Args:
        flow: the program's edges.
        claimed: the ids of nodes that belong to a loop: its last step ends at an output as well.
    """
    for body in _bodies(flow.program.graph):
        able = [n for n in body.nodes if n.op in _ENDS and id(n) not in claimed]
        ends = [n.outputs[0] for n in able if _leaves(flow, n)]
        nodes = _behind(flow, body, ends)
        starts = _starts(flow, nodes)
        if not ends or not starts or max(len(ends), len(starts)) > _MOST:
            continue
        # What hands an input on stands in front of the step.
        inner = [n for n in nodes if not {*n.outputs} & {*starts}]
        if len(inner) <= _MOST_NODES:
            for step in steps_between(flow, inner, starts, ends):
                yield _describe(flow, body, step)


def _bodies(graph: Body) -> Iterator[Body]:
    """The graph and its branches, and theirs; not what a loop repeats."""
    yield graph
    for node in graph.nodes:
        if node.op not in LOOPS:
            for body in node.bodies:
                yield from _bodies(body)


def _leaves(flow: Flow, node: Node) -> bool:
    return bool(node.outputs) and bool(flow.destinations(node.outputs[0]))


def _behind(
    flow: Flow, body: Body, values: Sequence[str], before: Sequence[str] = ()
) -> list[Node]:
    """The nodes of a body that values are made by, in order.

    Args:
        flow: the program's edges.
        body: whose nodes they are.
        values: that they make, however indirectly.
        before: where to stop: at these values, and at what matrix products with them are of.
    """
    own = {name: node for node in body.nodes for name in filter(None, node.outputs)}
    waiting, seen = [v for v in values if v in own], set[int]()
    while waiting:
        node = own[waiting.pop()]
        if id(node) in seen:
            continue
        seen.add(id(node))
        if before and node.op in MATRIX:
            # What hands its data on is needed to know where they come from.
            waiting += [r for r in node.refs if r in own and own[r].op in PASS]
            continue
        inner = [r for b in node.bodies for n in walk(b) for r in n.refs]
        waiting += [r for r in (*node.refs, *inner) if r in own and r not in before]
    return [node for node in body.nodes if id(node) in seen]


def _starts(flow: Flow, nodes: Sequence[Node]) -> list[str]:
    """What enters the nodes out of an input, or a tensor that is kept, as it is.

    In the order of the inputs, which have a cell's states behind what it is fed.
    """
    order = [port.name for port in flow.program.inputs]
    read = [r for n in nodes if n.op not in PASS for r in n.refs]
    found: dict[str, int] = {}
    for value in dict.fromkeys(read):
        origins = flow.origins(value)
        if origins and all(kind in ("input", "state") for kind, _ in origins):
            places = [order.index(name) for kind, name in origins if kind == "input"]
            found[value] = max(places, default=len(order))
    return sorted(found, key=found.__getitem__)


def _describe(flow: Flow, body: Body, step: Step) -> FoundRecurrence:
    near = _behind(flow, body, step.ends, before=step.starts)
    given, hidden = sizes(flow, near, step.starts, step.kind)
    products = [n for n in near if n.op in MATRIX]
    shape = flow.program.shape(Ref(step.ends[0])) or flow.program.shape(Ref(step.starts[0]))
    return FoundRecurrence(
        place=(products or near)[0].name,
        representation="step",
        kind=step.kind,
        input_size=given,
        hidden_size=hidden,
        state_in=state_in(flow, [Ref(s) for s in step.starts]),
        state_out=state_out(flow, step.ends),
        dtype=dtype(flow, near),
        time=1,
        batch=shape[0] if shape else None,
        period=len(near),
        states=tuple(Ref(s) for s in step.starts),
        lasts=step.ends,
    )

"""Tells which cell the nodes of one step are, and its sizes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rnnbench.flow import Flow, data_of
from rnnbench.operators import CELLS, FUSED, GATES, MATRIX, MULTIPLY, PASS, RELU, SIGMOID, TANH
from rnnbench.program import Node, Ref, refs_in


def classify(nodes: Sequence[Node], states: int) -> tuple[str, int]:
    """The kind of a step, and how many cells it has.

    The products and activations are counted, which tell the four kinds apart and from others: an
    LSTM with peepholes has twice the products. That a step computes what its cell would is not
    proved.

    Args:
        nodes: of one step.
        states: how many values it hands to the next.
    """
    known = [{**CELLS, **FUSED}[n.op] for n in nodes if n.op in CELLS or n.op in FUSED]
    if known:
        return (known[0] if len(set(known)) == 1 else "unknown"), len(known)
    sigmoid, tanh, relu, product = (
        sum(n.op in ops for n in nodes) for ops in (SIGMOID, TANH, RELU, MULTIPLY)
    )
    if states and states % 2 == 0 and relu == 0:
        n = states // 2
        if tanh == 2 * n and sigmoid in (n, 3 * n) and product == 3 * n:
            return "lstm", n
    if states and tanh == states and relu == 0:
        if sigmoid in (states, 2 * states) and product in (2 * states, 3 * states):
            return "gru", states
        if sigmoid == 0 and product == 0:
            return "rnn_tanh", states
    if states and relu == states and tanh == sigmoid == product == 0:
        return "rnn_relu", states
    return "unknown", 1


def sizes(
    flow: Flow, nodes: Sequence[Node], carried: Collection[str], kind: str
) -> tuple[int | None, int | None]:
    """(input, hidden) of the first cell of a step, from its weights.

    Args:
        flow: the program's edges.
        nodes: of one step.
        carried: the values that the step before handed on.
        kind: of the cell.
    """
    for node in nodes:
        if node.op in CELLS:
            w, r = (flow.program.shape(node.arg(i)) for i in (2, 3))
            return (_int(w, 1), _int(r, 1))
    hidden = given = rows = None
    for node in nodes:
        if node.op not in MATRIX:
            continue
        weight = _weight(flow, node)
        if weight is None:
            continue
        inner, outer = weight
        if _reaches(flow, node, carried):
            hidden, rows = hidden or inner, rows or outer
        else:
            given = given or inner
    if rows and kind in GATES and hidden and hidden != rows // GATES[kind]:
        # One matrix for input and state side by side.
        size = rows // GATES[kind]
        return (hidden - size if hidden > size and given is None else given), size
    # Where the state's product is not known, the other may be anything.
    return (given, hidden) if hidden else (None, None)


def dtype(flow: Flow, nodes: Sequence[Node]) -> str:
    """The type of the first weight that a step reads."""
    refs = [r for n in nodes for r in n.refs if r in flow.program.constants]
    found = [flow.program.dtype(r) for r in refs]
    return next((d for d in found if d.startswith(("float", "bfloat"))), "")


def _weight(flow: Flow, node: Node) -> tuple[int, int] | None:
    """(inner, outer) size of a product's constant matrix."""
    for place, value in enumerate(refs_in(node.args)):
        shape = flow.program.constants.get(value)
        if shape is None or len(shape.shape) < 2:
            continue
        rows, columns = shape.shape[-2:]
        turned = node.op == "aten.linear" or bool(node.attributes.get("transB"))
        return (columns, rows) if turned or place == 0 else (rows, columns)
    return None


def _reaches(flow: Flow, node: Node, carried: Collection[str]) -> bool:
    """Whether a product's data is what was carried, looking through what only hands it on."""
    waiting: list[Ref] = [r for r in node.refs if r not in flow.program.constants]
    seen: set[str] = set()
    while waiting:
        value = waiting.pop()
        if value in carried:
            return True
        if value in seen:
            continue
        seen.add(value)
        for maker in flow.makers.get(value, ()):
            if maker.op in PASS:
                waiting += refs_in(data_of(maker))
    return False


def _int(shape: tuple[int | str | None, ...] | None, place: int) -> int | None:
    size = shape[place] if shape and len(shape) > place else None
    return size if isinstance(size, int) else None

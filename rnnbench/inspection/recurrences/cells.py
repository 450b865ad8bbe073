"""Tells which cell the nodes of one step are, and its sizes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rnnbench.core.recurrence import GATES
from rnnbench.inspection.dataflow import Flow, data_of
from rnnbench.inspection.operators import CELLS, FUSED, MATRIX, PASS
from rnnbench.inspection.program import Body, Node, Ref, refs_in, walk
from rnnbench.inspection.recurrences.proof import prove


def classify(
    flow: Flow, nodes: Sequence[Node], states: Sequence[tuple[str, Any]]
) -> tuple[str, int]:
    """The kind of a step, and how many cells it has; `unknown` unless it is proved to be one.

    Args:
        flow: the program's edges.
        nodes: of one step, in order.
        states: what the step is handed and what it hands on.
    """
    inner = [n for node in nodes for n in walk(Body([node]))]
    known = [{**CELLS, **FUSED}[n.op] for n in inner if n.op in CELLS or n.op in FUSED]
    if known:
        return (known[0] if len(set(known)) == 1 else "unknown"), len(known)
    return prove(flow, nodes, states)


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
            w, r = (flow.weight_shape(node.arg(i)) for i in (2, 3))
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
    refs = [flow.outer(r) for n in nodes for r in n.refs]
    found = [flow.program.dtype(r) for r in refs if r in flow.program.constants]
    return next((d for d in found if d.startswith(("float", "bfloat"))), "")


def _weight(flow: Flow, node: Node) -> tuple[int, int] | None:
    """(inner, outer) size of a product's constant matrix."""
    for place, value in enumerate(refs_in(node.args)):
        shape = flow.weight_shape(value)
        if shape is None or len(shape) < 2:
            continue
        rows, columns = shape[-2:]
        if not isinstance(rows, int) or not isinstance(columns, int):
            continue
        turned = node.op == "aten.linear" or bool(node.attributes.get("transB"))
        return (columns, rows) if turned or place == 0 else (rows, columns)
    return None


def _reaches(flow: Flow, node: Node, carried: Collection[str]) -> bool:
    """Whether a product's data is what was carried, looking through what only hands it on."""
    waiting: list[Ref] = [r for r in node.refs if flow.weight_shape(r) is None]
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

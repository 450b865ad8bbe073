"""Recurrences that are loops of the file's language: Scan, Loop, a scripted for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.operators import CELLS, LOOPS, MATRIX, MULTIPLY, RELU, SIGMOID, TANH
from rnnbench.inspection.program import Body, Dim, Node, Ref, walk
from rnnbench.inspection.recurrences.cells import classify, dtype, sizes
from rnnbench.inspection.recurrences.record import FoundRecurrence, state_in, state_out
from rnnbench.inspection.recurrences.turned import direction, is_turned

WHOLE = "int8 products"
"""What is said of a recurrence whose states are multiplied as whole numbers."""

_COMPUTES = (*MATRIX, *SIGMOID, *TANH, *RELU, *MULTIPLY, *CELLS)


def find_looped(flow: Flow) -> tuple[list[FoundRecurrence], set[int]]:
    """The recurrences, and the ids of the nodes that belong to them."""
    found: list[FoundRecurrence] = []
    claimed: set[int] = set()
    for node in walk(flow.program.graph):
        if node.op not in LOOPS or not node.bodies or id(node) in claimed:
            continue
        body = node.bodies[-1]
        inner = list(walk(body))
        states = [c for c in node.carried if _recurs(flow, body, c.inside, c.next)]
        if not states or not any(n.op in _COMPUTES for n in inner):
            continue
        claimed |= {id(n) for n in inner if n.op in CELLS}
        kind, layers = classify(flow, body.nodes, [(c.inside, c.next) for c in states])
        inside = {c.inside for c in states}
        given, hidden = sizes(flow, inner, inside, kind)
        if kind == "unknown":  # whose matrices may be of any size
            given = _width(
                flow, [n for _, n in node.slices if flow.program.dtype(Ref(n)) != "bool"]
            )
            hidden = _width(flow, [c.inside for c in states] + [c.first for c in states])
        time, batch, axes = _extent(flow, node)
        found.append(
            FoundRecurrence(
                place=node.name,
                representation="scan" if node.op.lower().endswith("scan") else "while",
                kind=kind,
                note=WHOLE if any(r in flow.program.whole for n in inner for r in n.refs) else "",
                input_size=given,
                hidden_size=hidden,
                num_layers=layers,
                direction=_direction(flow, node),
                state_in=state_in(flow, [c.first for c in states]),
                state_out=state_out(flow, [c.last for c in states]),
                lengths=node.attributes.get("lengths") is not None,
                dtype=dtype(flow, inner),
                time=time,
                batch=batch,
                period=len(body.nodes),
                node=node,
                states=tuple(c.first for c in states),
                lasts=tuple(c.last for c in states),
                source=node.slices[0][0] if node.slices else None,
                axes=axes,
            )
        )
    return found, claimed


def _recurs(flow: Flow, body: Body, inside: str, following: object) -> bool:
    """Whether what is handed on is computed from what was handed over, and is more than a count."""
    makers = [following]
    seen: set[str] = set()
    computes = False
    while makers:
        value = makers.pop()
        if not isinstance(value, str) or value in seen:
            continue
        seen.add(value)
        if value == inside:
            continue
        for node in flow.makers.get(value, ()):
            computes = computes or node.op in _COMPUTES
            makers += node.refs
            makers += (
                [r for n in walk(Body(list(node.bodies[-1].nodes))) for r in n.refs]
                if node.bodies
                else []
            )
            computes = computes or any(n.op in _COMPUTES for b in node.bodies for n in walk(b))
    return computes and inside in seen


def _width(flow: Flow, values: Sequence[Any]) -> int | None:
    """The last size of the first of some values, where the file says it."""
    shapes = [flow.program.shape(Ref(v)) for v in values if isinstance(v, str)]
    return next((s[-1] for s in shapes if s and isinstance(s[-1], int)), None)


def _extent(flow: Flow, node: Node) -> tuple[Dim, Dim, tuple[int, int]]:
    """(time, batch) of the sequence that is walked along, and which dimensions those are."""
    if not node.slices:
        return None, None, (0, 1)
    shape = flow.program.shape(node.slices[0][0]) or ()
    if node.attributes.get("batched"):
        time, batch = 1, 0
    else:
        given = node.attributes.get("scan_input_axes") or [0]
        time = int(given[0]) % max(len(shape), 1)
        batch = 1 if time == 0 else 0
    steps = shape[time] if len(shape) > time else None
    return steps, (shape[batch] if len(shape) > 2 else None), (time, batch)


def _direction(flow: Flow, node: Node) -> str:
    given = node.attributes.get("scan_input_directions") or node.attributes.get("directions")
    backwards = given if isinstance(given, list) else [0]
    turned = bool(node.slices) and is_turned(flow, node.slices[0][0])
    return direction(any(backwards), turned)

"""A state that goes in and never comes out: who feeds it back has nothing to feed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "warning"
REMEDY = "return the last value of every state that the file takes, the cell's of an LSTM as well"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        lost = [(first, last) for first, last in _pairs(r) if _is_lost(flow, r, first, last)]
        for first, _ in lost:
            (name,) = _inputs(flow, first)
            some = len(lost) < len(r.states)
            what = f"{name} goes in, and its last value never comes out"
            yield r.place, what, "" if some else "note"


def _pairs(r: FoundRecurrence) -> list[tuple[Any, str]]:
    """Each state with its last value; without those, as of an unrolled loop, what is known."""
    if len(r.lasts) == len(r.states):
        return list(zip(r.states, r.lasts, strict=True))
    return [(state, "") for state in r.states] if r.state_out == "dropped" else []


def _inputs(flow: Flow, value: Any) -> list[str]:
    return [name for kind, name in flow.origins(value) if kind == "input"]


def _is_lost(flow: Flow, r: FoundRecurrence, first: Any, last: str) -> bool:
    """Whether a state is an input as it is, and nothing of the result depends on its last value.

    The sequence of an operator ends with its last state: `Y` of ONNX, `output` of PyTorch; not the
    cell of an LSTM.
    """
    if len(flow.origins(first)) != 1 or len(_inputs(flow, first)) != 1:
        return False
    if last and (flow.is_live(last) or flow.destinations(last)):
        return False
    is_cell = r.kind == "lstm" and len(r.states) == 2 and first is r.states[1]
    in_sequence = r.representation == "fused" and r.node is not None and not is_cell
    return not (in_sequence and r.node is not None and flow.destinations(r.node.outputs[0]))

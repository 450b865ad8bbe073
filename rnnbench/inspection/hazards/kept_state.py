"""A state that the module keeps: an ONNX export loses it, and streams mix."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "warning"
REMEDY = "take the state as an input and return its new value"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        kept = next((s for s in (r.state_out, r.state_in) if s.startswith("kept in")), "")
        if kept:
            yield r.place, f"its state is {kept}", ""

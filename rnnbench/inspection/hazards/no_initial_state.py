"""An ONNX layer without an explicit initial state: some engines refuse it."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "note"
REMEDY = "give the node zeros of its own as initial_h (and initial_c)"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        if r.state_in == "absent" and flow.program.format == "onnx":
            yield r.place, "initial_h is left out", ""

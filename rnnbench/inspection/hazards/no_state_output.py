"""A recurrence whose last state nobody can feed back: no streaming."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "note"
REMEDY = "return the last state, take the first one as an input, and declare both as states"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        if r.state_out == "dropped" and r.state_in in ("constant", "absent"):
            yield r.place, "starts from a constant state and drops its last one", ""

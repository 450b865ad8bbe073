"""A layer that reads backwards needs whole sequences."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "note"
REMEDY = "do not feed it in chunks; train a forward layer to stream"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        if r.direction != "forward":
            yield r.place, f"a {r.direction} layer cannot stream", ""

"""A loop that was unrolled: size and loading time grow with the length."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "warning"
REMEDY = "export with rnnbench, which rolls it up"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        if r.representation == "unrolled":
            yield r.place, f"{r.steps} steps of {r.period} nodes each", ""

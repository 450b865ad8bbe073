"""Batch first inside of the operator: most engines refuse it, or compute something else."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "error"
REMEDY = "use layout=0 with a Transpose before and after"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        if r.node is not None and r.node.attributes.get("layout"):
            yield r.place, "layout=1", ""

"""A layer that quantises its input with one scale for all rows and steps of a call."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.operators import QUANTISED
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "warning"
REMEDY = (
    "compare it with the float file whole, in chunks and in batches (check A --against B), or "
    "quantise the weights alone"
)


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        if r.node is not None and r.node.op in QUANTISED:
            what = "one scale for a call: a loud step or row moves all the others"
            yield r.place, what, ""

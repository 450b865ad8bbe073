"""Sizes around a loop that no input has: other engines stop at them."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "note"
REMEDY = "clear the value_info of values around the loop and in its body"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for dim, value in flow.program.stale.items():
        yield value, f"a dimension {dim!r} that no input has", ""

"""Weights that are worked out from constants at each run: quantisers pass them by, silently."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "warning"
REMEDY = "fold the constants without a size limit, or export with rnnbench"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        if r.node is None or r.node.op not in ("RNN", "GRU", "LSTM"):
            continue
        for weight in r.node.refs[1:3]:
            if weight not in flow.program.constants and flow.constant_only(weight):
                yield r.place, "its weights lie behind nodes that could be computed now", ""
                break

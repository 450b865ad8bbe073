"""A length that was traced became a constant.

An error where another length is computed wrong without a word: the file declares its length
dynamic or, as TorchScript, declares none. A warning where it declares a number: others are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.axes.follow import open_axes
from rnnbench.inspection.axes.frozen import frozen_by
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "error"
REMEDY = "export with rnnbench, which keeps the time dimension dynamic"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    axes = open_axes(flow, recurrences)
    for r in recurrences:
        inputs = flow.inputs_behind(r.source)
        if isinstance(r.time, int) and r.time > 1:
            lengths = (a for a in axes if a.start.value in inputs and a.role != "batch")
            if inputs and not any(lengths):
                yield r.place, f"takes {r.time} steps and no other number", "warning"
        elif r.representation == "unrolled" and inputs:
            yield r.place, f"computes {r.steps} steps, whatever the length of its input", ""
    for axis in axes:
        if axis.role == "time":
            for where, what in frozen_by(axis, recurrences):
                yield where, what, ""

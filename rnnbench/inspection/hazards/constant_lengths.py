"""Lengths of rows that are constants: out of range for any other input."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "error"
REMEDY = "take the lengths as an input"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        lengths = r.node.arg(4) if r.node is not None and r.node.op in ONNX else None
        if lengths is not None and lengths in flow.program.constants:
            yield r.place, f"sequence_lens is {flow.program.constants[lengths].values}", ""


ONNX = ("RNN", "GRU", "LSTM")

"""A loop's steps put into an ONNX sequence: OpenVINO drops a row, silently."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.program import walk
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "warning"
REMEDY = "export with rnnbench, which writes a Scan"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for node in walk(flow.program.graph):
        if node.op in ("SequenceConstruct", "SequenceInsert", "SequenceEmpty"):
            yield node.name, f"{node.op} puts tensors into a sequence", ""
            return

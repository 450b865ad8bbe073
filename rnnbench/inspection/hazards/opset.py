"""Recurrent operators newer than the CUDA kernels of ONNX Runtime: they may run on the CPU."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "warning"
REMEDY = "export with opset 21 or lower"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    opset = flow.program.opset
    for r in recurrences:
        if opset is not None and opset >= 22 and r.representation == "fused":
            yield r.place, f"opset {opset}", ""

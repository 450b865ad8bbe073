"""A type that the kernels of ONNX Runtime, or PyTorch on some CPUs, do not have."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "warning"
REMEDY = "convert the model to float32"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        onnx = flow.program.format == "onnx" and r.representation == "fused"
        if r.dtype == "bfloat16" or (r.dtype == "float64" and onnx):
            yield r.place, f"computes in {r.dtype}", "error" if onnx else ""

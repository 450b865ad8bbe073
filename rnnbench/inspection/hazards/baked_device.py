"""The device of the trace, written into the TorchScript."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.program import walk
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "warning"
REMEDY = "make tensors with x.new_zeros(...) or device=x.device, and trace again"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for node in walk(flow.program.graph):
        device = str(node.attributes.get("device"))
        if flow.program.format == "torchscript" and device.startswith("device:"):
            yield node.name, f"made on {device.removeprefix('device:')} wherever it runs", ""

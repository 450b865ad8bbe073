"""The step of a Scan gives one value twice: ONNX Runtime leaves one of the two unwritten."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.program import walk
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "error"
REMEDY = "give one of the two an Identity of its own in the body"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for node in walk(flow.program.graph):
        for body in node.bodies if node.op == "Scan" else ():
            twice = [name for name in dict.fromkeys(body.outputs) if body.outputs.count(name) > 1]
            if twice:
                yield node.name, f"its step gives {twice[0]} as two of its results", ""

"""The batch of an initial state is a number where that of the input is not."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "error"
REMEDY = (
    "declare the batch dimension of every state dynamic, and make zeros from the size of the input"
)


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        if isinstance(r.batch, int) or r.representation == "step":
            continue
        for state in r.states:
            shape = flow.program.shape(state)
            if shape is not None and len(shape) == 3 and isinstance(shape[1], int):
                yield r.place, f"its initial state has batch {shape[1]}, its input any", ""
                break

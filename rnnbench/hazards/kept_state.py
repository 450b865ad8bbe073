"""A state that the module keeps: an ONNX export loses it, and streams mix."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.flow import Flow
from rnnbench.hazards import Found
from rnnbench.recurrences import Recurrence

PITFALL = "10"
SEVERITY = "warning"
REMEDY = "take the state as an input and return its new value"


def find(flow: Flow, recurrences: tuple[Recurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        if r.state_out.startswith("kept in") or r.state_in.startswith("kept in"):
            yield (
                r.where,
                f"its state is {r.state_out if 'kept' in r.state_out else r.state_in}",
                "",
            )

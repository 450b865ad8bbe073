"""An input that nothing reads: what it says changes nothing, as lengths that a converter lost."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.program import Port, refs_in
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "note"
REMEDY = "look for what it was to do, lengths say, or leave it out; export with rnnbench"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    returned = {*refs_in(list(flow.program.graph.outputs))}
    for port in flow.program.inputs:
        if port.name and not flow.readers.get(port.name) and port.name not in returned:
            per_row = bool(recurrences) and _is_for_rows(port)
            what = "nothing reads it, so that all rows have all steps" if per_row else ""
            yield port.name, what or "nothing reads it", "warning" if per_row else ""


def _is_for_rows(port: Port) -> bool:
    """Whether it is a whole number for each row, as lengths are."""
    return port.dtype in ("int64", "int32") and port.shape is not None and len(port.shape) == 1

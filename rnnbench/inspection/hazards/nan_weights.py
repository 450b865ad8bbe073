"""NaN in a weight: whatever is computed with it is NaN as well."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "error"
REMEDY = "train or load the weights again; NaN spreads to every result that depends on it"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for name, tensor in flow.program.constants.items():
        if tensor.nans and tensor.shape:  # a single one may be written where nothing is known
            yield name, f"{tensor.nans:,} of its {tensor.size:,} numbers are NaN", ""

"""A recurrence that starts from numbers in the file, which are not zeros."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.program import EXTERNAL, Ref, Tensor
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "note"
REMEDY = (
    "reset the layer's state before the export, or take the state as an input; a first state that "
    "was learned is meant"
)
_WIDTHS = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        found = [t for state in r.states for t in _numbers(flow, state) if not _is_zero(t)]
        if not found:
            continue
        if any(_rows_differ(t) for t in found):
            what = "starts from other numbers in each row, the state of some moment"
            yield r.place, what, "warning"
        else:
            yield r.place, "starts from numbers that are not zeros, whatever came before", ""


def _numbers(flow: Flow, state: object) -> list[Tensor]:
    """The constants that a first state is made of; none where anything else is."""
    origins = flow.origins(state) if isinstance(state, Ref) else set()
    if any(kind != "constant" for kind, _ in origins):
        return []
    known = (flow.program.constants.get(name) for _, name in origins)
    return [t for t in known if t is not None and t.dtype in _WIDTHS]


def _is_zero(tensor: Tensor) -> bool:
    """Whether all numbers are 0, or cannot be known."""
    if tensor.values is not None:
        return not any(tensor.values)
    zeros = zlib.crc32(bytes(tensor.size * _WIDTHS[tensor.dtype]))
    return tensor.digest in (0, EXTERNAL, zeros)


def _rows_differ(tensor: Tensor) -> bool:
    """Whether the rows of a batch start from different numbers, which no learned state does."""
    if tensor.values is None or len(tensor.shape) < 2 or tensor.shape[-2] < 2:
        return False
    size, rows = tensor.shape[-1], tensor.shape[-2]
    first = tensor.values[:size]
    return any(tensor.values[i * size : (i + 1) * size] != first for i in range(rows))

"""Lengths of rows that are constants: out of range for any other input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.numbers import fixed_numbers
from rnnbench.inspection.program import Node, walk
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "error"
REMEDY = "take the lengths as an input"

_NAMED = 8  # lengths
_PACK = "aten._pack_padded_sequence"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        lengths = None if r.node is None else _lengths(r.node)
        found = _constants(flow, lengths)
        if found is None:
            continue
        fixed = isinstance(r.time, int) and isinstance(r.batch, int)
        if not fixed or not found:
            yield r.place, f"sequence_lens is {_written(found)}", ""
        elif any(n != r.time for n in found):  # of an input whose sizes are fixed as well
            yield r.place, f"sequence_lens is {_written(found)} of {r.time} steps", "warning"
    for node in walk(flow.program.graph):
        found = _constants(flow, node.arg(1)) if node.op == _PACK else None
        if found is not None:
            yield node.name, f"the lengths are {_written(found)}", ""


def _lengths(node: Node) -> Any:
    """`sequence_lens` of ONNX's layers, and of the Scan of opset 8."""
    if node.op in ("RNN", "GRU", "LSTM"):
        return node.arg(4)
    return node.attributes.get("lengths") if node.op == "Scan" else None


def _constants(flow: Flow, lengths: Any) -> tuple[int, ...] | None:
    """The numbers; none of constants that are worked out; None of what depends on the input."""
    if lengths is None:
        return None
    found = fixed_numbers(flow, lengths)
    if found is not None and all(math.isfinite(n) for n in found):
        return tuple(int(n) for n in found)
    return () if flow.constant_only(lengths) else None


def _written(numbers: tuple[int, ...]) -> str:
    if not numbers:
        return "worked out from constants"
    few = ", ".join(map(str, numbers[:_NAMED]))
    return few if len(numbers) <= _NAMED else f"{few} and {len(numbers) - _NAMED} more"

"""Weights that are worked out from constants at each run: quantisers pass them by, silently."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "warning"
_FEWER = ("float16", "bfloat16", "int8", "uint8")
REMEDY = "fold the constants without a size limit, or export with rnnbench"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        if r.node is None or r.node.op not in ("RNN", "GRU", "LSTM"):
            continue
        for weight in r.node.refs[1:3]:
            computed = weight not in flow.program.constants and flow.constant_only(weight)
            if computed and not _is_kept_small(flow, weight):
                yield r.place, "its weights lie behind nodes that could be computed now", ""
                break


def _is_kept_small(flow: Flow, value: str) -> bool:
    """Whether a value is a constant in fewer bits, times a scale or not: already quantised."""
    for node in flow.makers[value]:
        if node.op == "Cast":
            of = node.refs[0]
            held = of in flow.program.constants
            return flow.program.dtype(of) in _FEWER if held else _is_kept_small(flow, of)
        if node.op == "DequantizeLinear":
            return True
        if node.op == "Mul":
            return any(_is_kept_small(flow, ref) for ref in node.refs)
    return False

"""What a layer has, and some engine computes something else of, without a word."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.core.gaps import Gap, all_gaps
from rnnbench.core.layer_facts import PRESENT, Layer
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.program import Node
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "note"
REMEDY = "run it in another engine, or export with --for that one; check proves what it computes"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    if flow.program.format != "onnx":
        return
    known = [gap for gaps in all_gaps().values() for gap in gaps if gap.behaviour == "wrong"]
    fixed = all(isinstance(d, int) for p in flow.program.inputs for d in p.shape or (None,))
    for r in recurrences:
        if r.node is None or r.node.op not in ("RNN", "GRU", "LSTM"):
            continue
        layer = _layer(r.node)
        engines: dict[str, list[Gap]] = {}
        for gap in known:
            counts = gap.sizes == "any" or not fixed
            if gap.op == layer.op and counts and PRESENT[gap.attribute](layer):
                engines.setdefault(gap.what, []).append(gap)
        for what, gaps in engines.items():
            versions = ", ".join(gap.version for gap in gaps)
            yield r.place, f"{what}: wrong in {versions}, without a word", ""


def _layer(node: Node) -> Layer:
    return Layer(
        node.op,
        node.attributes,
        tuple(value is not None for value in node.args),
        tuple(bool(name) for name in node.outputs),
    )

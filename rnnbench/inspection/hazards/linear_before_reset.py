"""A GRU node that applies its reset gate before the product; PyTorch applies it after."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "warning"
REMEDY = (
    "set linear_before_reset=1 unless the model was trained with the other rule "
    "(Keras, reset_after=False)"
)


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    if flow.program.producer.startswith("rnnbench"):  # which proved what it wrote
        return
    from_torch = flow.program.producer.startswith("pytorch")
    for r in recurrences:
        if r.node is not None and r.node.op == "GRU" and not r.node.attributes.get(NAME):
            yield r.place, f"{NAME} is 0; PyTorch computes with 1", "error" if from_torch else ""


NAME = "linear_before_reset"

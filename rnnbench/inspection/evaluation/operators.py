"""Which code computes an operator: rnnbench's own, else that of onnx's reference."""

from __future__ import annotations

from rnnbench.inspection.evaluation.control import CONTROL
from rnnbench.inspection.evaluation.layers import LAYERS
from rnnbench.inspection.evaluation.leaves import leaf
from rnnbench.inspection.evaluation.nodes import Control, Node, Operation
from rnnbench.inspection.evaluation.sequences import SEQUENCES

_OWN: dict[tuple[str, str], Operation] = {
    ("", name): operation for name, operation in {**LAYERS, **SEQUENCES}.items()
}


def find_control(node: Node) -> Control | None:
    """What computes an operator that has bodies; None for every other."""
    return CONTROL.get(node.op) if node.domain == "" else None


def find_operation(node: Node) -> Operation:
    """What computes an operator without bodies.

    Raises:
        RnnbenchError: nobody knows it.
    """
    return _OWN.get((node.domain, node.op)) or leaf(node)

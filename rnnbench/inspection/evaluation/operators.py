"""Which code computes an operator: rnnbench's own, else that of onnx's reference."""

from __future__ import annotations

from rnnbench.inspection.evaluation.control import CONTROL
from rnnbench.inspection.evaluation.convolution import CONVOLUTIONS
from rnnbench.inspection.evaluation.layers import LAYERS
from rnnbench.inspection.evaluation.leaves import leaf
from rnnbench.inspection.evaluation.legacy import BEFORE, LEGACY
from rnnbench.inspection.evaluation.microsoft import MICROSOFT
from rnnbench.inspection.evaluation.microsoft_integers import MICROSOFT_INTEGERS
from rnnbench.inspection.evaluation.nodes import Control, Node, Operation
from rnnbench.inspection.evaluation.pointwise import POINTWISE
from rnnbench.inspection.evaluation.quantised import QUANTISED
from rnnbench.inspection.evaluation.sequences import SEQUENCES
from rnnbench.inspection.evaluation.shaping import SHAPING

_OWN: dict[str, dict[str, Operation]] = {
    "": {**CONVOLUTIONS, **LAYERS, **POINTWISE, **QUANTISED, **SEQUENCES, **SHAPING},
    "com.microsoft": {**MICROSOFT, **MICROSOFT_INTEGERS},
}


def find_control(node: Node) -> Control | None:
    """What computes an operator that has bodies; None for every other."""
    return CONTROL.get(node.op) if node.domain == "" else None


def find_operation(node: Node) -> Operation:
    """What computes an operator without bodies.

    Raises:
        RnnbenchError: nobody knows it.
    """
    if node.domain == "" and node.version < BEFORE and node.op in LEGACY:
        return LEGACY[node.op]
    return _OWN.get(node.domain, {}).get(node.op) or leaf(node)

"""Whether a sequence was turned around before a recurrence reads it."""

from __future__ import annotations

from typing import Any

from rnnbench.inspection.dataflow import Flow, data_of
from rnnbench.inspection.operators import COLLECT, MATRIX, PASS
from rnnbench.inspection.program import Node, Ref, refs_in

_FARTHEST = 64  # nodes
_FLIPS = ("aten.flip", "ReverseSequence")
_STEPS, _AXES = 4, 3  # the places of a Slice's arguments
_SUMS = ("Add", "Sub", "aten.add", "aten.sub")


def is_turned(flow: Flow, value: Any) -> bool:
    """Whether its last step comes first, looking through what is done to each step alone.

    Args:
        flow: the program's edges.
        value: the sequence.
    """
    turned = False
    for _ in range(_FARTHEST):
        makers = flow.makers.get(value, []) if isinstance(value, Ref) else []
        if len(makers) != 1 or makers[0].op in COLLECT:
            break
        node = makers[0]
        turned ^= node.op in _FLIPS or _slices_back(flow, node)
        if node.op not in (*PASS, *MATRIX, *_SUMS, *_FLIPS):
            break
        data = node.refs if node.op in _SUMS else refs_in(data_of(node))
        given = [ref for ref in data if not flow.constant_only(ref)]
        if len(given) != 1:
            break
        value = given[0]
    return turned


def direction(reverse: bool, turned: bool) -> str:
    """The way along the sequence that was given."""
    return "reverse" if reverse != turned else "forward"


def _slices_back(flow: Flow, node: Node) -> bool:
    """Whether a Slice takes an axis from its end to its beginning; the features do not count."""
    if node.op != "Slice" or _numbers(flow, node.arg(_STEPS)) != [-1]:
        return False
    axes, shape = _numbers(flow, node.arg(_AXES)), flow.program.shape(node.arg(0))
    return not (axes and shape and axes[0] % len(shape) == len(shape) - 1)


def _numbers(flow: Flow, value: Any) -> list[int] | None:
    tensor = flow.program.constants.get(value) if isinstance(value, Ref) else None
    return None if tensor is None or tensor.values is None else [int(n) for n in tensor.values]

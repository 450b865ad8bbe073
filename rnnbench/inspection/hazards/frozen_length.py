"""A length that was traced became a constant.

An error where another length is computed wrong without a word: the file declares its length
dynamic or, as TorchScript, declares none. A warning where it declares a number: others are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.operators import PASS, RESHAPE
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "error"
REMEDY = "export with rnnbench, which keeps the time dimension dynamic"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for r in recurrences:
        if isinstance(r.time, int) and r.time > 1:
            yield r.place, f"takes {r.time} steps and no other number", "warning"
        elif r.representation == "unrolled":
            yield r.place, f"computes {r.steps} steps, whatever the length of its input", ""
        yield from _reshapes(flow, r)


def _reshapes(flow: Flow, r: FoundRecurrence) -> Iterator[Found]:
    """A number in the place of the dynamic time dimension, in what is made of the result."""
    waiting = list(r.node.outputs[:1]) if r.node is not None else []
    seen: set[str] = set()
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        for node in flow.readers.get(value, ()):
            if node.op in RESHAPE and len(node.args) > 1:
                before = flow.program.shape(node.args[0]) or ()
                target = flow.program.constants.get(node.args[1])
                sizes = target.values if target is not None and target.values else ()
                for old, new in zip(before, sizes, strict=False):
                    if isinstance(old, str) and old == r.time and new > 0:
                        yield node.name, f"its shape has {int(new)} where {old} is dynamic", ""
            if node.op in PASS:
                waiting += node.outputs

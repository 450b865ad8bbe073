"""An If whose condition is always the same becomes the nodes of the branch that is taken.

sr = 16000; Equal(sr, 16000) -> If(then: LSTM -> y)      LSTM -> y
"""

from __future__ import annotations

from typing import Any

from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.branches import BRANCHES, take
from rnnbench.formats.onnx.optimizing.findings import Finding, Outcome
from rnnbench.formats.onnx.optimizing.graph import Graph, is_standard

ORDER = 5


def find(graph: Graph, skip: frozenset[str], keep: frozenset[str]) -> Outcome:
    """Every such If of the graph, and those in the branches that are taken."""
    found, suspects = Outcome(), []
    while True:
        constants = Constants(graph)
        taken = next((t for n in graph.nodes if (t := _taken(constants, n, skip))), None)
        if taken is None:
            break
        node, place, which = taken
        suspects += list(node.input)
        if take(graph, node, which) is None:
            skip |= {place}
            continue
        what = f"an If that always takes its {which}"
        found.findings.append(Finding(place, what, True, "the nodes of that branch"))
    if suspects:
        graph.sweep(suspects)
    return found


def _taken(constants: Constants, node: Any, skip: frozenset[str]) -> tuple[Any, str, str] | None:
    """An If, what it is called, and the branch that it always takes."""
    if not is_standard(node, "If"):
        return None
    place = node.name or node.output[0]
    condition = constants.value(node.input[0])
    if place in skip or condition is None or condition.size != 1:
        return None
    return node, place, BRANCHES[0 if condition.any() else 1]

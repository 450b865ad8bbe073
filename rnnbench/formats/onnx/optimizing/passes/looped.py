"""Scan and Loop of known cells become fused nodes."""

from __future__ import annotations

from typing import Any

from rnnbench.formats.onnx.optimizing.findings import Finding, Outcome
from rnnbench.formats.onnx.optimizing.fused import OPERATORS
from rnnbench.formats.onnx.optimizing.graph import Graph, is_standard
from rnnbench.formats.onnx.optimizing.looped import LoopPlan, NotFusedError, rewrite
from rnnbench.formats.onnx.optimizing.loops import Loop, read_loop

ORDER = 10
_LENGTHS = (4, 7)  # besides those that every file is tried at


def find(graph: Graph, skip: frozenset[str], keep: frozenset[str]) -> Outcome:
    """Every loop of the graph itself; see `looped.py`."""
    found, plans = Outcome(), []
    for node in graph.nodes:
        place = node.name or next((o for o in node.output if o), node.op_type)
        if not is_standard(node, "Scan", "Loop") or place in skip:
            continue
        loop = read_loop(graph, node)
        plan = _planned(graph, loop)
        if isinstance(plan, LoopPlan):
            plans.append(plan)
            kinds = ", ".join(spec.layer.kind for spec in plan.specs)
            found.findings.append(
                Finding(place, f"{kinds} in a {node.op_type}", True, _became(plan))
            )
            found.exact |= plan.exact
        elif _computes(node):
            found.findings.append(Finding(place, f"a {node.op_type}", False, plan))
    if plans:
        found.likely = (*_LENGTHS, *dict.fromkeys(found.exact.values()))
        rewrite(graph, plans)
    return found


def _planned(graph: Graph, loop: Loop | str) -> LoopPlan | str:
    if isinstance(loop, str):
        return loop
    try:
        return LoopPlan(graph, loop)
    except NotFusedError as error:
        return str(error)


def _became(plan: LoopPlan) -> str:
    said = []
    for spec in plan.specs:
        operator, layer = OPERATORS[spec.layer.kind], spec.layer
        reverse = ", reverse" if spec.reverse else ""
        said.append(f"{operator} {layer.w.shape[1]} -> {layer.hidden_size}{reverse}")
    return "; ".join(said) + (", any length" if plan.exact else "")


def _computes(node: Any) -> bool:
    """Whether a loop has a product of matrices, a layer or an activation in it: a recurrence."""
    kinds = ("MatMul", "Gemm", "Tanh", "Sigmoid", "LSTM", "GRU", "RNN")
    for attribute in node.attribute:
        for inner in attribute.g.node if attribute.HasField("g") else ():
            if is_standard(inner, *kinds) or _computes(inner):
                return True
    return False

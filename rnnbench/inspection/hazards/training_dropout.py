"""Dropout, or a batch norm, that stayed in training mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.operators import FUSED
from rnnbench.inspection.program import Node, walk
from rnnbench.inspection.recurrences import FoundRecurrence
from rnnbench.inspection.recurrences.fused import layer_arguments

SEVERITY = "error"
REMEDY = "call eval() on the module before exporting"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for node in walk(flow.program.graph):
        given = layer_arguments(node) if node.op in FUSED and node.op.startswith("aten.") else {}
        if given.get("train") is True and given.get("dropout"):
            yield node.name, f"drops {given['dropout']:g} between layers at random", ""
        elif _in_training(flow, node):
            yield node.name, "dropout in training mode", ""
        elif _own_statistics(node):
            yield node.name, "a batch norm in training mode: each batch has its own statistics", ""


def _own_statistics(node: Node) -> bool:
    if node.op == "aten.batch_norm":
        return node.arg(5, "training") is True
    return node.op == "BatchNormalization" and bool(node.attributes.get("training_mode"))


def _true(flow: Flow, value: Any) -> bool:
    tensor = flow.program.constants.get(value) if value else None
    return bool(tensor and tensor.values and tensor.values[0])


def _in_training(flow: Flow, node: Node) -> bool:
    if node.op == "aten.dropout":
        return node.arg(2, "train") is True and bool(node.arg(1))
    return node.op == "Dropout" and _true(flow, node.arg(2))

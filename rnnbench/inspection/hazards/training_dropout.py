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
        elif node.op in RANDOM and _is_mask(flow, node):
            yield node.name, f"a mask made of {node.op.removeprefix('aten.')} is multiplied in", ""
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
    if node.op == "aten.native_dropout":
        return node.arg(2, "train") is True and bool(node.arg(1))
    return node.op == "Dropout" and _true(flow, node.arg(2))


def _is_mask(flow: Flow, node: Node) -> bool:
    """Whether random numbers become zeros and ones (or a scale) that something is multiplied with.

    Uniform ones are compared with a rate, or rounded, first: as they are, they are noise, which a
    model may well make.
    """
    binary = "ernoulli" in node.op
    waiting, seen = [(value, binary) for value in node.outputs], set[tuple[str, bool]]()
    while waiting:
        item = waiting.pop()
        if item in seen:
            continue
        seen.add(item)
        value, is_binary = item
        for reader in flow.readers.get(value, ()):
            name = reader.op.removeprefix("aten.")
            if is_binary and _masks(flow, reader, value):
                return True
            if name in COMPARES and not is_binary:
                waiting += [(o, True) for o in reader.outputs]
            elif name in HANDS_ON or (name in SCALES and _scales(flow, reader, value)):
                waiting += [(o, is_binary) for o in reader.outputs]
    return False


def _masks(flow: Flow, node: Node, mask: str) -> bool:
    """Whether a node keeps some of what it is given and makes the rest 0."""
    name = node.op.removeprefix("aten.")
    others = [r for r in node.refs if r != mask and not flow.constant_only(r)]
    if name in ("Where", "where", "masked_fill"):
        return bool(others)
    return name in ("Mul", "mul") and bool(others)


def _scales(flow: Flow, node: Node, value: str) -> bool:
    """Whether the other argument is a number: a rate, or one part in it."""
    others = [r for r in node.refs if r != value]
    return all(flow.constant_only(r) for r in others)


RANDOM = (
    *("RandomUniform", "RandomUniformLike", "Bernoulli", "aten.bernoulli", "aten.rand"),
    *("aten.rand_like", "aten.uniform"),
)
COMPARES = (
    *("Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Floor", "Ceil", "Round"),
    *("lt", "le", "gt", "ge", "floor", "ceil", "round"),
)
HANDS_ON = (
    *("Cast", "CastLike", "Not", "Identity", "Reshape", "Expand", "Unsqueeze", "Squeeze"),
    *("to", "_to_copy", "logical_not", "bitwise_not", "expand", "view", "reshape", "unsqueeze"),
    *("type_as", "clone", "alias"),
)
SCALES = ("Mul", "Div", "Add", "Sub", "mul", "div", "add", "sub", "rsub")

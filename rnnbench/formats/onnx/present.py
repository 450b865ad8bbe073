"""Which layers of a graph have what an engine does not compute: see `core/gaps.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir as ir

from rnnbench.core.gaps import Gap
from rnnbench.core.layer_facts import PRESENT, Layer
from rnnbench.formats.onnx.editing import recurrent_nodes


def find_gaps(model: ir.Model, gaps: Iterable[Gap]) -> Iterator[tuple[ir.Node, Gap]]:
    """Each layer of a graph that has something that an engine does not compute, with what it is."""
    known = list(gaps)
    for node in recurrent_nodes(model) if known else ():
        layer = layer_of(node)
        for gap in known:
            if gap.op == node.op_type and PRESENT[gap.attribute](layer):
                yield node, gap


def layer_of(node: ir.Node) -> Layer:
    """What a node says of itself."""
    return Layer(
        node.op_type,
        {name: attribute.value for name, attribute in node.attributes.items()},
        tuple(value is not None for value in node.inputs),
        tuple(bool(value.name) for value in node.outputs),
    )


def usual_activations(node: ir.Node) -> list[str]:
    """The functions of a layer that says none, in lower case."""
    return layer_of(node).usual_activations


def activations(node: ir.Node) -> list[str]:
    """The functions of a layer, in lower case."""
    return layer_of(node).activations


def has_number(node: ir.Node) -> bool:
    """Whether a function of a layer has a number, given or by its definition."""
    return layer_of(node).has_number

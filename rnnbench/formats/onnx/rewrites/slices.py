"""Rewrites of an ONNX graph for converters that know a layer by the pattern of its nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import Adder, all_nodes, constant_of, replace
from rnnbench.formats.onnx.rewrites._pass import rewrite

_TO_THE_END, _TO_THE_START = 2**63 - 1, -(2**63)


@rewrite(needs_sizes=True)
def slice_picks(model: ir.Model) -> int:
    """What is picked by its number is a slice: pnnx makes an unbind of it, which ncnn lacks.

        Gather(x, 3, axis=0)       ->  Squeeze(Slice(x, 3, 4, axis=0), [0])
        Gather(x, [3, 1], axis=0)  ->  Concat(Slice(x, 3, 4), Slice(x, 1, 2), axis=0)

    Of several it takes one, silently; each is a slice of its own here. Where the axis
    of a single one is put back behind it, it stays.
    """
    places = 0
    for node in list(all_nodes(model)):
        if picks(node) is None:
            continue
        add, axis, index = Adder(node), _axis(node), picks(node)
        assert index is not None
        parts = []
        for first in index.reshape(-1).tolist():
            bounds = (first, _TO_THE_END if first == -1 else first + 1, axis)
            parts.append(
                add("Slice", [node.inputs[0], *(add.constant(np.array([n])) for n in bounds)])
            )
        if index.ndim == 0:
            found = add("Squeeze", [parts[0], add.constant(np.array([axis]))])
        else:
            found = add("Concat", parts, axis=axis)
        replace(node.outputs[0], found)
        node.graph.remove(node, safe=True)  # type: ignore[union-attr]
        places += 1
    return places + _keep_axes(model)


def picks(node: ir.Node) -> np.ndarray[Any, Any] | None:
    """The number or numbers that a node picks along an axis of a computed value."""
    if node.op_type != "Gather" or node.inputs[0] is None or node.inputs[0].const_value is not None:
        return None
    index = constant_of(node.inputs[1])
    return index if index is not None and index.ndim < 2 and index.size else None


@rewrite(needs_sizes=True)
def drop_default_axis(model: ir.Model) -> int:
    """Rows of a table are picked without saying along axis 0: pnnx knows an embedding by that.

    Gather(table, ids, axis=0)  ->  Gather(table, ids)
    """
    gathers = [node for node in all_nodes(model) if node.op_type == "Gather"]
    said = [n for n in gathers if "axis" in n.attributes and _axis(n) == 0]
    rows = [node for node in said if constant_of(node.inputs[1]) is None]
    for node in rows:
        node.attributes.pop("axis")
    return len(rows)


@rewrite(needs_sizes=True)
def reverse_rows(model: ir.Model) -> int:
    """A sequence [time, batch, width] is reversed with the batch first.

        x[::-1]  ->  Transpose(Slice(Transpose(x, [1, 0, 2]), axis=1, step=-1), [1, 0, 2])

    pnnx takes the axis that a reversal leaves alone for the batch, which is the last one then, and
    ncnn's layers read one step.
    """
    places = 0
    for node in list(all_nodes(model)):
        x = node.inputs[0] if node.inputs else None
        if x is None or x.shape is None or len(x.shape) != 3 or not _reverses(node, x.shape[0]):
            continue
        add = Adder(node)
        bounds = [add.constant(np.array([n])) for n in (-1, _TO_THE_START, 1, -1)]
        turned = add("Slice", [add("Transpose", [x], perm=[1, 0, 2]), *bounds])
        replace(node.outputs[0], add("Transpose", [turned], perm=[1, 0, 2]))
        node.graph.remove(node, safe=True)  # type: ignore[union-attr]
        places += 1
    return places


def _reverses(node: ir.Node, size: Any) -> bool:
    """Whether all that a node does is reverse the first axis."""
    given = [constant_of(value) for value in node.inputs[1:]]
    if node.op_type == "Gather" and isinstance(size, int) and _axis(node) == 0:
        return given[0] is not None and np.array_equal(given[0], np.arange(size)[::-1])
    if node.op_type != "Slice" or not isinstance(size, int) or len(given) != 4:
        return False
    if any(array is None or array.size != 1 for array in given):
        return False
    start, end, axis, step = (int(array.item()) for array in given if array is not None)
    return (axis, step) == (0, -1) and range(size)[start:end:step] == range(size)[::-1]


def _keep_axes(model: ir.Model) -> int:
    """An axis that is taken away and put back stays."""
    places = 0
    for node in list(all_nodes(model)):
        x = node.inputs[0] if node.op_type == "Unsqueeze" else None
        before = x.producer() if x is not None else None
        if before is None or before.op_type != "Squeeze" or len(before.inputs) < 2:
            continue
        axes = [constant_of(other.inputs[1]) for other in (before, node)]
        if any(a is None or a.size != 1 or a.min() < 0 for a in axes):
            continue
        if np.array_equal(*axes) and not node.outputs[0].is_graph_output():  # type: ignore[arg-type]
            for user, place in list(node.outputs[0].uses()):
                user.replace_input_with(place, before.inputs[0])
            node.graph.remove(node, safe=True)  # type: ignore[union-attr]
            places += 1
    return places


def _axis(node: ir.Node) -> int:
    given = node.attributes.get("axis")
    return 0 if given is None else given.as_int()

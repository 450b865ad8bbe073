"""A Scan of a known length becomes its steps: engines without Scan, or with a wrong one."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rnnbench.core.errors import RnnbenchError
from rnnbench.formats.onnx.editing import Adder, all_nodes, replace
from rnnbench.formats.onnx.rewrites._pass import rewrite

_MOST_NODES = 200_000


@rewrite(needs_sizes=True, refuses="more nodes than any engine takes")
def unroll_scans(model: ir.Model) -> int:
    """A Scan of a known length becomes its steps, one after the other.

        hn, y = Scan(h0, x [2, ...], body)
            ->  h1, y1 = body(h0, Gather(x, 0))
                hn, y2 = body(h1, Gather(x, 1))
                y = Concat(Unsqueeze(y1), Unsqueeze(y2))

    IREE is wrong on a Scan, silently; tract stops at shapes that PyTorch leaves in its body.
    """
    from onnx_ir.passes import common

    places = 0
    common.LiftSubgraphInitializersToMainGraphPass()(model)
    for node in list(all_nodes(model)):
        if node.op_type == "Scan" and node.graph is model.graph:
            steps = _steps(node)
            if steps:
                _unroll(node, steps)
                places += 1
    return places


def _steps(node: ir.Node) -> int | None:
    """The length of a Scan, where it is known."""
    count = node.attributes["num_scan_inputs"].as_int()
    axes = _ints(node, "scan_input_axes", count)
    for value, axis in zip(node.inputs[-count:], axes, strict=True):
        size = value.shape[axis] if value is not None and value.shape is not None else None
        if isinstance(size, int):
            return size
    return None


def _unroll(node: ir.Node, steps: int) -> None:
    body = node.attributes["body"].as_graph()
    if steps * len(body) > _MOST_NODES:
        raise RnnbenchError(
            f"{steps} steps of {len(body)} nodes each are too many to unroll: pin a shorter time"
        )
    count = node.attributes["num_scan_inputs"].as_int()
    held = len(node.inputs) - count
    axes = _ints(node, "scan_input_axes", count)
    backward = _ints(node, "scan_input_directions", count)
    collected = len(node.outputs) - held
    out_axes = _ints(node, "scan_output_axes", collected)
    out_backward = _ints(node, "scan_output_directions", collected)
    add = Adder(node)
    states: list[ir.Value | None] = list(node.inputs[:held])
    rows: list[list[ir.Value]] = [[] for _ in range(collected)]
    for step in range(steps):
        given = list(states)
        for value, axis, turned in zip(node.inputs[held:], axes, backward, strict=True):
            index = add.constant(np.array(steps - 1 - step if turned else step))
            given.append(add("Gather", [value, index], axis=axis))
        results = _inline(add, body, given, f"{node.name}_t{step}")
        states = list(results[:held])
        for row, value, axis in zip(rows, results[held:], out_axes, strict=True):
            row.append(add("Unsqueeze", [value, add.constant(np.array([axis]))]))
    for output, last in zip(node.outputs[:held], states, strict=True):
        replace(output, add("Identity", [last]))
    for output, row, axis, turned in zip(
        node.outputs[held:], rows, out_axes, out_backward, strict=True
    ):
        replace(output, add("Concat", row[::-1] if turned else row, axis=axis))
    node.graph.remove(node, safe=True)  # type: ignore[union-attr]


def _inline(
    add: Adder, body: ir.Graph, given: list[ir.Value | None], prefix: str
) -> list[ir.Value]:
    """A copy of a body's nodes before the node that they stand for; returns the body's outputs."""
    copy = body.clone(allow_outer_scope_values=True)
    outputs = list(copy.outputs)
    copy.outputs.clear()
    by_input = dict(zip(copy.inputs, given, strict=True))
    for old, new in by_input.items():
        ir.convenience.replace_all_uses_with(old, new)  # type: ignore[arg-type]
    for node in list(copy):
        copy.remove(node)
        node.name = f"{prefix}_{node.name}"
        for value in node.outputs:
            value.name = f"{prefix}_{value.name}"
        add.insert(node)
    return [by_input.get(value) or value for value in outputs]


def _ints(node: ir.Node, name: str, count: int) -> list[int]:
    given = node.attributes.get(name)
    return [0] * count if given is None else list(given.as_ints())

"""Layers of which only the last state is read, as pnnx knows them.

Shapes are ONNX's: y [time, directions, batch, hidden], hn and cn [directions, batch, hidden].
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import Adder, direction_of, recurrent_nodes, replace
from rnnbench.formats.onnx.rewrites._pass import rewrite

_END = 2**31 - 1


@rewrite()
def read_last_step(model: ir.Model) -> int:
    """A last state is the sequence's last step: pnnx knows no layer without its sequence.

        , hn = GRU(...)    ->  y = GRU(...); hn = Squeeze(y)[-1:]
        , , cn = LSTM(...) ->  y, hn, cn = LSTM(...), and y and hn are further outputs of the graph

    Of both directions, the last state of the second is at the first step. A cell is in no sequence,
    and pnnx knows an LSTM with a cell by all three outputs.
    """
    places = 0
    for node in recurrent_nodes(model):
        plain = len(node.inputs) < 5 or node.inputs[4] is None
        if not plain or node.graph is not model.graph or direction_of(node) == "reverse":
            continue
        y, hn, cn = [_used(value) for value in node.outputs] + [False] * (3 - len(node.outputs))
        if cn and not (y and hn):
            _add_outputs(model.graph, node, y, hn)
            places += 1
        elif hn and not cn and (not y or node.op_type == "LSTM"):
            _read(node)
            places += 1
    return places


def _read(node: ir.Node) -> None:
    hidden = node.attributes["hidden_size"].as_int()
    sequence = _sequence(node)
    add = _behind(sequence)
    last = _part(add, sequence, 0, -1, _END)
    if direction_of(node) == "bidirectional":
        first = _part(add, sequence, 0, 0, 1)
        halves = [_part(add, last, 2, 0, hidden), _part(add, first, 2, hidden, _END)]
        last = add("Concat", halves, axis=0)
    replace(node.outputs[1], last, but=add.made)


def _add_outputs(graph: ir.Graph, node: ir.Node, y: bool, hn: bool) -> None:
    x = node.inputs[0]
    dims = list(x.shape)[:2] if x is not None and x.shape is not None else [None, None]
    directions = 2 if direction_of(node) == "bidirectional" else 1
    hidden = node.attributes["hidden_size"].as_int()
    kept = x.type if x is not None else None
    if not y:
        made = _sequence(node)
        made.name = f"{node.name}_sequence"
        made.shape, made.type = ir.Shape([*dims, directions * hidden]), kept
        graph.outputs.append(made)
    if not hn:
        last = node.outputs[1]
        last.name = f"{node.name}_last_state"
        last.shape, last.type = ir.Shape([directions, dims[1], hidden]), kept
        graph.outputs.append(last)


def _sequence(node: ir.Node) -> ir.Value:
    """[time, batch, directions * hidden] of a layer's sequence: pnnx wants one reader of it."""
    y = node.outputs[0]
    if not y.name:
        y.name = f"{node.name}_y"
    kinds = ["Squeeze"] if direction_of(node) == "forward" else ["Transpose", "Reshape"]
    value, at = y, node
    for kind in kinds:
        readers = [reader for reader, _ in value.uses() if reader.op_type == kind]
        if readers:  # what it reads besides is a constant: it may stand right behind the layer
            node.graph.remove(readers[0])  # type: ignore[union-attr]
            node.graph.insert_after(at, readers[0])  # type: ignore[union-attr]
            value, at = readers[0].outputs[0], readers[0]
            continue
        add = Adder(at, after=True)
        if kind == "Transpose":
            value = add(kind, [value], perm=[0, 2, 1, 3])
        else:
            more = [1] if kind == "Squeeze" else [0, 0, -1]
            value = add(kind, [value, add.constant(np.array(more))])
        at = add.made[-1]
    return value


def _behind(value: ir.Value) -> Adder:
    """Adds nodes right behind the one that a value comes from."""
    node = value.producer()
    assert node is not None
    return Adder(node, after=True)


def _part(add: Adder, value: ir.Value, axis: int, start: int, end: int) -> ir.Value:
    """A slice of one axis, which stays."""
    bounds = [add.constant(np.array([n])) for n in (start, end, axis)]
    return add("Slice", [value, *bounds])


def _used(value: ir.Value) -> bool:
    return value.is_graph_output() or bool(value.uses())

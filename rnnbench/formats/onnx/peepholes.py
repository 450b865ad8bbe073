"""A loop whose step is an LSTM that looks at its cell state is ONNX's LSTM with `P`.

    Scan(h0, c0, x, body: i = Sigmoid(W_i x_t + R_i h + p_i * c), ...)
        ->  LSTM(x, W, R, B, , h0, c0, P)                       P [1, 3 * hidden]: i, o, f

PyTorch has no such layer, so that the program has a loop. Engines that do without P get the loop
back (`rewrites/own_functions.py`: write_out_peepholes).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import add_initializer, constant_of, recurrent_nodes
from rnnbench.formats.onnx.present import layer_of

if TYPE_CHECKING:
    from rnnbench.formats.onnx.optimizing.graph import Graph
    from rnnbench.formats.onnx.optimizing.looped import LoopPlan

_PLACE = 7  # of P among the inputs of an LSTM
_GATES = {"Sigmoid": 3, "Tanh": 2}

Array = np.ndarray[Any, Any]


def fuse_peepholes(model: ir.Model) -> ir.Model:
    """The model with such loops as nodes; itself where it has none."""
    if not any(map(_may_be, model.graph)):
        return model
    from rnnbench.formats.onnx.optimizing.branches import graphs_along, write_back
    from rnnbench.formats.onnx.optimizing.looped import rewrite
    from rnnbench.formats.onnx.optimizing.passes import around_layers

    lines = {node.name: dict(node.metadata_props) for node in model.graph}
    others = frozenset(node.name for node in recurrent_nodes(model) if node.name)
    proto = ir.to_proto(model)
    graphs = graphs_along(proto, (), Path())
    plans = [*_plans(graphs[0])]
    if not plans:
        return model
    rewrite(graphs[0], plans)
    around_layers.find(graphs[0], others, frozenset())
    write_back(graphs)
    made = ir.from_proto(proto)
    for node in list(made.graph):
        if node.op_type != "LSTM" or node.domain or node.name in others:
            continue
        for scan in (plan.loop.node.name for plan in plans):
            if str(node.name).startswith(f"{scan}_lstm/"):  # as `looped.rewrite` calls it
                node.metadata_props.update(lines[scan])
        _take_in_products(node)
    return made


def _plans(graph: Graph) -> Iterator[LoopPlan]:
    """How each such loop becomes a node; no runtime has the node in another dtype."""
    from rnnbench.formats.onnx.optimizing.graph import is_standard
    from rnnbench.formats.onnx.optimizing.looped import LoopPlan, NotFusedError
    from rnnbench.formats.onnx.optimizing.loops import read_loop

    for node in graph.nodes:
        loop = read_loop(graph, node) if is_standard(node, "Scan") else ""
        if isinstance(loop, str):
            continue
        try:
            plan = LoopPlan(graph, loop)
        except NotFusedError:
            continue
        if all(map(_is_known, plan.specs)):
            yield plan


def _is_known(spec: Any) -> bool:
    return spec.layer.p is not None and spec.layer.w.dtype == np.float32


def with_peepholes(model: ir.Model) -> dict[str, int]:
    """What the manifest says of layers with peepholes, which some engines compute wrong."""
    found = [n for n in recurrent_nodes(model) if layer_of(n).has_input(_PLACE)]
    return {"peepholes": len(found)} if found else {}


def _may_be(node: ir.Node) -> bool:
    """Whether a loop has as many functions as the step has gates."""
    if node.op_type != "Scan" or node.domain:
        return False
    body = node.attributes["body"].as_graph()
    kinds = [inner.op_type for inner in body]
    return all(kinds.count(kind) >= count for kind, count in _GATES.items())


def _take_in_products(node: ir.Node) -> None:
    """The products that stand before a layer which only takes them are its own.

        Concat(MatMul(x, A_o) + a_o, MatMul(x, A_i) + a_i, ...) -> LSTM(W of zeros and ones)
            ->  LSTM(x, W = those, B = these)

    x [time, batch, input], A [input, hidden], W [1, 4 * hidden, input], B [1, 8 * hidden].
    """
    w, given = constant_of(node.inputs[1]), node.inputs[0]
    if w is None or given is None or not (np.isin(w, (0, 1)).all() and (w.sum(-1) == 1).all()):
        return
    maker = given.producer()
    parts = list(maker.inputs) if maker is not None and maker.op_type == "Concat" else [given]
    found = [_product(part) for part in parts]
    products = [product for product in found if product is not None]
    if len(products) < len(found) or len({id(x) for x, *_ in products}) > 1:
        return
    matrix = np.concatenate([a for _, a, _ in products], 1)  # [input, all that it was fed]
    offset = np.concatenate([b for *_, b in products])
    if matrix.shape[1] != w.shape[2]:
        return
    gates, graph = w.shape[1], node.graph
    assert graph is not None
    b = constant_of(node.inputs[3]) if len(node.inputs) > 3 else None
    both = np.zeros((1, 2 * gates), w.dtype) if b is None else b.copy()
    both[0, :gates] += w[0] @ offset
    node.replace_input_with(0, products[0][0])
    for place, name, array in ((1, "W", (w[0] @ matrix.T)[None]), (3, "B", both)):
        node.replace_input_with(place, add_initializer(graph, f"{node.name}_{name}", array))


def _product(value: ir.Value | None) -> tuple[ir.Value, Array, Array] | None:
    """X, A and a of MatMul(x, A) + a; None where it is none."""
    node = value.producer() if value is not None else None
    offset: Array | None = None
    if node is not None and node.op_type == "Add":
        constants = [constant_of(i) for i in node.inputs]
        offset = next((c for c in constants if c is not None and c.ndim == 1), None)
        rest = next((i for i, c in zip(node.inputs, constants, strict=True) if c is None), None)
        node = rest.producer() if rest is not None and offset is not None else None
    if node is None or node.op_type != "MatMul" or node.inputs[0] is None:
        return None
    matrix = constant_of(node.inputs[1])
    if matrix is None or matrix.ndim != 2:
        return None
    zeros = np.zeros(matrix.shape[1], matrix.dtype)
    return node.inputs[0], matrix, zeros if offset is None else zeros + offset

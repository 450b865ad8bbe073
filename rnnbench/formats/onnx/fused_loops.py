"""A loop whose step is a layer that ONNX has, and PyTorch has not, is that layer.

An LSTM whose gates look at its cell state, and a GRU that resets its state before the product:

    Scan(h0, c0, x, body: i = Sigmoid(W_i x_t + R_i h + p_i * c), ...)
        ->  LSTM(x, W, R, B, , h0, c0, P)                       P [1, 3 * hidden]: i, o, f
    Scan(h0, x, body: n = Tanh(W_n x_t + R_n (r * h)), ...)
        ->  GRU(x, W, R, B, , h0)                               linear_before_reset=0

A minimal gated unit is such a GRU: r = f, z = 1 - f. Engines that compute another layer get the
loop back (`rewrites/own_functions.py`: write_out_peepholes, write_out_resets).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from rnnbench.core.layer_facts import PRESENT
from rnnbench.formats.onnx.editing import add_initializer, constant_of, recurrent_nodes
from rnnbench.formats.onnx.present import layer_of

if TYPE_CHECKING:
    from rnnbench.formats.onnx.optimizing.graph import Graph
    from rnnbench.formats.onnx.optimizing.looped import LoopPlan

RESETS = "linear_before_reset=0"
_LEAST = {"Sigmoid": 1, "Tanh": 1}
"""Functions in a step."""

Array = np.ndarray[Any, Any]


def fuse_loops(model: ir.Model) -> ir.Model:
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
        if node.op_type not in ("LSTM", "GRU") or node.domain or node.name in others:
            continue
        for scan in (plan.loop.node.name for plan in plans):
            stem = f"{scan}_{node.op_type.lower()}/"  # as `looped.rewrite` calls it
            if str(node.name).startswith(stem):
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
    layer = spec.layer
    known = layer.p is not None or (layer.kind == "gru" and not layer.resets_after)
    return known and layer.w.dtype == np.float32


def unusual_layers(model: ir.Model) -> dict[str, dict[str, int]]:
    """How many of such layers there are, for the manifest: some engines compute them wrong."""
    layers = [layer_of(node) for node in recurrent_nodes(model)]
    found = {
        "P": sum(layer.op == "LSTM" and PRESENT["P"](layer) for layer in layers),
        RESETS: sum(layer.op == "GRU" and PRESENT[RESETS](layer) for layer in layers),
    }
    said = {name: count for name, count in found.items() if count}
    return {"unusual": said} if said else {}


def _may_be(node: ir.Node) -> bool:
    """Whether a loop has as many functions as the least of these steps."""
    if node.op_type != "Scan" or node.domain:
        return False
    body = node.attributes["body"].as_graph()
    kinds = [inner.op_type for inner in body]
    return all(kinds.count(kind) >= count for kind, count in _LEAST.items())


def _take_in_products(node: ir.Node) -> None:
    """The products that stand before a layer which only takes them are its own.

        Concat(x, MatMul(x, A_o) + a_o, MatMul(x, A_i) + a_i, ...) -> LSTM(W of these columns)
            ->  LSTM(x, W = those, B = these)

    x [time, batch, input], A [input, hidden], W [1, gates * hidden, input], B [1, 2 * gates *
    hidden]. A product is taken as it is, or from 0: W has one 1 or -1 in a row of its columns.
    """
    w, given = constant_of(node.inputs[1]), node.inputs[0]
    if w is None or given is None:
        return
    maker = given.producer()
    parts = list(maker.inputs) if maker is not None and maker.op_type == "Concat" else [given]
    found = [_product(part) for part in parts]
    if len({id(part.of) for part in found}) != 1 or not any(part.is_product for part in found):
        return
    columns = [part.columns or (w.shape[2] if len(parts) == 1 else 0) for part in found]
    if sum(columns) != w.shape[2]:
        return
    blocks = np.split(w[0], np.cumsum(columns)[:-1], axis=1)
    if any(p.is_product and not _selects(block) for p, block in zip(found, blocks, strict=True)):
        return
    gates, graph = w.shape[1], node.graph
    assert graph is not None
    node.resize_inputs(max(len(node.inputs), 4))  # one without biases and states has three
    b = constant_of(node.inputs[3]) if len(node.inputs) > 3 else None
    both = np.zeros((1, 2 * gates), w.dtype) if b is None else b.copy()
    pairs = [part.within(block) for part, block in zip(found, blocks, strict=True)]
    both[0, :gates] += sum(offset for _, offset in pairs)
    whole = sum(matrix for matrix, _ in pairs)
    node.replace_input_with(0, found[0].of)
    for place, name, array in ((1, "W", np.asarray(whole)[None]), (3, "B", both)):
        node.replace_input_with(place, add_initializer(graph, f"{node.name}_{name}", array))


def _selects(block: Array) -> bool:
    """Whether each row takes one column at most, as it is or with the other sign."""
    return bool(np.isin(block, (-1, 0, 1)).all() and (np.abs(block).sum(-1) <= 1).all())


@dataclass(frozen=True)
class _Part:
    """What a layer is fed: x, or a product of it.

    Attributes:
        of: x, [time, batch, input].
        matrix: [input, columns]; None where it is x itself.
        offset: [columns], which is added to the product; None where nothing is.
    """

    of: ir.Value | None
    matrix: Array | None = None
    offset: Array | None = None

    @property
    def is_product(self) -> bool:
        """Whether it is no more x itself."""
        return self.matrix is not None

    @property
    def columns(self) -> int:
        """Its features; 0 where they are not known."""
        if self.matrix is not None:
            return int(self.matrix.shape[1])
        size = self.of.shape[-1] if self.of is not None and self.of.shape is not None else None
        return size if isinstance(size, int) else 0

    def within(self, block: Array) -> tuple[Array, Array | float]:
        """The weights [rows, input] and biases [rows] of W x = block (A' x + a)."""
        if self.matrix is None:
            return block, 0.0
        offset = 0.0 if self.offset is None else block @ self.offset
        return block @ self.matrix.T, offset


def _product(value: ir.Value | None) -> _Part:
    """X, A and a of MatMul(x, A) + a; x alone where it is no such product."""
    node = value.producer() if value is not None else None
    offset: Array | None = None
    while node is not None and node.op_type == "Add":
        constants = [constant_of(i) for i in node.inputs]
        more = next((c for c in constants if c is not None and c.ndim == 1), None)
        rest = next((i for i, c in zip(node.inputs, constants, strict=True) if c is None), None)
        if more is None or rest is None:
            return _Part(value)
        offset = more if offset is None else offset + more
        node = rest.producer()
    if node is None or node.op_type != "MatMul" or node.inputs[0] is None:
        return _Part(value)
    matrix = constant_of(node.inputs[1])
    if (
        matrix is None
        or matrix.ndim != 2
        or (offset is not None and offset.size != matrix.shape[1])
    ):
        return _Part(value)
    return _Part(node.inputs[0], matrix, offset)

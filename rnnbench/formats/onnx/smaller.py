"""Weights that a file keeps in fewer bits, and that an engine computes back as it loads them.

    W [1, 4 * hidden, input], float32
        ->  W_float16 [1, 4 * hidden, input];                       W = Cast(W_float16)
        ->  W_int8 [1, 4 * hidden, input], W_scale [1, 4 * hidden, 1];
                                                                    W = Mul(Cast(W_int8), W_scale)

`DequantizeLinear` is made for this, but ONNX Runtime leaves it for its kernels of integers to find
and so computes it in each call; what is a Cast and a Mul of constants it folds once. So does
OpenVINO (2026.4.1), unless the graph rounds values as well: then it takes a Mul of an int8 that was
cast for a part of that, and refuses layers whose weights are no constants. There an int32 is
between: W = Mul(Cast(Cast(W_int8, int32), float32), W_scale).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import outermost

FLOATS = {"float16": ir.DataType.FLOAT16, "bfloat16": ir.DataType.BFLOAT16}
Array = np.ndarray[Any, Any]


def keep_small(model: ir.Model, precision: str, but: Collection[str] = ()) -> int:
    """Keeps each initializer that was rounded to a precision in so many bits.

    Args:
        model: is changed; its values keep their names.
        precision: one of `rnnbench.models.precision.PRECISIONS`.
        but: initializers that stay as they are.

    Returns:
        How many numbers are kept so.
    """
    rounds = any(node.op_type == "QuantizeLinear" for node in model.graph)
    count = 0
    for graph in [model.graph, *model.graph.subgraphs()]:
        for value in list(graph.initializers.values()):
            keeps = value.name not in but and not value.is_graph_output()
            if value.dtype is ir.DataType.FLOAT and keeps:
                count += _keep(graph, value, precision, rounds)
    return count


def _keep(graph: ir.Graph, value: ir.Value, precision: str, rounds: bool) -> int:
    import torch

    from rnnbench.models.precision import in_fewer_bits

    array = value.const_value.numpy() if value.const_value is not None else np.zeros(0)
    kept = in_fewer_bits(torch.tensor(array), precision)
    if kept is None:
        return 0
    stored, steps = kept
    add = Before(graph, str(value.name))
    if steps is None:
        small = add.initializer(precision, _bits(stored), FLOATS[precision])
        made = add.node("Cast", [small], to=ir.DataType.FLOAT)
    else:
        small = add.initializer("int8", stored.numpy())
        scale = add.initializer("scale", steps.numpy())
        if rounds:
            small = add.node("Cast", [small], "wide", to=ir.DataType.INT32)
        made = add.node("Mul", [add.node("Cast", [small], to=ir.DataType.FLOAT), scale])
    ir.convenience.replace_all_uses_with(value, made)
    name = str(value.name)
    del graph.initializers[name]
    value.name, made.name = None, name
    return int(array.size)


def _bits(stored: Any) -> Array:
    import torch

    found: Array = stored.view(torch.uint16).numpy()
    return found


class Before:
    """Adds to the outermost graph, before all other nodes."""

    def __init__(self, graph: ir.Graph, stem: str) -> None:
        self.root = outermost(graph)
        self.first = self.root[0]
        self.stem = stem

    def initializer(self, kind: str, array: Array, dtype: ir.DataType | None = None) -> ir.Value:
        """A constant with a name that no other has."""
        name, n = f"{self.stem}_{kind}", 1
        while name in self.root.initializers:
            name, n = f"{self.stem}_{kind}_{n}", n + 1
        numbers = array if dtype is None else array.view(dtype.numpy())
        tensor = ir.tensor(numbers, name=name)
        made = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.root.register_initializer(made)
        return made

    def node(
        self, kind: str, inputs: list[ir.Value], called: str = "", **attributes: Any
    ) -> ir.Value:
        """A node of one output."""
        made = ir.node(kind, inputs, attributes=attributes)
        made.name = f"{self.stem}_{called or kind}"
        made.outputs[0].name = f"{made.name}_0"
        self.root.insert_before(self.first, made)
        return made.outputs[0]


def restore(model: ir.Model) -> list[str]:
    """Makes initializers in float32 of what `keep_small` wrote, in place.

    Returns:
        The precisions that weights were kept in, each once.
    """
    found = []
    for node in list(model.graph):
        kept = _kept_by(node)
        if kept is None:
            continue
        precision, array = kept
        value = node.outputs[0]
        made = ir.Value(
            name=value.name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(ir.DataType.FLOAT),
            const_value=ir.tensor(array, name=value.name),
        )
        ir.convenience.replace_all_uses_with(value, made)
        value.name = None
        model.graph.register_initializer(made)
        found.append(precision)
    if found:
        from onnx_ir.passes import common

        common.RemoveUnusedNodesPass()(model)
    return list(dict.fromkeys(found))


def _kept_by(node: ir.Node) -> tuple[str, Array] | None:
    """The precision, and the numbers, of a weight that a node computes back."""
    if node.op_type == "Cast" and not node.domain:
        tensor = node.inputs[0].const_value if node.inputs[0] is not None else None
        names = {dtype: name for name, dtype in FLOATS.items()}
        if tensor is None or tensor.dtype not in names or not _to_float(node):
            return None
        return names[tensor.dtype], tensor.numpy().astype(np.float32)
    if node.op_type != "Mul" or node.domain:
        return None
    cast, scale = (value for value in node.inputs)
    maker = cast.producer() if cast is not None else None
    if maker is None or maker.op_type != "Cast" or not _to_float(maker):
        return None
    held = maker.inputs[0]
    between = held.producer() if held is not None else None
    if between is not None and between.op_type == "Cast":
        held = between.inputs[0]
    whole = held.const_value if held is not None else None
    steps = scale.const_value if scale is not None else None
    if whole is None or steps is None or whole.dtype is not ir.DataType.INT8:
        return None
    return "int8-weights", whole.numpy().astype(np.float32) * steps.numpy()


def _to_float(node: ir.Node) -> bool:
    return bool(node.attributes["to"].as_int() == ir.DataType.FLOAT) and len(node.outputs) == 1

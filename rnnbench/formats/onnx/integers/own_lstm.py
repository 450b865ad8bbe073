"""LSTMs as ONNX Runtime's own operator, which computes their products in whole numbers.

It has one scale for what a call is given, all rows and steps together, and one for the states of a
step, all rows together: a loud step moves those before it, and a loud row its neighbours.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md (DynamicQuantizeLSTM)
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import constant_of, recurrent_nodes, replace
from rnnbench.formats.onnx.integers.making import Array, Maker
from rnnbench.formats.onnx.integers.products import whole_of

DOMAIN, OPERATOR = "com.microsoft", "DynamicQuantizeLSTM"
_INPUTS = 12


def turn_into_own(model: ir.Model) -> int:
    """Each LSTM whose weights were rounded; how many numbers those have.

    LSTM(x, W [directions, 4 * hidden, input], R, ...)
        ->  DynamicQuantizeLSTM(x, W_int8 [directions, input, 4 * hidden], R_int8, ...,
                                W_scale [directions, 4 * hidden], W_zero, R_scale, R_zero)
    """
    count = 0
    for node in recurrent_nodes(model):
        weights = [_whole(value) for value in node.inputs[1:3]]
        if node.op_type != "LSTM" or None in weights:
            continue
        count += sum(found[0].size for found in weights if found is not None)
        _replace(node, weights, model)
    if count:
        model.opset_imports[DOMAIN] = 1
    return count


def _whole(value: ir.Value | None) -> tuple[Array, Array] | None:
    held = constant_of(value)
    if held is None or held.dtype != np.float32 or not held.size:
        return None
    return whole_of(held.swapaxes(1, 2))


def _replace(node: ir.Node, weights: list[tuple[Array, Array] | None], model: ir.Model) -> None:
    make = Maker(node, model)
    inputs: list[ir.Value | None] = [*node.inputs, *[None] * (_INPUTS - len(node.inputs))]
    for place, found in enumerate(weights):
        assert found is not None
        name = str(node.inputs[1 + place].name)  # type: ignore[union-attr]
        whole, scale = found
        inputs[1 + place] = make.shared(f"{name}_int8", whole)
        inputs[8 + 2 * place] = make.shared(f"{name}_scale", scale[:, 0])
        zeros = np.zeros(scale[:, 0].shape, np.int8)
        inputs[9 + 2 * place] = make.shared(f"{name}_zero", zeros)
    made = ir.Node(
        DOMAIN,
        OPERATOR,
        inputs,
        [a for a in node.attributes.values() if a.name != "layout"],
        num_outputs=len(node.outputs),
        name=node.name,
    )
    made.metadata_props.update(node.metadata_props)
    assert node.graph is not None
    node.graph.insert_before(node, made)
    for old, new in zip(list(node.outputs), made.outputs, strict=True):
        replace(old, new)
    node.graph.remove(node, safe=True)

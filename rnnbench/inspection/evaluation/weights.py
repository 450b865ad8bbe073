"""The floating numbers that are written down in a graph: initializers and Constants."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

Array = np.ndarray[Any, Any]

FLOATING = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    | {onnx.TensorProto.DOUBLE}
)


def weights_in(graph: Any) -> dict[str, Array]:
    """Those of one graph by name, as the file has them; its bodies apart."""
    found = {t.name: numpy_helper.to_array(t) for t in graph.initializer if _floats(t)}
    found |= {
        s.values.name: dense(s, numpy_helper.to_array(s.values))
        for s in graph.sparse_initializer
        if _floats(s.values)
    }
    return found | constants_in(graph)


def constants_in(graph: Any) -> dict[str, Array]:
    """Those of the Constants alone."""
    nodes = [n for n in graph.node if n.op_type == "Constant" and n.domain in ("", "ai.onnx")]
    read = ((node.output[0], _value(node)) for node in nodes if node.output)
    return {name: array for name, array in read if array is not None}


def _value(node: Any) -> Array | None:
    """The numbers of a Constant; None where they are no floating ones."""
    for attribute in node.attribute:
        if attribute.name == "value" and _floats(attribute.t):
            array: Array = numpy_helper.to_array(attribute.t)
            return array
        if attribute.name == "sparse_value" and _floats(attribute.sparse_tensor.values):
            sparse = attribute.sparse_tensor
            return dense(sparse, numpy_helper.to_array(sparse.values))
        if attribute.name == "value_float":
            return np.asarray(attribute.f, np.float32)
        if attribute.name == "value_floats":
            return np.asarray(list(attribute.floats), np.float32)
    return None


def dense(sparse: Any, values: Array) -> Array:
    """A SparseTensorProto as an array: its indices are flat, or one per axis.

    Args:
        sparse: it.
        values: its numbers that are not 0, [count].
    """
    indices = numpy_helper.to_array(sparse.indices)
    array = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        array.reshape(-1)[indices] = values
    else:
        array[tuple(indices.T)] = values
    return array


def unused(name: str, known: Container[str]) -> str:
    """A name that is not known: those of different graphs of a file may be one."""
    unique, number = name, 1
    while unique in known:
        number += 1
        unique = f"{name}_{number}"
    return unique


def _floats(tensor: Any) -> bool:
    return tensor.data_type in FLOATING

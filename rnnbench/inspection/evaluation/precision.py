"""What stands for float32, float16 and bfloat16 in a graph: one type for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

# https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, TensorProto.DataType
FLOATS = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})
_NARROW = frozenset({"float32", "float16", "bfloat16"})

# Attributes of the operators that name a type of floating numbers; an integer of TensorProto.
_TYPE_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "to": frozenset({"Cast"}),
    "dtype": frozenset(
        {"Bernoulli", "EyeLike", "RandomNormal", "RandomNormalLike", "RandomUniform"}
        | {"RandomUniformLike", "SequenceEmpty"}
    ),
    "output_datatype": frozenset(
        {"BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix"}
    ),
    "output_dtype": frozenset({"DequantizeLinear"}),
    "softmax_precision": frozenset({"Attention"}),
    "stash_type": frozenset({"Range"}),
}
_NAMED = ("Cast", "to", onnx.AttributeProto.STRING)


class Precision:
    """The one type; float64 of a file, integers and strings stay as they are.

    Attributes:
        dtype: numpy's.
        code: TensorProto's.
        off: what is done to the results of functions (sigmoid, tanh, and those of layers), by their
            names, to know how far an engine whose functions are others is moved; and to what is
            rounded to whole numbers, as "round", to know on what a tie decides; nothing unless
            somebody asks (`Evaluator.off_by`).
    """

    off: Callable[[np.ndarray, str], np.ndarray] | None = None

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.code = int(onnx.helper.np_dtype_to_tensor_dtype(self.dtype))

    def array(self, tensor: Any) -> np.ndarray:
        """A TensorProto as numbers."""
        array: np.ndarray = self.cast(numpy_helper.to_array(tensor))
        return array

    def cast(self, value: Any) -> Any:
        """A value of a graph: arrays, lists of them, or None where an optional one is absent."""
        if isinstance(value, list):
            return [self.cast(one) for one in value]
        if isinstance(value, np.ndarray | np.generic) and value.dtype.name in _NARROW:
            return np.asarray(value, dtype=self.dtype)
        return value

    def type_code(self, code: int) -> int:
        """TensorProto's number of a type -> that of the type that stands for it."""
        return self.code if code in FLOATS else code

    def type_attribute(self, op: str, name: str, value: Any) -> Any:
        """An attribute of an operator: where it names a type, that of the one type."""
        if op in _TYPE_ATTRIBUTES.get(name, ()) and isinstance(value, int):
            return self.type_code(value)
        return value

    def node(self, proto: Any) -> Any:
        """A copy of a node without bodies whose attributes hold the one type."""
        copy = onnx.NodeProto()
        copy.CopyFrom(proto)
        for attribute in copy.attribute:
            if (copy.op_type, attribute.name, attribute.type) == _NAMED:  # before opset 6
                attribute.i = onnx.TensorProto.DataType.Value(attribute.s.decode().upper())
                attribute.ClearField("s")
                attribute.type = onnx.AttributeProto.INT
            for tensor in [attribute.t] if attribute.HasField("t") else attribute.tensors:
                if tensor.data_type in FLOATS:
                    tensor.CopyFrom(numpy_helper.from_array(self.array(tensor), tensor.name))
        return copy

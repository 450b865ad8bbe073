"""Models of one node, arrays for them, and what ONNX Runtime computes in one thread."""

import numpy as np
import onnx
import onnxruntime
from onnx import helper

SEED = 5
rng = np.random.default_rng(SEED)


def reseed():
    """No test's numbers depend on which tests ran before it."""
    rng.bit_generator.state = np.random.default_rng(SEED).bit_generator.state


def f32(*shape, scale=1.0):
    return (scale * rng.normal(size=shape)).astype(np.float32)


def u8(*shape):
    return rng.integers(0, 256, shape).astype(np.uint8)


def i7(*shape):
    """Small enough that no processor's int16 sums overflow."""
    return rng.integers(-63, 64, shape).astype(np.int8)


def one(value, dtype=np.float32):
    return np.asarray(value, dtype)


def model(op, arrays, attributes, outputs=1, domain="com.microsoft", opset=17):
    names = [f"x{i}" if array is not None else "" for i, array in enumerate(arrays)]
    made = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, made, domain=domain, **attributes)
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in zip(names, arrays, strict=True)
        if name
    ]
    values = [onnx.ValueInfoProto(name=name) for name in made]
    graph = helper.make_graph([node], "one", inputs, values)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return proto, dict(item for item in zip(names, arrays, strict=True) if item[0])


def run(proto, feeds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))

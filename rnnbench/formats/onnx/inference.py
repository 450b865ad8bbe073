"""The sizes that ONNX infers for the values of a file."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

Shape = tuple[int | str | None, ...]
"""Numbers, names, or unknown."""

_LARGE = 64  # numbers in a constant that the inference of shapes does not need


def inferred(proto: Any) -> Any:
    """A copy without large weights, with the shapes that ONNX can infer."""
    import onnx

    light = type(proto)()
    light.CopyFrom(_without_weights(proto))
    with suppress(Exception):  # it gives up on what is inconsistent
        return onnx.shape_inference.infer_shapes(light, data_prop=True)
    return light


def _without_weights(proto: Any) -> Any:
    """A copy in which large initializers are inputs: only their shapes are of use."""
    from onnx import helper

    light = type(proto)()
    light.ir_version = proto.ir_version
    light.opset_import.extend(proto.opset_import)
    light.functions.extend(proto.functions)
    graph, of = light.graph, proto.graph
    graph.name = of.name
    graph.node.extend(of.node)
    graph.input.extend(of.input)
    graph.output.extend(of.output)
    graph.value_info.extend(of.value_info)
    known = {v.name for v in of.input}
    for tensor in of.initializer:
        if is_small(tensor) and tensor.data_location != tensor.EXTERNAL:
            graph.initializer.add().CopyFrom(tensor)
        elif tensor.name not in known:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            graph.input.add().CopyFrom(info)
    return light


def is_small(tensor: Any) -> bool:
    """Whether a constant may be sizes, and no weight."""
    size = 1
    for n in tensor.dims:
        size *= n
    return size <= _LARGE


def sizes(kind: Any) -> Shape:
    """The sizes of a type: numbers, names, or unknown."""
    return tuple(
        int(d.dim_value) if d.HasField("dim_value") and d.dim_value >= 0 else d.dim_param or None
        for d in kind.shape.dim
    )

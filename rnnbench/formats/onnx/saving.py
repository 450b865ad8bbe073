"""How a graph becomes a file: checked first, then written with one weight at a time in memory.

The fields of ONNX's protobuf: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, as bytes:
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import onnx_ir as ir

from rnnbench.core.errors import RnnbenchError, one_line

if TYPE_CHECKING:
    import onnx

    Tensors = dict[str, ir.TensorProtocol]

_LARGE = 2**20  # bytes of a weight that is written by itself
_ONE_FILE_BYTES = 2**31 - 2**20  # protobuf's limit, less room for the graph
_MODEL_GRAPH, _GRAPH_INITIALIZER, _TENSOR_RAW = 7, 5, 9  # the numbers of fields
_BYTES = 2  # the wire type of a field that has a length


def save(model: ir.Model, path: Path) -> dict[str, str]:
    """Checks a graph with onnx's checker and writes it.

    Args:
        model: stays as it is, but for the order of its initializers: the large ones come last.
        path: the file; weights of more than 2 GB go to a file beside it (`.data`).

    Returns:
        `external_data`: the name of the file beside it, where there is one.

    Raises:
        RnnbenchError: the checker refuses the graph; nothing is written then.
    """
    weights = [i.const_value for i in model.graph.initializers.values() if i.const_value]
    with _without_large(model.graph) as large:
        proto = ir.to_proto(model)
        _check(proto, large)
    if sum(w.nbytes for w in weights) > _ONE_FILE_BYTES:
        beside = f"{path.name}.data"
        ir.save(model, path, external_data=beside)
        return {"external_data": beside}
    with path.open("wb") as file:
        _write(proto, large, file)
    return {}


@contextmanager
def _without_large(graph: ir.Graph) -> Iterator[Tensors]:
    """The large initializers by name, which the graph does not have meanwhile."""
    known = graph.initializers
    taken = [v for v in known.values() if v.const_value and v.const_value.nbytes >= _LARGE]
    for value in taken:
        del known[str(value.name)]
    try:
        yield {str(v.name): v.const_value for v in taken if v.const_value is not None}
    finally:
        for value in taken:
            graph.register_initializer(value)


def _check(proto: onnx.ModelProto, large: Tensors) -> None:
    """Large weights are inputs for the checker, which looks at no number of theirs."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    copy.graph.input.extend(_described(name, tensor) for name, tensor in large.items())
    try:
        onnx.checker.check_model(copy, full_check=True)
    except Exception as error:
        raise RnnbenchError(f"the ONNX checker refuses the graph: {one_line(error)}") from error


def _described(name: str, tensor: ir.TensorProtocol) -> onnx.ValueInfoProto:
    import onnx

    return onnx.helper.make_tensor_value_info(name, tensor.dtype, tensor.shape.numpy())


def _write(proto: onnx.ModelProto, large: Tensors, file: IO[bytes]) -> None:
    """`proto` with these initializers behind its own.

    ModelProto {ir_version ... graph {node ... initializer a}}, b
        ->  ModelProto {ir_version ... graph {node ... initializer a, initializer b}}
    """
    proto.graph.value_info.extend(_described(name, tensor) for name, tensor in large.items())
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    heads = {name: _head(name, tensor) for name, tensor in large.items()}
    bodies = {n: len(head) + large[n].nbytes for n, head in heads.items()}
    tags = {n: _field(_GRAPH_INITIALIZER, size) for n, size in bodies.items()}
    file.write(proto.SerializeToString())
    file.write(_field(_MODEL_GRAPH, len(graph) + _total(tags) + sum(bodies.values())))
    file.write(graph)
    for name, tensor in large.items():
        file.write(tags[name])
        file.write(heads[name])
        file.write(tensor.tobytes())


def _total(parts: Mapping[str, bytes]) -> int:
    return sum(map(len, parts.values()))


def _head(name: str, tensor: ir.TensorProtocol) -> bytes:
    """A TensorProto up to its numbers."""
    import onnx

    dims = tensor.shape.numpy()
    said = onnx.TensorProto(name=name, data_type=int(tensor.dtype), dims=dims)
    return bytes(said.SerializeToString()) + _field(_TENSOR_RAW, tensor.nbytes)


def _field(number: int, length: int) -> bytes:
    """The tag of a field of bytes, and their number."""
    return _varint(number << 3 | _BYTES) + _varint(length)


def _varint(value: int) -> bytes:
    """7 bits a byte, the lowest first; all but the last have their highest bit set."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)

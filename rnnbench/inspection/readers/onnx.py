"""ONNX, read with its own library; external weights are looked for NaN, not kept."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.inspection.external import external_bytes, external_nans, graphs_in
from rnnbench.inspection.nans import nans_in_tensor
from rnnbench.inspection.program import (
    EXTERNAL,
    Body,
    Dim,
    Node,
    Port,
    Program,
    Ref,
    Tensor,
)
from rnnbench.inspection.readers._archives import is_archive
from rnnbench.inspection.readers._onnx_files import load_graph
from rnnbench.inspection.readers._onnx_loops import wire_loop, wire_scan
from rnnbench.inspection.unrounded import every_graph, products_of_floats

_FEW = 64  # constants of up to so many numbers are read: shapes, axes, flags
_INFER_BYTES = 2**30
_SYMBOL = re.compile(r"[su]\d+")  # what torch.export calls a size that nobody named


def recognises(path: Path) -> bool:
    """Whatever is no archive may be one: a protobuf has no magic number."""
    return not is_archive(path)


def read(path: Path) -> Program:
    """Reads a graph; the file's directory must hold the external data that it names.

    Raises:
        RnnbenchError: the file is truncated, foreign or inconsistent, or external data is missing.
        Unavailable: onnx is not installed.
    """
    if not find_spec("onnx"):
        raise Unavailable(f"{path} may be ONNX, and onnx is not installed: pip install onnx")
    proto = load_graph(path)
    program = Program(path, "onnx", Body([]))
    program.opset = _opset(proto, path)
    program.producer = f"{proto.producer_name} {proto.producer_version}".strip()
    program.size = path.stat().st_size + external_bytes(proto, path)
    _note_stale(program, proto.graph)
    plain = _without_functions(proto)
    plain, program.whole = products_of_floats(plain)
    _Reader(program, path).read(plain)
    if program.whole:
        program.nodes = sum(len(graph.node) for graph in every_graph(proto.graph))
    _note_shapes(program, _with_shapes(plain).graph)
    return program


def _opset(proto: Any, path: Path) -> int:
    found = [o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    if not found:
        raise RnnbenchError(f"{path} uses none of ONNX's own operators: nothing to inspect")
    return int(found[0])


def _without_functions(proto: Any) -> Any:
    """A model whose own functions are written out where they are called."""
    if not proto.functions:
        return proto
    import onnx.inliner

    with suppress(Exception):  # a function that cannot be written out stays one node
        return onnx.inliner.inline_local_functions(proto)
    return proto


def _with_shapes(proto: Any) -> Any:
    """A model with the shapes that ONNX can infer; without them, less can be said."""
    import onnx

    if proto.ByteSize() > _INFER_BYTES:
        return proto
    _forget_negative_sizes(proto.graph)
    with suppress(Exception):  # inference gives up on what is inconsistent, as damaged files are
        return onnx.shape_inference.infer_shapes(proto, data_prop=True)
    return proto


def _forget_negative_sizes(graph: Any) -> None:
    """Takes sizes like -1 away, which mean "unknown": at a Slice of one ONNX ends the process."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value < 0:
                dim.Clear()
    for body in (g for n in graph.node for a in n.attribute for g in graphs_in(a)):
        _forget_negative_sizes(body)


def _note_shapes(program: Program, graph: Any) -> None:
    """Adds the shapes of values. The inference drops large weights: only its shapes are read."""
    for value in (*graph.value_info, *graph.output):
        port = _port(value)
        if port.shape is not None:
            program.shapes.setdefault(port.name, port.shape)
        program.dtypes.setdefault(port.name, port.dtype)
    for body in (g for n in graph.node for a in n.attribute for g in graphs_in(a)):
        _note_shapes(program, body)


def _note_stale(program: Program, graph: Any) -> None:
    """Remembers names of sizes that a loop's surroundings have and no input does: tract stops."""
    known = {d.dim_param for value in graph.input for d in value.type.tensor_type.shape.dim}
    loops = [n for n in graph.node if n.op_type in ("Scan", "Loop")]
    around = {name for n in loops for name in (*n.input, *n.output)}
    bodies = [b for n in loops for a in n.attribute for b in graphs_in(a)]
    values = [v for v in graph.value_info if v.name in around]
    values += [v for b in bodies for v in (*b.input, *b.output, *b.value_info)]
    for value in values:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param not in known and _SYMBOL.fullmatch(dim.dim_param):
                program.stale.setdefault(dim.dim_param, value.name)


class _Reader:
    """Fills a program in."""

    def __init__(self, program: Program, path: Path) -> None:
        self.program = program
        self.path = path

    def read(self, proto: Any) -> None:
        graph = proto.graph
        constants = {t.name for t in graph.initializer}
        self.program.inputs = tuple(_port(v) for v in graph.input if v.name not in constants)
        self.program.outputs = tuple(_port(v) for v in graph.output)
        self.program.graph = self.body(graph, set())

    def body(self, graph: Any, outer: set[str]) -> Body:
        """A graph; every value that it reads must be known by then."""
        program = self.program
        known = outer | {v.name for v in graph.input} | {""}
        for tensor in graph.initializer:
            program.constants[tensor.name] = self.tensor(tensor)
            known.add(tensor.name)
        for value in (*graph.input, *graph.output, *graph.value_info):
            port = _port(value)
            if port.shape is not None:
                program.shapes[port.name] = port.shape
            program.dtypes[port.name] = port.dtype
        nodes = []
        for node in graph.node:
            program.nodes += 1
            for name in node.input:
                if name not in known:
                    raise RnnbenchError(
                        f"{self.path} is damaged: node {node.name or node.op_type!r} reads "
                        f"{name!r}, which nothing makes"
                    )
            if node.op_type != "Constant" or not self._constant(node):
                nodes.append(self.node(node, known))
            known.update(node.output)
        missing = [v.name for v in graph.output if v.name not in known]
        if missing:
            raise RnnbenchError(
                f"{self.path} is truncated: nothing makes its output {missing[0]!r}"
            )
        return Body(
            nodes,
            tuple(v.name for v in graph.input),
            tuple(Ref(v.name) for v in graph.output),
        )

    def node(self, node: Any, known: set[str]) -> Node:
        attributes = {a.name: _attribute(a) for a in node.attribute if not graphs_in(a)}
        bodies = tuple(self.body(g, known) for a in node.attribute for g in graphs_in(a))
        domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
        made = Node(
            f"{domain}{node.op_type}",
            node.name or next((o for o in node.output if o), node.op_type),
            [Ref(i) if i else None for i in node.input],
            attributes,
            tuple(node.output),
            bodies,
        )
        if made.op == "Scan" and bodies:
            wire_scan(made, self.program.opset or 0)
        elif made.op == "Loop" and bodies:
            wire_loop(made)
        return made

    def _constant(self, node: Any) -> bool:
        """Keeps the value of a Constant node; whether there was one."""
        import numpy as np

        for attribute in node.attribute:
            if attribute.name == "value":
                self.program.constants[node.output[0]] = self.tensor(attribute.t)
                return True
            if attribute.name in ("value_int", "value_ints", "value_float", "value_floats"):
                array = np.asarray(_attribute(attribute))
                dtype = "int64" if array.dtype.kind == "i" else "float32"
                values = tuple(array.ravel().tolist()) if array.size <= _FEW else None
                self.program.constants[node.output[0]] = Tensor(dtype, array.shape, values)
                return True
        return False

    def tensor(self, tensor: Any) -> Tensor:
        from onnx import numpy_helper

        shape = tuple(tensor.dims)
        data = tensor.raw_data or repr(list(tensor.float_data)).encode()
        digest = zlib.crc32(data) if tensor.raw_data or tensor.float_data else 0
        dtype = _dtype(tensor.data_type)
        known = Tensor(dtype, shape, None, digest, nans_in_tensor(tensor, dtype))
        if tensor.data_location == tensor.EXTERNAL:
            size = known.size * _WIDTH.get(tensor.data_type, 0)
            nans = external_nans(tensor, self.path, dtype, size)
            return Tensor(dtype, shape, None, EXTERNAL, nans)
        if known.dtype == "string":
            return known
        if tensor.raw_data and tensor.data_type in _WIDTH:
            expected = known.size * _WIDTH[tensor.data_type]
            if len(tensor.raw_data) != expected:
                raise RnnbenchError(
                    f"{self.path} is damaged: {tensor.name!r} has {len(tensor.raw_data)} bytes, "
                    f"and its shape {list(shape)} needs {expected}"
                )
        if known.size > _FEW:
            return known
        try:
            array = numpy_helper.to_array(tensor)
        except Exception as error:
            raise RnnbenchError(f"{self.path} is damaged: {tensor.name!r} has no value") from error
        return Tensor(dtype, shape, tuple(array.ravel().tolist()), digest, known.nans)


_WIDTH = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}


def _dtype(code: int) -> str:
    from onnx import TensorProto

    if code not in TensorProto.DataType.values():
        return ""
    name: str = TensorProto.DataType.Name(code).lower()
    return {"float": "float32", "double": "float64", "undefined": ""}.get(name, name)


def _port(value: Any) -> Port:
    kind = value.type.tensor_type
    shape = None
    if kind.HasField("shape"):
        shape = tuple(_dim(d) for d in kind.shape.dim)
    return Port(value.name, _dtype(kind.elem_type), shape)


def _dim(dim: Any) -> Dim:
    """Shape inference and tf2onnx call an unknown one `unk__9`, Paddle's converter `?`, or -1."""
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    name = str(dim.dim_param)
    return None if name.startswith("unk__") or name == "?" else name or None


def _attribute(attribute: Any) -> Any:
    from onnx import helper

    if attribute.HasField("t"):
        return _single(attribute.t)
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if attribute.strings:
        return [item.decode("utf-8", "replace") for item in attribute.strings]
    listed = isinstance(value, Iterable) and (attribute.ints or attribute.floats)
    return list(value) if listed else value


def _single(tensor: Any) -> float | None:
    """The one number of a tensor in an attribute, as of what a ConstantOfShape repeats."""
    from onnx import numpy_helper

    if list(tensor.dims) not in ([], [1]) or tensor.data_type == tensor.STRING:
        return None
    with suppress(Exception):  # damaged: then nothing is known of it
        return float(numpy_helper.to_array(tensor).ravel()[0])
    return None

"""Reads the file that is to be improved, and refuses what cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.formats.onnx.inference import Shape, inferred, is_small, sizes
from rnnbench.formats.onnx.optimizing.graph import Graph, captured, reads
from rnnbench.inspection.external import external_bytes, external_tensors
from rnnbench.inspection.readers._onnx_files import load_graph

_RUNS = ("com.microsoft",)  # ONNX Runtime's own operators


@dataclass(frozen=True)
class Given:
    """A file as it was read.

    Attributes:
        path: the file.
        proto: ONNX's own form of it, its external data apart.
        data: names of the files that hold external data, in the same folder.
    """

    path: Path
    proto: Any
    data: tuple[str, ...]

    @property
    def opset(self) -> int:
        """Of ONNX's own operators."""
        return opset_of(self.proto)


def load(path: Path) -> Given:
    """Reads a file.

    Raises:
        RnnbenchError: it is not there, no ONNX, damaged, or its external data is missing.
    """
    if path.is_dir():
        raise RnnbenchError(f"{path} is a folder: give an .onnx file in it")
    if not path.is_file():
        raise RnnbenchError(f"{path} is not there: give an .onnx file")
    proto = load_graph(path)
    external_bytes(proto, path)
    if not opset_of(proto):
        raise RnnbenchError(f"{path} uses none of ONNX's own operators: nothing can be improved")
    _refuse_damaged(proto.graph, path)
    _refuse_unknown(proto, path)
    names = dict.fromkeys(
        entry.value
        for tensor in external_tensors(proto)
        for entry in tensor.external_data
        if entry.key == "location"
    )
    return Given(path, proto, tuple(names))


def _refuse_damaged(graph: Any, path: Path) -> None:
    """Refuses a graph in which values are made twice, or behind those that read them.

    Raises:
        RnnbenchError: it is one.
    """
    known = {v.name for v in graph.input} | {t.name for t in graph.initializer}
    known |= {t.values.name for t in graph.sparse_initializer}
    for node in graph.node:
        name = next((n for n in reads(node) if n not in known), None)
        if name is not None:
            raise RnnbenchError(
                f"{path} is damaged: {node.name or node.op_type!r} reads {name!r}, which nothing "
                "before it makes: export it again"
            )
        for output in filter(None, node.output):
            if output in known:
                raise RnnbenchError(
                    f"{path} is damaged: {output!r} is made twice: give its outputs names that no "
                    "other value has, and export it again"
                )
            known.add(output)


def _refuse_unknown(proto: Any, path: Path) -> None:
    """Refuses what nobody here can run, so that nothing could be proved.

    Raises:
        RnnbenchError: an operator is not known.
    """
    import onnx

    own = {(f.domain, f.name) for f in proto.functions}
    for node in nodes(proto.graph):
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (domain, node.op_type) in own or domain.startswith(_RUNS):
            continue
        if not onnx.defs.has(node.op_type, domain):
            name = f"{domain}.{node.op_type}" if domain else node.op_type
            raise RnnbenchError(
                f"{path} has the operator {name}, which nothing here runs, so that nothing could "
                "be proved: give a file without it"
            )


def nodes(graph: Any) -> Iterator[Any]:
    """Those of a graph and of its bodies."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in [attribute.g] if attribute.HasField("g") else [*attribute.graphs]:
                yield from nodes(body)


def opset_of(proto: Any) -> int:
    """The version of ONNX's own operators; 0: it names none."""
    found = [int(o.version) for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    return found[0] if found else 0


def graph_of(proto: Any, folder: Path) -> Graph:
    """The graph of a file, with the sizes that ONNX infers."""
    graph = Graph(proto.graph, opset_of(proto), folder)
    graph.model = proto
    note(graph, inferred(proto).graph)
    return graph


def infer_body(body: Graph) -> None:
    """Adds the sizes in the body of a loop that follow from those of what it is handed.

    ONNX's own inference stops at a loop's states that are declared without sizes.
    """
    import onnx

    outer, proto = body.outer, body.proto
    if outer is None or all(o in body.shapes for n in body.nodes for o in n.output if o):
        return
    light = onnx.ModelProto(ir_version=8)
    light.opset_import.add(domain="", version=body.opset)
    graph = light.graph
    graph.node.extend(body.nodes)
    graph.output.extend(type(v)(name=v.name) for v in proto.output)
    graph.initializer.extend(t for t in proto.initializer if not t.HasField("data_location"))
    own = {t.name for t in graph.initializer}
    for name in (*body.inputs, *captured(proto)):
        tensor = None if name in body.inputs else outer.tensor(name)
        if tensor is not None and is_small(tensor) and tensor.name == name:
            graph.initializer.add().CopyFrom(tensor)
        elif name not in own:
            graph.input.add().CopyFrom(_typed(body, name))
    with suppress(Exception):  # it gives up on what is inconsistent
        for name, shape in _declared(onnx.shape_inference.infer_shapes(light).graph).items():
            body.shapes.setdefault(name, shape)


def _typed(body: Graph, name: str) -> Any:
    """A value with its type and sizes, as far as they are known."""
    from onnx import TensorProto, helper

    outer = body.outer
    known = {v.name: v.type.tensor_type.elem_type for v in body.proto.input}
    tensor = outer.tensor(name) if outer is not None else None
    kind = known.get(name) or (tensor.data_type if tensor is not None else 0)
    kind = kind or (outer.types.get(name) if outer is not None else 0) or TensorProto.FLOAT
    return helper.make_tensor_value_info(name, kind, body.shape(name))


def note(graph: Graph, of: Any) -> None:
    """Notes the sizes and types that ONNX's own form of a graph declares."""
    graph.shapes |= _declared(of)
    for value in (*of.value_info, *of.input, *of.output):
        graph.types[value.name] = value.type.tensor_type.elem_type
    for node in of.node:
        inner: dict[str, Shape] = {}
        for attribute in node.attribute:
            for body in [attribute.g] if attribute.HasField("g") else [*attribute.graphs]:
                inner |= _declared(body)
        if inner:
            graph.body_shapes[node.output[0]] = inner


def _declared(graph: Any) -> dict[str, Shape]:
    """The sizes of values of a graph, its bodies apart."""
    values = (*graph.value_info, *graph.input, *graph.output)
    kinds = {v.name: v.type.tensor_type for v in values}
    return {name: sizes(kind) for name, kind in kinds.items() if kind.HasField("shape")}

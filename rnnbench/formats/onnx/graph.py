"""What rnnbench does to an ONNX graph: recurrences become standard nodes, names become the model's.

The operators' definitions: https://onnx.ai/onnx/operators/onnx__LSTM.html (and GRU, RNN).
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from rnnbench.capture.operators.recurrence import num_directions
from rnnbench.capture.source_lines import frames
from rnnbench.core.errors import RnnbenchError
from rnnbench.formats.onnx.editing import add_tensor, outermost, tensor_of
from rnnbench.formats.onnx.packing import pack

if TYPE_CHECKING:
    from rnnbench.capture.program import Captured

MODULE, SOURCE = "rnnbench.module", "rnnbench.source"
"""The metadata of a node: the submodule's path, and the file and line that it came from."""

SCOPES, TRACE = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.stack_trace"
_DOMAIN = "rnnbench"
_OP = {"rnn_tanh": "RNN", "rnn_relu": "RNN", "gru": "GRU", "lstm": "LSTM"}

Packed = dict[tuple[Any, ...], list[ir.Value | None]]
"""W, R and B, by the kind and the weights that they were made of."""


def translate_recurrence(
    x: Any, lengths: Any, h0: Any, c0: Any, weights: Any, kind: str, direction: str
) -> Any:
    """`rnnbench::recurrence` as a node of our own, until the weights are at hand."""
    from onnxscript import values

    _register()
    opset = values.Opset(_DOMAIN, 1)
    given = [v for v in (x, lengths, h0, c0) if v is not None]
    marks = "".join("-" if v is None else "+" for v in (x, lengths, h0, c0))
    return opset.Recurrence(*given, *weights, kind=kind, direction=direction, given=marks)


@functools.cache
def _register() -> None:
    """Tells the ONNX library of our node, which no file ever holds."""
    from onnx import defs

    parameter = defs.OpSchema.FormalParameter
    variadic = defs.OpSchema.FormalParameterOption.Variadic
    kinds = ("float", "double", "float16", "bfloat16", "int64", "int32")
    defs.register_schema(
        defs.OpSchema(
            "Recurrence",
            _DOMAIN,
            1,
            inputs=[parameter("values", "T", param_option=variadic, is_homogeneous=False)],
            outputs=[parameter(name, "T") for name in ("y", "hn", "cn")],
            type_constraints=[("T", [f"tensor({k})" for k in kinds], "")],
            attributes=[
                defs.OpSchema.Attribute(name, defs.OpSchema.AttrType.STRING)
                for name in ("kind", "direction", "given")
            ],
        )
    )


def replace_recurrences(model: ir.Model) -> None:
    """Every node of ours becomes one RNN, GRU or LSTM node and what its outputs' layout needs.

        y [time, batch, hidden], hn [1, batch, hidden] = rnnbench::Recurrence(x, h0, *weights)
            ->  each [time, 1, batch, hidden], hn = GRU(x, W, R, B, , h0, linear_before_reset=1)
                y = Squeeze(each, axes=[1])

    Of a bidirectional layer, [time, 2, batch, hidden] is transposed and reshaped to
    [time, batch, 2 * hidden] instead.
    """
    shared: Packed = {}
    for graph in [model.graph, *model.graph.subgraphs()]:
        for node in list(graph):
            if node.domain == _DOMAIN:
                _replace(graph, node, shared)
    model.opset_imports.pop(_DOMAIN, None)
    for function in list(model.functions):
        if function[0] == _DOMAIN:
            del model.functions[function]


def _replace(graph: ir.Graph, node: ir.Node, shared: Packed) -> None:
    given = iter(node.inputs)
    x, lengths, h0, c0 = (
        next(given) if mark == "+" else None for mark in node.attributes["given"].as_string()
    )
    weights = list(given)
    kind = node.attributes["kind"].as_string()
    direction = node.attributes["direction"].as_string()
    directions = num_directions(direction)
    tensors = [_tensor(w) for w in weights]
    hidden = tensors[1].shape.numpy()[1]
    build = _Builder(graph, node)
    key = (kind, *(id(w) for w in weights))  # a layer that is called twice has its weights once
    if key not in shared:
        shared[key] = [
            build.weight(_packed_name(weights[0], letter), value) if value is not None else None
            for letter, value in zip("WRB", pack(tensors, kind, directions), strict=True)
        ]
    packed = shared[key]
    lens = build.op("Cast", [lengths], to=ir.DataType.INT32) if lengths is not None else None
    inputs = [x, *packed, lens, h0, *([c0] if kind == "lstm" else [])]
    while inputs[-1] is None:
        inputs.pop()
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if kind == "gru":
        attributes["linear_before_reset"] = 1
    if kind == "rnn_relu":
        attributes["activations"] = ["Relu"] * directions
    outputs = 3 if kind == "lstm" else 2
    y, *states = build.node(_OP[kind], inputs, outputs, attributes)
    if node.outputs[0].uses() or node.outputs[0].is_graph_output():
        y = build.merge_directions(y, directions)
        _take_over(node.outputs[0], y, tensors[0].dtype)
    for old, new in zip(node.outputs[1:], states, strict=False):
        _take_over(old, new, tensors[0].dtype)
    graph.remove(node, safe=True)


def _packed_name(weight: ir.Value | None, letter: str) -> str:
    """`rnn.weight_ih_l0` -> `rnn.W_l0`."""
    name = str(weight.name if weight is not None else "rnn")
    return name.replace("weight_ih", letter) if "weight_ih" in name else f"{name}.{letter}"


def _take_over(old: ir.Value, new: ir.Value, dtype: ir.DataType) -> None:
    """`new` stands for `old`, under its name: that of the program's value (see bisect)."""
    new.shape, new.type = old.shape, ir.TensorType(dtype)
    new.name, old.name = old.name, None
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)


def _tensor(value: ir.Value | None) -> ir.TensorProtocol:
    tensor = value.const_value if value is not None else None
    assert tensor is not None, f"the weight {value} of a recurrence is not a constant"
    return tensor


class _Builder:
    """Adds nodes before one that they replace."""

    def __init__(self, graph: ir.Graph, before: ir.Node) -> None:
        self.graph = graph
        self.before = before
        self.root = outermost(graph)

    def constant(self, name: str, value: np.ndarray[Any, Any]) -> ir.Value:
        """An initializer of the outermost graph."""
        return self.weight(name, tensor_of(value))

    def weight(self, name: str, tensor: ir.TensorProtocol) -> ir.Value:
        """The same of a tensor that is there, or is made when it is read."""
        known = self.root.initializers
        unique, n = name, 1
        while unique in known:
            unique, n = f"{name}_{n}", n + 1
        return add_tensor(self.root, unique, tensor)

    def node(
        self, kind: str, inputs: list[ir.Value | None], outputs: int, attributes: Mapping[str, Any]
    ) -> list[ir.Value]:
        """A node of the standard operators."""
        made = ir.node(kind, inputs, attributes=attributes, num_outputs=outputs)
        made.name = f"{self.before.name}_{kind}"
        made.metadata_props.update(self.before.metadata_props)
        for i, value in enumerate(made.outputs):
            value.name = f"{self.before.name}_{kind}_{i}"
        self.graph.insert_before(self.before, made)
        return list(made.outputs)

    def op(self, kind: str, inputs: list[ir.Value | None], **attributes: Any) -> ir.Value:
        """A node with one output."""
        return self.node(kind, inputs, 1, attributes)[0]

    def merge_directions(self, y: ir.Value, directions: int) -> ir.Value:
        """(time, directions, batch, hidden) -> (time, batch, directions * hidden)."""
        name = str(self.before.name)
        if directions == 1:
            return self.op("Squeeze", [y, self.constant(f"{name}_axis", np.array([1]))])
        y = self.op("Transpose", [y], perm=[0, 2, 1, 3])
        return self.op("Reshape", [y, self.constant(f"{name}_shape", np.array([0, 0, -1]))])


def finish(model: ir.Model, captured: Captured, metadata: Mapping[str, str]) -> None:
    """Gives inputs, outputs, dimensions and the file the names that the model's author chose."""
    declared = captured.model
    graph = model.graph
    wanted = [*(spec.name for spec in declared.inputs), *declared.outputs]
    _outputs_of_their_own(graph)
    own = [*graph.inputs, *graph.outputs]
    make_room(graph, set(wanted), own)
    _name_ports(graph, captured)
    for node in ir.traversal.RecursiveGraphIterator(graph):
        if node.domain == _DOMAIN:
            raise RnnbenchError(f"the graph holds {node.op_type}, which is no operator of ONNX")
        _forget_the_exporter(node, own)
    graph.name = declared.name
    model.producer_name, model.producer_version = "rnnbench", metadata.get("version", "")
    model.metadata_props.clear()
    model.metadata_props.update(metadata)
    graph.metadata_props.clear()


def _name_ports(graph: ir.Graph, captured: Captured) -> None:
    """Inputs and outputs, and their dynamic dimensions, have the declared names.

    x [s27, s3, 5] -> getitem_3 [s27, s3, 7]  ->  mels [time, batch, 5] -> y [time, batch, 7]
    """
    declared = captured.model
    dims: dict[str, str] = {}
    for value, spec in zip(graph.inputs, declared.inputs, strict=True):
        for symbol, size in zip(value.shape or (), spec.shape, strict=True):
            if isinstance(size, str):  # `envs*time` as well: there it is a symbol of its own
                dims[str(symbol)] = size
        value.name = spec.name
        value.shape = ir.Shape(spec.shape)
    varying = captured.varying or (frozenset(),) * len(declared.outputs)
    for value, name, open_dims in zip(graph.outputs, declared.outputs, varying, strict=True):
        value.name = name
        if value.shape is not None:
            sizes = [_renamed(d, dims) for d in value.shape]
            # A size that was 1 in the trace may be a number there, and is open in the module.
            value.shape = ir.Shape(
                [None if isinstance(d, int) and i in open_dims else d for i, d in enumerate(sizes)]
            )


def _forget_the_exporter(node: ir.Node, ports: list[ir.Value]) -> None:
    """A node keeps no shape of a value inside (stale ones stop other engines), and no stack."""
    for value in node.outputs:
        if value not in ports:
            value.shape = None
            value.metadata_props.clear()
    origin = _origin(node.metadata_props)
    node.metadata_props.clear()
    node.metadata_props.update(origin)
    node.doc_string = None
    for body in [a.as_graph() for a in node.attributes.values() if _is_graph(a)]:
        for value in [*body.inputs, *body.outputs]:
            value.shape = None
        if node.op_type == "Loop":  # ONNX Runtime must know that these two are scalars
            for value in body.inputs[:2]:
                value.shape = ir.Shape(())


def _origin(said: Mapping[str, str]) -> dict[str, str]:
    """What a node keeps of where it came from, for `check --bisect`.

    The exporter writes the whole stack, with the folders of the machine, and the module's classes;
    a file that is given away needs the submodule's path, and the file and line.
    """
    kept = {}
    try:
        scopes = ast.literal_eval(said.get(SCOPES, "[]"))
    except (ValueError, SyntaxError):
        scopes = []
    if len(scopes) > 1 and scopes[-2] and not scopes[-2].startswith("_empty_nn_module_stack"):
        kept[MODULE] = str(scopes[-2])
    own = frames(said.get(TRACE, ""))
    if own:
        kept[SOURCE] = f"{PurePath(own[-1][0]).name}:{own[-1][1]}"
    return kept


def _is_graph(attribute: Any) -> bool:
    return bool(attribute.type == ir.AttributeType.GRAPH)


def _renamed(size: Any, dims: Mapping[str, str]) -> int | str | None:
    """A dimension by its declared name; an expression of several keeps no name."""
    if isinstance(size, int):
        return size
    return dims.get(str(size))


def _outputs_of_their_own(graph: ir.Graph) -> None:
    """An output that is an input, an initializer or another output gets a node that copies it."""
    seen: set[ir.Value] = set(graph.inputs) | set(graph.initializers.values())
    for i, value in enumerate(list(graph.outputs)):
        node = value.producer()
        if value.type is None and node is not None and node.op_type == "Identity":
            (copied,) = node.inputs  # by the exporter, before the type was known
            value.type = copied.type if copied is not None else None
        if value in seen:
            copy = ir.node("Identity", [value])
            copy.outputs[0].name = f"{value.name}_copy_{i}"
            copy.outputs[0].shape, copy.outputs[0].type = value.shape, value.type
            graph.append(copy)
            graph.outputs[i] = copy.outputs[0]
        seen.add(value)


def make_room(graph: ir.Graph, wanted: set[str], own: list[ir.Value]) -> None:
    """Renames what has the name of an input or output and is neither."""
    for i, value in enumerate(own):
        value.name = f"_own_{i}"
    inner = [v for n in ir.traversal.RecursiveGraphIterator(graph) for v in n.outputs]
    for value in [*inner, *graph.initializers.values()]:
        if value.name in wanted and value not in own:
            value.name = f"{value.name}_inner"

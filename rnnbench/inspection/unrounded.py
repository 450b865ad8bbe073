"""An ONNX file without its rounding of values: the same graph with products of floats.

A product of whole numbers is one of floats, com.microsoft.DynamicQuantizeLSTM is an LSTM, and a
QuantizeLinear with its DequantizeLinear is nothing. What is left can be proved to be a module,
exactly, and read as any other file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.inspection.whole import (
    OWN_LSTM,
    Array,
    dequantised,
    held_as_floats,
    lstm_weights,
    whole_products,
)

_FLOATS = "_floats"  # behind the name of a weight


@dataclass(frozen=True)
class Unrounded:
    """A file without the rounding of values.

    Attributes:
        proto: a ModelProto of products of floats.
        weights: the name of each weight that was whole -> how many numbers it has.
    """

    proto: Any
    weights: Mapping[str, int]


def unrounded(proto: Any, constants: Mapping[str, Array], *, own_lstm: bool = True) -> Unrounded:
    """The same file with products of floats; it is left as it is.

    Args:
        proto: a ModelProto.
        constants: its initializers by name.
        own_lstm: whether ONNX Runtime's LSTM becomes a plain one, too.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    weights: dict[str, int] = {}
    for graph in every_graph(copy.graph):
        _unround(graph, copy.graph, constants, weights)
        _unround_pairs(graph, copy.graph, constants, weights)
        for node in graph.node if own_lstm else ():
            if node.op_type == OWN_LSTM:
                _unround_lstm(node, copy.graph, constants, weights)
    if weights:
        _remove_unread(copy.graph)
    return Unrounded(copy, weights)


def products_of_floats(proto: Any) -> tuple[Any, frozenset[str]]:
    """A file whose products are of floats, to be read, and the weights that were whole, by name.

    ONNX Runtime's LSTM stays what it is. A file without such products is given back itself.
    """
    nodes = [node.op_type for graph in every_graph(proto.graph) for node in graph.node]
    if "MatMulInteger" not in nodes:
        return proto, frozenset()
    inside = (t for t in proto.graph.initializer if not t.external_data)
    try:
        constants = {t.name: numpy_helper.to_array(t) for t in inside}
    except (ValueError, TypeError):  # damaged, as whoever reads it says
        return proto, frozenset()
    found = unrounded(proto, constants, own_lstm=False)
    return found.proto, frozenset(f"{name}{_FLOATS}" for name in found.weights)


def save_unrounded(path: Path, target: Path) -> Mapping[str, int]:
    """Writes a file without the rounding of values; the weights that were whole, with their sizes.

    Raises:
        RnnbenchError: it is damaged.
    """
    try:
        proto = onnx.load(str(path))
    except Exception as error:  # onnx raises a handful of types
        raise RnnbenchError(f"{path} is damaged ({one_line(error)}): export it again") from None
    found = unrounded(proto, constants_of(proto))
    onnx.save(found.proto, str(target))
    return found.weights


def constants_of(proto: Any, folder: str = "") -> dict[str, Array]:
    """The initializers of a file's outermost graph, by name.

    Raises:
        RnnbenchError: one has no value.
    """
    try:
        return {t.name: numpy_helper.to_array(t, folder) for t in proto.graph.initializer}
    except Exception as error:
        raise RnnbenchError(f"the file is damaged: an initializer has no value ({error})") from None


def _unround(
    graph: Any, root: Any, constants: Mapping[str, Array], weights: dict[str, int]
) -> None:
    for product in list(whole_products(graph, constants)):
        name = _held(root, f"{product.weight}{_FLOATS}", held_as_floats(product, constants))
        weights[product.weight] = int(constants[product.weight].size)
        made = onnx.helper.make_node("MatMul", [product.x, name], [product.y])
        made.name = product.nodes[0].name
        last = [node.output[0] for node in graph.node].index(product.y)
        graph.node[last].CopyFrom(made)


def _unround_pairs(
    graph: Any, root: Any, constants: Mapping[str, Array], weights: dict[str, int]
) -> None:
    """X' = DequantizeLinear(QuantizeLinear(x, s, z), s, z)  ->  x' = Identity(x)."""
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.domain:
            continue
        whole, *others = node.input
        maker = makers.get(whole)
        if maker is not None and maker.op_type == "QuantizeLinear":
            x = maker.input[0] if [*maker.input][1:] == others else ""
        else:
            floats = dequantised(node, [constants[n] for n in node.input if n in constants])
            x = "" if floats is None else _held(root, f"{whole}{_FLOATS}", floats)
            if floats is not None:
                weights[whole] = floats.size
        if x:
            node.CopyFrom(onnx.helper.make_node("Identity", [x], [*node.output], node.name))


def _unround_lstm(
    node: Any, root: Any, constants: Mapping[str, Array], weights: dict[str, int]
) -> None:
    found = lstm_weights(node, constants)
    if found is None:
        return
    names = [*node.input][:8]
    for place, (name, array) in enumerate(found, 1):
        weights[name] = array.size
        names[place] = _held(root, f"{name}{_FLOATS}", array)
    del node.input[:]
    node.input.extend(names)
    node.op_type, node.domain = "LSTM", ""


def _held(root: Any, name: str, array: Array) -> str:
    """The initializer of a name, made where it is not there yet."""
    if all(tensor.name != name for tensor in root.initializer):
        root.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    return name


def _remove_unread(graph: Any) -> None:
    """Removes nodes whose outputs nobody reads, and then initializers."""
    while True:
        read = {*_reads(graph), *(value.name for value in graph.output)}
        unread = [n for n in graph.node if not read.intersection(n.output)]
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    _remove_unread(attribute.g)
        for node in unread:
            graph.node.remove(node)
        if not unread:
            break
    read = {*_reads(graph), *(value.name for value in graph.output)}
    for tensor in [t for t in graph.initializer if t.name not in read]:
        graph.initializer.remove(tensor)


def every_graph(graph: Any) -> Iterator[Any]:
    """A graph, and the bodies in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from every_graph(attribute.g)


def _reads(graph: Any) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _reads(attribute.g)
                yield from (value.name for value in attribute.g.output)

"""Products of whole numbers in an ONNX file: where they are, and which weights they multiply by.

    scale = max |x| / 127 ...                             (whatever it is)
    q = Cast(Round(x / scale) + 128, to=uint8)
    y = Cast(MatMulInteger(q, W, 128)) * W_scale * scale        is      y = MatMul(x, W * W_scale)

but for the rounding, and com.microsoft.DynamicQuantizeLSTM is an LSTM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

Array = np.ndarray[Any, Any]
OWN_LSTM = "DynamicQuantizeLSTM"
INTEGERS = ("int8", "uint8")
"""The types of weights that are read as what they stand for."""

_ZERO = 128
_UINT8, _FLOAT = int(onnx.TensorProto.UINT8), int(onnx.TensorProto.FLOAT)


@dataclass(frozen=True)
class WholeProduct:
    """A product of whole numbers.

    Attributes:
        x: the name of the value that is rounded.
        y: of what comes of it, in floats.
        weight: of the whole numbers of the weight.
        scale: of what they are multiplied by.
        zero: of what is subtracted from them; empty where nothing is.
        nodes: of which it consists, from `MatMulInteger` on.
    """

    x: str
    y: str
    weight: str
    scale: str
    zero: str
    nodes: tuple[Any, ...]


def whole_products(graph: Any, constants: Mapping[str, Array]) -> Iterator[WholeProduct]:
    """Those of one graph, without its bodies.

    Args:
        graph: a GraphProto.
        constants: of it and the graphs around it.
    """
    if not any(node.op_type == "MatMulInteger" for node in graph.node):
        return
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in graph.node:
        if node.op_type == "MatMulInteger" and len(node.input) > 2:
            found = _product(node, makers, readers, constants)
            if found is not None:
                yield found


def _product(
    node: Any,
    makers: Mapping[str, Any],
    readers: Mapping[str, list[Any]],
    constants: Mapping[str, Array],
) -> WholeProduct | None:
    """The product that one MatMulInteger is the middle of."""
    value, weight, zero = node.input[:3]
    if weight not in constants or not _is(constants.get(zero), _ZERO):
        return None
    divided = _quotient(value, makers, constants)
    cast = _only(readers, node.output[0], "Cast")
    if divided is None or cast is None or _to(cast) != _FLOAT:
        return None
    x, scale = divided.input
    first = _only(readers, cast.output[0], "Mul")
    second = _only(readers, first.output[0], "Mul") if first is not None else None
    if first is None or second is None:
        return None
    own = next((n for n in first.input if n in constants), "")
    if not own or scale not in second.input:
        return None
    also = node.input[3] if len(node.input) > 3 else ""
    nodes = (node, cast, first, second)
    return WholeProduct(x, second.output[0], weight, own, also, nodes)


def _quotient(value: str, makers: Mapping[str, Any], constants: Mapping[str, Array]) -> Any:
    """The division of which a value is the nearest whole number, plus 128, as uint8."""
    cast = makers.get(value)
    if cast is None or cast.op_type != "Cast" or _to(cast) != _UINT8:
        return None
    add = makers.get(cast.input[0])
    if add is None or add.op_type != "Add" or not _is(constants.get(add.input[1]), _ZERO):
        return None
    rounded = makers.get(add.input[0])
    if rounded is None or rounded.op_type != "Round":
        return None
    divided = makers.get(rounded.input[0])
    return divided if divided is not None and divided.op_type == "Div" else None


def rounded_for_products(graph: Any) -> frozenset[str]:
    """What Round gives in a graph that becomes the uint8 of a product, by name."""
    casts = {n.input[0] for n in graph.node if n.op_type == "Cast" and _to(n) == _UINT8}
    shifted = {n.input[0] for n in graph.node if n.op_type == "Add" and n.output[0] in casts}
    rounds = (n.output[0] for n in graph.node if n.op_type == "Round")
    return frozenset(name for name in rounds if name in shifted)


def held_as_floats(product: WholeProduct, constants: Mapping[str, Array]) -> Array:
    """[..., k, n] float32: the weight that a product multiplies by."""
    whole = constants[product.weight].astype(np.float32)
    if product.zero:
        whole = whole - constants[product.zero].astype(np.float32)
    return np.asarray(whole * constants[product.scale], np.float32)


def lstm_weights(node: Any, constants: Mapping[str, Array]) -> list[tuple[str, Array]] | None:
    """The names of W and R of ONNX Runtime's LSTM, and each as an LSTM has it.

    [directions, input, 4 * hidden] whole numbers -> [directions, 4 * hidden, input] float32.
    """
    found = []
    names = [*node.input]
    for place in (1, 2):
        whole, scale, zero = names[place], names[6 + 2 * place], names[7 + 2 * place]
        if not {whole, scale, zero} <= constants.keys():
            return None
        numbers = constants[whole].astype(np.float32)
        shape = (len(numbers), 1, -1)
        numbers = numbers - constants[zero].astype(np.float32).reshape(shape)
        wide = numbers * constants[scale].astype(np.float32).reshape(shape)
        found.append((whole, np.ascontiguousarray(wide.swapaxes(1, 2))))
    return found


def dequantised(node: Any, given: Sequence[Array]) -> Array | None:
    """(x - zero) * scale of a DequantizeLinear along an axis; None of what is kept in blocks.

    Args:
        node: a NodeProto.
        given: the numbers of its inputs; fewer where one is computed.
    """
    said = {a.name: a.i for a in node.attribute}
    if len(given) != len([*filter(None, node.input)]):
        return None
    numbers, scale = given[:2]
    if numbers.dtype.name not in INTEGERS or said.get("block_size") or scale.ndim > 1:
        return None
    shape = [1] * numbers.ndim
    if scale.ndim and numbers.ndim:
        shape[said.get("axis", 1) % numbers.ndim] = -1
    shifted = numbers.astype(np.float32)
    if len(given) > 2:
        shifted = shifted - given[2].astype(np.float32).reshape(shape)
    return np.asarray(shifted * scale.astype(np.float32).reshape(shape), np.float32)


def _only(readers: Mapping[str, list[Any]], name: str, op: str) -> Any:
    """What alone reads a value, where it is such an operator."""
    found = readers.get(name, [])
    return found[0] if len(found) == 1 and found[0].op_type == op else None


def _to(node: Any) -> int:
    return next((int(a.i) for a in node.attribute if a.name == "to"), 0)


def _is(array: Array | None, number: int) -> bool:
    return array is not None and array.size == 1 and bool(array.reshape(-1)[0] == number)

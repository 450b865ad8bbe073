"""Weights that an ONNX file keeps in fewer bits than it computes with: what they stand for.

    Cast(float16, bfloat16)                         to float32
    Mul(Cast(int8), scale)                          or Cast(Cast(int8) to int32)
    DequantizeLinear(int8 or uint8, scale, zero)
    MatMulInteger(x, int8), scale                   the products of whole.py

of constants, wherever they stand in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import TensorProto

from rnnbench.core.operators import nodes_of
from rnnbench.inspection.whole import (
    INTEGERS,
    OWN_LSTM,
    dequantised,
    held_as_floats,
    lstm_weights,
    whole_products,
)

Array = np.ndarray[Any, Any]
Tensors = dict[str, Array]

_FLOATS = ("float16", "bfloat16")
_EXACT = (TensorProto.FLOAT, TensorProto.INT32)
"""To what a whole number of 8 bits may be cast, one after the other."""


def stood_for(graph: Any, held: Tensors) -> tuple[Tensors, frozenset[str]]:
    """What is computed of constants in fewer bits, in float32, and what it is computed of.

    Args:
        graph: a GraphProto.
        held: the constants of the graph and its bodies, by name.

    Returns:
        The weights, by the names of the values that are computed; the names of what else stands
        for them no longer.
    """
    found: Tensors = {}
    whole: dict[str, str] = {}  # a cast integer -> what it was
    used: set[str] = set()
    _add_whole(graph, held, found, used)
    for node in nodes_of(graph):
        names = [*node.input]
        kind = node.op_type if node.domain in ("", "ai.onnx") else ""
        if kind == "Cast" and _to(node) in _EXACT:
            of = whole.get(names[0], names[0])
            dtype = held[of].dtype.name if of in held else ""
            if dtype in INTEGERS:
                whole[node.output[0]] = of
            elif dtype in _FLOATS and _to(node) == TensorProto.FLOAT:
                found[node.output[0]] = held[of].astype(np.float32)
                used.add(of)
        elif kind == "Mul":
            for number, scale in (names, reversed(names)):
                if number in whole and scale in held:
                    numbers = held[whole[number]].astype(np.float32)
                    found[node.output[0]] = numbers * held[scale]
                    used |= {whole[number], scale}
        elif kind == "DequantizeLinear" and all(name in held for name in names if name):
            floats = dequantised(node, [held[name] for name in names if name])
            if floats is not None:
                found[node.output[0]] = floats
                used |= {*names}
    return found, frozenset(used)


def _add_whole(graph: Any, held: Tensors, found: Tensors, used: set[str]) -> None:
    """The weights of products of whole numbers, as a layer has them: a row for each output."""
    for part in _graphs(graph):
        for product in whole_products(part, held):
            name = _stem(product.weight, held)
            found[name] = held_as_floats(product, held).swapaxes(-1, -2)
            used |= {product.weight, product.scale, product.zero} & held.keys()
        for node in part.node:
            for name, array in (lstm_weights(node, held) or ()) if node.op_type == OWN_LSTM else ():
                found[_stem(name, held)] = array
                used |= {*node.input[1:3], *node.input[8:12]} & held.keys()


def _stem(name: str, held: Tensors) -> str:
    """`rnn.W_l0_t_int8` -> `rnn.W_l0`, where nothing else has that name."""
    stem = name.removesuffix("_int8").removesuffix("_t")
    return name if stem in held else stem


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in ([attribute.g] if attribute.HasField("g") else []) + [*attribute.graphs]:
                yield from _graphs(body)


def _to(node: Any) -> int:
    return next((int(a.i) for a in node.attribute if a.name == "to"), 0)

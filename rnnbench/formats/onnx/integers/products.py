"""Products with rounded weights in whole numbers, with a scale for each row of each step.

    y [..., n] = MatMul(x [..., k], W [k, n])
        ->  scale [..., 1] = max |x| / 127            over each row of k numbers
            q = Cast(Round(x / scale) + 128, to=uint8)
            y = Cast(MatMulInteger(q, W_int8, 128)) * W_scale [n] * scale

Nothing of a row or a step reaches another one, so that it streams, and gives in a batch what it
gives alone; DynamicQuantizeLinear has one scale for all of x. A row with NaN or an infinity is NaN:
ReduceMax of ONNX Runtime leaves NaN out, so that a product with zeros carries it.

The values are uint8 since ONNX Runtime has fast kernels for such alone on x86 (int8 with int8 takes
60 times as long), and the weights have 63 levels (see `LEVELS`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import constant_of, replace
from rnnbench.formats.onnx.integers import LEVELS
from rnnbench.formats.onnx.integers.making import Array, Maker

VALUES = 127
"""The levels of a value, on each side of 0."""

ZERO = 128
"""What stands for 0 among the uint8."""

_LEAST = 1e-30  # a row of smaller numbers is one of zeros


def make_products(model: ir.Model) -> int:
    """All of a graph and its bodies; how many weights are in them."""
    counted: dict[str, int] = {}
    for graph in [model.graph, *model.graph.subgraphs()]:
        known: dict[ir.Value, _Rounded] = {}
        for node in list(graph):
            weight = _weight_of(node)
            if weight is not None:
                _replace(node, weight, model, known)
                counted[weight.name] = weight.whole.size
    return sum(counted.values())


@dataclass(frozen=True)
class _Weight:
    """A weight [..., k, n] as whole numbers, and a scale for each of its columns."""

    name: str
    whole: Array
    scale: Array


@dataclass(frozen=True)
class _Rounded:
    """A value as uint8, and the scales of its rows."""

    whole: ir.Value
    scale: ir.Value


def _weight_of(node: ir.Node) -> _Weight | None:
    """The rounded weight that a product has on its right; None of any other node."""
    if node.domain or node.op_type not in ("MatMul", "Gemm"):
        return None
    held = constant_of(node.inputs[1])
    x = node.inputs[0]
    if held is None or held.dtype != np.float32 or held.ndim < 2 or x is None or not held.size:
        return None
    if x.const_value is not None:
        return None
    if node.op_type == "Gemm":
        said = {name: attribute.value for name, attribute in node.attributes.items()}
        if said.get("transA") or said.get("alpha", 1.0) != 1.0 or said.get("beta", 1.0) != 1.0:
            return None
        held = held.T if said.get("transB") else held
    found = whole_of(held)
    return None if found is None else _Weight(str(node.inputs[1].name), *found)  # type: ignore[union-attr]


def whole_of(held: Array) -> tuple[Array, Array] | None:
    """int8 [..., k, n] and float32 [..., 1, n] of a weight that was rounded; None of another."""
    import torch

    from rnnbench.models.precision import whole_numbers

    k = held.shape[-2]
    rows = np.moveaxis(held, -2, 0).reshape(k, -1)
    found = whole_numbers(torch.tensor(rows), LEVELS)
    if found is None:
        return None
    others = (*held.shape[:-2], held.shape[-1])
    whole, scale = found[0].numpy().reshape(k, *others), found[1].numpy().reshape(1, *others)
    whole, scale = np.moveaxis(whole, 0, -2), np.moveaxis(scale, 0, -2)
    if not np.array_equal(whole.astype(np.float32) * scale, held):
        return None  # something else that looks like one
    return np.ascontiguousarray(whole), np.ascontiguousarray(scale)


def _replace(
    node: ir.Node, weight: _Weight, model: ir.Model, known: dict[ir.Value, _Rounded]
) -> None:
    make = Maker(node, model)
    x = node.inputs[0]
    assert x is not None
    if x not in known:
        known[x] = _rounded(make, x, weight.whole.shape[-2])
    scale = weight.scale.reshape(-1) if weight.scale.ndim == 2 else weight.scale
    held = make.shared(f"{weight.name}_int8", weight.whole)
    zero = make.constant(np.array(ZERO, np.uint8))
    total = make("MatMulInteger", [known[x].whole, held, zero])
    y = make("Cast", [total], to=ir.DataType.FLOAT)
    y = make("Mul", [y, make.shared(f"{weight.name}_scale", scale)])
    y = make("Mul", [y, known[x].scale])
    if node.op_type == "Gemm" and len(node.inputs) > 2 and node.inputs[2] is not None:
        y = make("Add", [y, node.inputs[2]])
    replace(node.outputs[0], y)
    assert node.graph is not None
    node.graph.remove(node, safe=True)


def _rounded(make: Maker, x: ir.Value, k: int) -> _Rounded:
    most = make.reduced("ReduceMax", make("Abs", [x]))
    most = make("Max", [most, make.constant(np.array(_LEAST, np.float32))])
    unit = make("Mul", [most, make.constant(np.array(1 / VALUES, np.float32))])
    # 0, and NaN where the row has NaN or an infinity
    carried = make("MatMul", [x, make.constant(np.zeros((k, 1), np.float32))])
    scale = make("Add", [unit, carried])
    whole = make("Round", [make("Div", [x, scale])])
    whole = make("Add", [whole, make.constant(np.array(ZERO, np.float32))])
    return _Rounded(make("Cast", [whole], to=ir.DataType.UINT8), scale)

"""Products of one value as one.

In a step that is for products of whole numbers, each of which is several nodes.

    Gemm(h, U1, s_t), Gemm(h, U2, r_t)  ->  Split(Gemm(h, [U1; U2], Concat(s, r)_t))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import Adder
from rnnbench.formats.onnx.products import (
    Outer,
    Product,
    gemm,
    outer_product,
    stand_in,
)
from rnnbench.formats.onnx.sequences import Scan


def join_products(scan: Scan) -> int:
    """Rewrites the body of a Scan; how many places were changed."""
    groups: dict[tuple[ir.Value, str, int], list[Product]] = {}
    for product in scan.products():
        place = scan.place(product.added)
        if place is not None and len(list(product.added.uses())) == 1:  # type: ignore[union-attr]
            key = (product.of, "sequence", scan.backward(place))
        elif product.added is None or product.bias is not None:
            key = (product.of, "constant", 0)
        else:
            continue
        groups.setdefault(key, []).append(product)
    several = [(kind, found) for (_, kind, _), found in groups.items() if len(found) > 1]
    for kind, products in several:
        _join(scan, products, kind)
    return len(several)


def _join(scan: Scan, products: Sequence[Product], kind: str) -> None:
    first = products[0].node
    inside = Adder(first)
    columns = [product.weights.shape[0] for product in products]
    joined = np.concatenate([product.weights for product in products])
    weights = scan.weight(joined, f"{products[0].name}_joined")
    added: ir.Value | None = None
    if kind == "sequence":
        added = _joined(scan, [product.added for product in products], columns)
    else:
        bias = _joined_biases([product.bias for product in products], columns, joined.dtype)
        if bias is not None:
            added = scan.weight(bias, f"{products[0].name}_joined_bias")
    rows = products[0].out.shape[0] if products[0].out.shape is not None else None
    shape = ir.Shape([rows, sum(columns)])
    made = gemm(inside, products[0].of, weights, added, products[0].out, shape)
    sizes = inside.constant(np.array(columns, np.int64))
    split = inside.node("Split", [made, sizes], len(columns), [ir.AttrInt64("axis", 1)])
    for product, part in zip(products, split.outputs, strict=True):
        stand_in(product.out, part)
        scan.body.remove(product.node, safe=True)


def _joined(scan: Scan, values: Sequence[ir.Value | None], columns: Sequence[int]) -> ir.Value:
    """One sequence of several, which are products of one value where that is so."""
    places = [place for value in values if (place := scan.place(value)) is not None]
    given = [scan.node.inputs[place] for place in places]
    name = f"{values[0].name if values[0] is not None else 'sequence'}_joined"
    found = [each for value in given if (each := outer_product(value)) is not None]
    add = Adder(scan.node)
    if len(found) == len(given) and len({each.of for each in found}) == 1:
        sequence = joined_product(scan, add, found, name)
    else:
        sequence = add("Concat", given, axis=-1)
    return scan.feed(sequence, sum(columns), places[0], name)


def joined_product(scan: Scan, add: Adder, found: Sequence[Outer], name: str) -> ir.Value:
    """MatMul(x, W1) + b1, MatMul(x, W2) + b2  ->  MatMul(x, [W1 W2]) + [b1 b2]"""
    columns = [outer.weights.shape[1] for outer in found]
    weights = np.concatenate([outer.weights for outer in found], axis=1)
    sequence = add("MatMul", [found[0].of, scan.weight(weights, f"{name}_weights")])
    bias = _joined_biases([outer.bias for outer in found], columns, weights.dtype)
    if bias is None:
        return sequence
    return add("Add", [sequence, scan.weight(bias, f"{name}_bias")])


def _joined_biases(
    biases: Sequence[np.ndarray | None], columns: Sequence[int], dtype: np.dtype
) -> np.ndarray | None:
    """Those of joined products, 0 where one has none; None where none of them has."""
    if all(bias is None for bias in biases):
        return None
    pairs = zip(biases, columns, strict=True)
    return np.concatenate([np.zeros(n, dtype) if b is None else b.reshape(-1) for b, n in pairs])

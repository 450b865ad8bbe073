"""The gates of a step: parts of a product, to some of which parts of a sequence are added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import Adder
from rnnbench.formats.onnx.products import (
    Product,
    are_alike,
    columns_of,
    gemm,
    outer_product,
    stand_in,
)
from rnnbench.formats.onnx.sequences import Scan


def absorb_parts(scan: Scan) -> int:
    """What is added to some parts of a product goes into its C, as for the gates of a GRU.

    r_x, z_x, n_x = Split(s_t)                  s' [time, batch, 3 hidden] = r_x, z_x, b_n
    r, z, n = Split(Gemm(h, U, b))         ->   r', z', n = Split(Gemm(h, U, s'_t))
    r' = Add(r, r_x), z' = Add(z, z_x)
    """
    places = 0
    for product in scan.products():
        parts = _split_of(product.out)
        if parts is None or not (product.added is None or product.bias is not None):
            continue
        sums = {n: found for n, part in enumerate(parts) if (found := _sum_of(scan, part))}
        sources = {id(other.producer()) for _, other in sums.values()}
        if len(sources) == 1:
            places += _put_in(scan, product, parts, sums)
    return places


def _sum_of(scan: Scan, part: ir.Value) -> tuple[ir.Node, ir.Value] | None:
    """The Add that alone reads a part, and what it adds: a part of a step of a sequence."""
    uses = list(part.uses())
    if len(uses) != 1 or part.is_graph_output() or uses[0][0].op_type != "Add":
        return None
    node = uses[0][0]
    other = node.inputs[1 - uses[0][1]]
    source = other.producer() if other is not None else None
    if other is None or source is None or not are_alike(other, part):
        return None
    of_a_sequence = source.op_type == "Split" and scan.place(source.inputs[0]) is not None
    return (node, other) if of_a_sequence and _split_of(source.inputs[0]) else None


def _put_in(
    scan: Scan,
    product: Product,
    parts: Sequence[ir.Value],
    sums: Mapping[int, tuple[ir.Node, ir.Value]],
) -> bool:
    """Whether it could be: the sequence has to be a product itself, and its other parts one."""
    split = next(iter(sums.values()))[1].producer()
    assert split is not None
    step = split.inputs[0]
    place = scan.place(step)
    assert place is not None
    found = outer_product(scan.node.inputs[place])
    added = {id(other): n for n, (_, other) in sums.items()}
    rest = [n for n, value in enumerate(split.outputs) if id(value) not in added]
    together = max(sums) - min(sums) + 1 == len(sums)
    alone = step is not None and len(list(step.uses())) == 1
    if step is None or found is None or len(rest) > 1 or not (together and alone):
        return False
    sizes = [columns_of(value) for value in split.outputs]
    ends = np.cumsum([size or 0 for size in sizes])[:-1]
    dtype = found.weights.dtype
    bias = np.zeros(sum(size or 0 for size in sizes), dtype) if found.bias is None else found.bias
    blocks = [*zip(np.split(found.weights, ends, axis=1), np.split(bias, ends), strict=True)]
    of_part = {id(value): block for value, block in zip(split.outputs, blocks, strict=True)}
    chosen = [of_part[id(sums[n][1])] for n in sorted(sums)]
    starts = np.cumsum([0, *(columns_of(part) or 0 for part in parts)])
    around = int(starts[min(sums)]), int(starts[-1] - starts[max(sums) + 1])
    name = step.name or "sequence"
    fed = scan.feed_product(found.of, chosen, place, f"{name}_added", around, product.added)
    made = gemm(Adder(product.node), product.of, product.node.inputs[1], fed, product.out)
    stand_in(product.out, made)
    scan.body.remove(product.node, safe=True)
    for n, (node, _) in sums.items():
        stand_in(node.outputs[0], parts[n])
        scan.body.remove(node, safe=True)
    for n in rest:
        left = scan.feed_product(found.of, [blocks[n]], place, f"{name}_rest")
        stand_in(split.outputs[n], left)
    scan.body.remove(split, safe=True)
    return True


def _split_of(value: ir.Value | None) -> list[ir.Value] | None:
    """The parts of [rows, columns] that a Split of its columns alone reads; None: sizes unknown."""
    uses = list(value.uses()) if value is not None else []
    if value is None or len(uses) != 1 or value.is_graph_output():
        return None
    node = uses[0][0]
    axis = node.attributes.get("axis")
    if node.op_type != "Split" or node.domain or axis is None or axis.as_int() not in (1, -1):
        return None
    parts = list(node.outputs)
    return parts if all(columns_of(part) for part in parts) else None

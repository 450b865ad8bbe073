"""The step of a Scan in few nodes: what is left of a loop that is no layer.

In a small step the engine's work for each node is most of the time, so that a step takes about as
long as it has nodes. What a product reads of the sequence alone is computed for all steps at once
before the Scan, products of one value are one product, and what is added to a product is its C.

    Scan: x_t [batch, input], h [batch, hidden]      s [time, batch, 2 hidden] = MatMul(x, Wx^T) + b
        a = Gemm(x_t, W1, b1)                        Scan: s_t, h
        c = Add(a, Gemm(h, U1))                 ->       p = Gemm(h, [U1; U2], s_t)
        d = Gemm(Concat(x_t, h), W2, b2)                 c, d = Split(p, axis=1)

Every product is that of the model, summed in another order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import Adder
from rnnbench.formats.onnx.gates import absorb_parts
from rnnbench.formats.onnx.products import (
    Product,
    are_alike,
    columns_of,
    gemm,
    outer_product,
    parts_of,
    stand_in,
)
from rnnbench.formats.onnx.sequences import Scan


def lighten_steps(model: ir.Model) -> int:
    """Rewrites the body of each Scan; how many places were changed."""
    return sum(_Steps(node).lighten() for node in list(model.graph) if _is_plain_scan(node))


def _is_plain_scan(node: ir.Node) -> bool:
    """A Scan along the first axis of each sequence."""
    if node.op_type != "Scan" or node.domain:
        return False
    axes = node.attributes.get("scan_input_axes")
    return axes is None or not any(axes.as_ints())


class _Steps:
    """The steps of a Scan.

    Args:
        node: it.
    """

    def __init__(self, node: ir.Node) -> None:
        self._scan = Scan(node)

    def lighten(self) -> int:
        """Rewrites the body; how many places were changed."""
        places = self._take_out() + self._absorb() + absorb_parts(self._scan) + self._join()
        self._scan.tidy()
        return places

    def _take_out(self) -> int:
        """What a product reads of the sequences alone is computed for all steps before the Scan."""
        places = 0
        for product in self._scan.products():
            parts = parts_of(product.of)
            if parts is None:
                continue
            places_of = {n: self._scan.place(part) for n, (part, _) in enumerate(parts)}
            early = {n: place for n, place in places_of.items() if place is not None}
            directions = {self._scan.backward(place) for place in early.values()}
            if len(directions) == 1 and (product.added is None or product.bias is not None):
                self._split(product, parts, early)
                places += 1
        return places

    def _split(
        self, product: Product, parts: Sequence[tuple[ir.Value, int]], early: Mapping[int, int]
    ) -> None:
        """Gemm(Concat(x_t, h), [Wx Wh], b)  ->  Gemm(h, Wh, s_t), s = MatMul(x, Wx^T) + b

        Args:
            product: of the step.
            parts: what it multiplies, each with its columns.
            early: which of them are steps of sequences: the places of those.
        """
        ends = np.cumsum([size for _, size in parts])
        blocks = np.split(product.weights, ends[:-1], axis=1)
        add = Adder(self._scan.node)
        given = [self._scan.node.inputs[place] for place in early.values()]
        of = given[0] if len(given) == 1 else add("Concat", given, axis=-1)
        weights = np.concatenate([blocks[n] for n in early], axis=1).T
        sequence = add("MatMul", [of, self._scan.weight(weights, f"{product.name}_of_sequence")])
        if product.bias is not None:
            sequence = add("Add", [sequence, product.added])
        columns = product.weights.shape[0]
        name = f"{product.out.name}_of_sequence"
        fed = self._scan.feed(sequence, columns, next(iter(early.values())), name)
        late = [n for n in range(len(parts)) if n not in early]
        if not late:
            stand_in(product.out, fed)
            self._scan.body.remove(product.node, safe=True)
            return
        inside = Adder(product.node)
        values = [parts[n][0] for n in late]
        of = values[0] if len(values) == 1 else inside("Concat", values, axis=1)
        left = np.concatenate([blocks[n] for n in late], axis=1)
        rest = self._scan.weight(left, f"{product.name}_of_states")
        made = gemm(inside, of, rest, fed, product.out)
        stand_in(product.out, made)
        whole = product.of
        self._scan.body.remove(product.node, safe=True)
        if not list(whole.uses()) and not whole.is_graph_output():
            node = whole.producer()
            assert node is not None
            self._scan.body.remove(node, safe=True)

    def _absorb(self) -> int:
        """Add(a, Gemm(h, U))  ->  Gemm(h, U, a)"""
        places = 0
        for product in self._scan.products():
            uses = list(product.out.uses())
            constant = product.added is None or product.bias is not None
            if not constant or len(uses) != 1 or product.out.is_graph_output():
                continue
            node = uses[0][0]
            if node.op_type != "Add" or node.domain or node.graph is not self._scan.body:
                continue
            other = node.inputs[0] if node.inputs[1] is product.out else node.inputs[1]
            if other is None or other is product.out or not are_alike(other, product.out):
                continue
            if product.bias is not None:  # it goes with what each step gets
                other = self._with_bias(other, product.added)
                if other is None:
                    continue
            inside = Adder(node)
            made = gemm(inside, product.of, product.node.inputs[1], other, node.outputs[0])
            stand_in(node.outputs[0], made)
            self._scan.body.remove(node, safe=True)
            self._scan.body.remove(product.node, safe=True)
            places += 1
        return places

    def _with_bias(self, value: ir.Value, bias: ir.Value | None) -> ir.Value | None:
        """What each step gets, and a bias; None where nothing but this Add may read it."""
        place = self._scan.place(value)
        columns = columns_of(value)
        if place is None or columns is None or len(list(value.uses())) != 1:
            return None
        add = Adder(self._scan.node)
        sequence = self._scan.node.inputs[place]
        sequence = add("Add", [sequence, bias])  # two in turn: their sum has other roundings
        return self._scan.feed(sequence, columns, place, f"{value.name}_and_bias")

    def _join(self) -> int:
        """Gemm(h, U1, s_t), Gemm(h, U2, r_t)  ->  Split(Gemm(h, [U1; U2], Concat(s, r)_t))"""
        groups: dict[tuple[ir.Value, str, int], list[Product]] = {}
        for product in self._scan.products():
            place = self._scan.place(product.added)
            if place is not None and len(list(product.added.uses())) == 1:  # type: ignore[union-attr]
                key = (product.of, "sequence", self._scan.backward(place))
            elif product.added is None or product.bias is not None:
                key = (product.of, "constant", 0)
            else:
                continue
            groups.setdefault(key, []).append(product)
        places = 0
        for (_, kind, _), products in groups.items():
            if len(products) > 1:
                self._join_all(products, kind)
                places += 1
        return places

    def _join_all(self, products: Sequence[Product], kind: str) -> None:
        first = products[0].node
        inside = Adder(first)
        columns = [product.weights.shape[0] for product in products]
        joined = np.concatenate([product.weights for product in products])
        weights = self._scan.weight(joined, f"{products[0].name}_joined")
        added: ir.Value | None = None
        if kind == "sequence":
            added = self._joined([product.added for product in products], columns)
        else:
            bias = _joined_biases([product.bias for product in products], columns, joined.dtype)
            if bias is not None:
                added = self._scan.weight(bias, f"{products[0].name}_joined_bias")
        rows = products[0].out.shape[0] if products[0].out.shape is not None else None
        shape = ir.Shape([rows, sum(columns)])
        made = gemm(inside, products[0].of, weights, added, products[0].out, shape)
        sizes = Adder(self._scan.node).constant(np.array(columns, np.int64))
        axis = [ir.AttrInt64("axis", 1)]
        split = inside.node("Split", [made, sizes], len(products), axis)
        for product, part in zip(products, split.outputs, strict=True):
            stand_in(product.out, part)
        for product in products:
            self._scan.body.remove(product.node, safe=True)

    def _joined(self, values: Sequence[ir.Value | None], columns: Sequence[int]) -> ir.Value:
        """One sequence of several, which are products of one value where that is so."""
        places = [place for value in values if (place := self._scan.place(value)) is not None]
        given = [self._scan.node.inputs[place] for place in places]
        name = f"{values[0].name if values[0] is not None else 'sequence'}_joined"
        found = [each for value in given if (each := outer_product(value)) is not None]
        add = Adder(self._scan.node)
        if len(found) == len(given) and len({each.of for each in found}) == 1:
            weights = np.concatenate([each.weights for each in found], axis=1)
            sequence = add("MatMul", [found[0].of, self._scan.weight(weights, f"{name}_weights")])
            bias = _joined_biases([each.bias for each in found], columns, weights.dtype)
            if bias is not None:
                sequence = add("Add", [sequence, self._scan.weight(bias, f"{name}_bias")])
        else:
            sequence = add("Concat", given, axis=-1)
        return self._scan.feed(sequence, sum(columns), places[0], name)


def _joined_biases(
    biases: Sequence[np.ndarray | None], columns: Sequence[int], dtype: np.dtype
) -> np.ndarray | None:
    """Those of joined products, 0 where one has none; None where none of them has."""
    if all(bias is None for bias in biases):
        return None
    pairs = zip(biases, columns, strict=True)
    return np.concatenate([np.zeros(n, dtype) if b is None else b.reshape(-1) for b, n in pairs])

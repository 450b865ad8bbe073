"""The step of a Scan in few nodes: what is left of a loop that is no layer.

In a small step the engine's work for each node is most of the time, so that a step takes about as
long as it has nodes. What a product reads of the sequence alone is computed for all steps at once
before the Scan, and what is added to a product is its C. A Split is no view: in ONNX Runtime 1.32
one of three parts takes as long as four small products, so that each gate has a product of its own,
and the sequence is cut before the Scan.

    Scan: x_t [batch, input], h [batch, hidden]      s = MatMul(x, [W1x; W2x]^T) + b
        a = Gemm(x_t, W1, b1)                        s1, s2 = Slice(s)
        c = Add(a, Gemm(h, U1))                 ->   Scan: s1_t, s2_t, h
        d, e = Split(Gemm(Concat(x_t, h), W2))           c = Gemm(h, U1, s1_t), d = ..., e = ...

Every product is that of the model, summed in another order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import Adder
from rnnbench.formats.onnx.joined import join_products, joined_product
from rnnbench.formats.onnx.products import (
    Outer,
    Product,
    are_alike,
    columns_of,
    gemm,
    outer_product,
    parts_of,
    slices_of,
    split_of,
    stand_in,
)
from rnnbench.formats.onnx.sequences import Scan


def lighten_steps(model: ir.Model, *, whole: bool = False) -> int:
    """Rewrites the body of each Scan; how many places were changed.

    Args:
        model: it.
        whole: whether its products become ones of whole numbers.
    """
    scans = [node for node in model.graph if _is_plain_scan(node)]
    return sum(_Steps(node).lighten(whole) for node in scans)


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

    def lighten(self, whole: bool) -> int:
        """Rewrites the body; how many places were changed."""
        places = self._take_out() + self._split_before()
        if whole:
            places += self._absorb() + join_products(self._scan)
        else:
            places += self._take_apart() + self._absorb() + self._take_apart()
            places += self._join_before()
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
            if len(early) == len(parts) and product.out.is_graph_output():
                continue  # a body hands on what it computes
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

    def _split_before(self) -> int:
        """Split(s_t) of a step  ->  steps of the parts of s, which are taken before the Scan."""
        places = 0
        for node in list(self._scan.body):
            place = self._scan.place(node.inputs[0]) if node.op_type == "Split" else None
            parts = split_of(node.inputs[0], self._scan.body) if place is not None else None
            if place is None or parts is None or any(part.is_graph_output() for part in parts):
                continue
            fed = self._scan.feed_parts(self._scan.node.inputs[place], parts, place)
            for part, step in zip(parts, fed, strict=True):
                stand_in(part, step)
            self._scan.body.remove(node, safe=True)
            places += 1
        return places

    def _take_apart(self) -> int:
        """Split(Gemm(h, [U1; U2], c))  ->  Gemm(h, U1, c1), Gemm(h, U2, c2)"""
        places = 0
        for product in self._scan.products():
            parts = split_of(product.out, self._scan.body)
            more = product.added
            place = self._scan.place(more)
            if more is None or product.bias is not None:
                fits = True
            else:
                fits = place is not None and are_alike(more, product.out)
            if parts is None or not fits:
                continue
            added: Sequence[ir.Value | None] = [None] * len(parts)
            ends = np.cumsum([columns_of(part) or 0 for part in parts])[:-1]
            name = product.name
            if product.bias is not None:
                each = np.split(product.bias.reshape(-1), ends)
                added = [self._scan.weight(b, f"{name}_bias_{n}") for n, b in enumerate(each)]
            elif place is not None:
                added = self._scan.feed_parts(self._scan.node.inputs[place], parts, place)
            split = parts[0].producer()
            assert split is not None
            blocks = np.split(product.weights, ends)
            for n, (block, part, more) in enumerate(zip(blocks, parts, added, strict=True)):
                weights = self._scan.weight(block, f"{name}_part_{n}")
                stand_in(part, gemm(Adder(product.node), product.of, weights, more, part))
            self._scan.body.remove(split, safe=True)
            self._scan.body.remove(product.node, safe=True)
            places += 1
        return places

    def _join_before(self) -> int:
        """MatMul(x, W1) + b1, MatMul(x, W2) + b2  ->  Split(MatMul(x, [W1 W2]) + b)

        Of sequences that this Scan alone reads.
        """
        joined, found = 0, dict[ir.Value, list[tuple[int, Outer]]]()
        for place in self._scan.places():
            outer = outer_product(self._scan.node.inputs[place])
            if outer is not None:
                found.setdefault(outer.of, []).append((place, outer))
        for of, each in found.items():
            if len(each) < 2:
                continue
            add = Adder(self._scan.node)
            outers = [outer for _, outer in each]
            sequence = joined_product(self._scan, add, outers, f"{of.name}_joined")
            parts = slices_of(add, sequence, [o.weights.shape[1] for o in outers])
            for (place, _), part in zip(each, parts, strict=True):
                self._scan.node.replace_input_with(place, part)
            joined += 1
        return joined

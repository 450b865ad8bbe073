"""The sequences that a Scan reads, one step after the other: some more, some less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from rnnbench.formats.onnx.editing import Adder, add_initializer, outermost
from rnnbench.formats.onnx.products import Product, columns_of, product_of, slices_of


class Scan:
    """A Scan along the first axis of each sequence, and its body.

    Args:
        node: it.

    Attributes:
        node: it.
        body: one step.
    """

    def __init__(self, node: ir.Node) -> None:
        self.node = node
        self.body = node.attributes["body"].as_graph()
        self._count = node.attributes["num_scan_inputs"].as_int()
        self._root = outermost(node.graph) if node.graph is not None else self.body

    @property
    def _states(self) -> int:
        """How many inputs are states, which come first."""
        return len(self.body.inputs) - self._count

    def place(self, value: ir.Value | None) -> int | None:
        """Which input of the Scan gives a value of each step; None where it is none of them."""
        for place in range(self._states, len(self.body.inputs)):
            if self.body.inputs[place] is value:
                return place
        return None

    def backward(self, place: int) -> int:
        """1 where the steps get a sequence from its end on, else 0."""
        given = self.node.attributes.get("scan_input_directions")
        return 0 if given is None else given.as_ints()[place - self._states]

    def feed(self, sequence: ir.Value, columns: int, like: int, name: str) -> ir.Value:
        """A new sequence [time, rows, columns]; what each step gets of it.

        Args:
            sequence: what is fed.
            columns: of it.
            like: the place of a sequence that has its rows, and its direction.
            name: of the value in the body.
        """
        old = self.body.inputs[like]
        rows = old.shape[0] if old.shape is not None else None
        made = ir.Value(name=name, shape=ir.Shape([rows, columns]), type=old.type)
        directions = [self.backward(n) for n in range(self._states, len(self.body.inputs))]
        self.body.inputs.append(made)
        self.node.resize_inputs(len(self.node.inputs) + 1)
        self.node.replace_input_with(len(self.node.inputs) - 1, sequence)
        self._tell([*directions, self.backward(like)])
        return made

    def _drop(self, place: int) -> None:
        """Takes a sequence away that no step reads any more."""
        directions = [self.backward(n) for n in range(self._states, len(self.body.inputs))]
        del directions[place - self._states]
        del self.body.inputs[place]
        inputs = list(self.node.inputs)
        del inputs[place]
        for n, value in enumerate(inputs):
            self.node.replace_input_with(n, value)
        self.node.resize_inputs(len(inputs))
        self._tell(directions)

    def _tell(self, directions: Sequence[int]) -> None:
        """How many sequences there are, and in which direction each is read."""
        self._count = len(directions)
        node = self.node
        node.attributes["num_scan_inputs"] = ir.AttrInt64("num_scan_inputs", self._count)
        node.attributes.pop("scan_input_axes", None)  # the first of each, which goes without saying
        node.attributes.pop("scan_input_directions", None)
        if any(directions):
            name = "scan_input_directions"
            node.attributes[name] = ir.AttrInt64s(name, list(directions))

    def tidy(self) -> None:
        """Takes away what no step reads; one stays, by which the steps are counted."""
        for place in reversed(range(self._states, len(self.body.inputs))):
            value = self.body.inputs[place]
            read = list(value.uses()) or value.is_graph_output()
            if not read and self._count > 1:
                self._drop(place)

    def weight(self, array: np.ndarray, name: str) -> ir.Value:
        """An initializer of the whole graph, which bodies see."""
        unique, n = name, 1
        while unique in self._root.initializers:
            n += 1
            unique = f"{name}_{n}"
        return add_initializer(self._root, unique, array)

    def products(self) -> Iterator[Product]:
        """Those of a step."""
        for node in list(self.body):
            found = product_of(node)
            if found is not None:
                yield found

    def feed_parts(
        self, sequence: ir.Value | None, parts: Sequence[ir.Value], like: int
    ) -> list[ir.Value]:
        """What each step gets of the parts of a sequence [time, rows, columns], along the columns.

        Args:
            sequence: it.
            parts: values of the body that have the sizes of the parts.
            like: the place of a sequence that is read in the same direction.
        """
        sizes = [columns_of(part) or 0 for part in parts]
        given = slices_of(Adder(self.node), sequence, sizes)
        fed = []
        for part, own, size in zip(parts, given, sizes, strict=True):
            fed.append(self.feed(own, size, like, f"{part.name}_of_sequence"))
        return fed

    def places(self) -> range:
        """The inputs that are sequences."""
        return range(self._states, len(self.body.inputs))

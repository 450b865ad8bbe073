"""What a step computes, in a normal form that does not depend on how it was written.

A value is affine in the step's inputs and states (a matrix for each, and a bias), or a polynomial,
element by element, in nonlinearities of such values. So `n + z * (h - n)`, `(1 - z) * n + z * h`
and `torch.lerp(n, h, z)` are one thing, and so are gates from one big matrix, from four small
ones, or from a matrix over the input and the state side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor, fx

from rnnbench.capture.cells.normal_forms import Affine, Poly, Source, Unknown, Value
from rnnbench.capture.cells.rules import RULES, rows
from rnnbench.capture.graph_edit import shape_of
from rnnbench.capture.loops.steps import Block

aten = torch.ops.aten


class Algebra:
    """The normal forms of a body's values, worked out on demand."""

    def __init__(self, module: fx.GraphModule, block: Block, inside: Sequence[int]) -> None:
        self.module = module
        self.block = block
        self.body = block.body
        self.position = {n: j for j, n in enumerate(self.body)}
        self.inside = set(inside)
        self.affine: list[Affine] = []
        self._values: dict[int, Value] = {}
        self._parts: dict[tuple[int, int, int], int] = {}

    def value(self, j: int) -> Value:
        """The value at a position of the body.

        Raises:
            Unknown: it has no normal form.
        """
        if j not in self._values:
            self._values[j] = self._work_out(j)
        return self._values[j]

    def _work_out(self, j: int) -> Value:
        node = self.body[j]
        rule = RULES.get(node.target)
        if rule is None or any(reader == j for reader, _ in self.block.counts):
            # Outside of the recurring piece a value needs no form: it is given, step by step.
            if j in self.inside:
                raise Unknown(str(node.target))
            return self._source(("step", j), node)
        try:
            place_of_leaf = count()
            args = [self._argument(j, a, place_of_leaf) for a in node.args]
            kwargs = {k: node.kwargs[k] for k in node.kwargs}
            if j not in self.inside and not _one_matrix(node, args):
                return self._source(("step", j), node)
            return rule(self, *args, **kwargs)  # type: ignore[no-any-return]
        except (Unknown, TypeError, RuntimeError, ValueError, AttributeError, IndexError):
            if j in self.inside:
                raise Unknown(str(node.target)) from None
            return self._source(("step", j), node)

    def _argument(self, j: int, a: Any, place_of_leaf: Iterator[int]) -> Any:
        if isinstance(a, list | tuple):
            return [self._argument(j, i, place_of_leaf) for i in a]
        place = next(place_of_leaf)
        if not isinstance(a, fx.Node):
            return a
        before = self.block.previous.get((j, place))
        if before is not None:
            if before not in self.inside:
                raise Unknown("a value of the step before, from outside")
            return self._source(("carry", before), self.body[before])
        if a in self.position:
            k = self.position[a]
            return self._source(("step", k), a) if k in self.block.inputs else self.value(k)
        constant = self._constant(a)
        return self._source(("outside", a), a) if constant is None else constant

    def _constant(self, node: fx.Node) -> Tensor | None:
        if node.op != "get_attr":
            return None
        value: Any = self.module
        for part in str(node.target).split("."):
            value = getattr(value, part)
        # In float64, so that the products of weights are exact to float32.
        return value.detach().double().cpu() if isinstance(value, Tensor) else None

    def _source(self, source: Source, node: fx.Node) -> Affine:
        shape = shape_of(node)
        if shape is None or len(shape) != 2 or not isinstance(shape[1], int):
            raise Unknown("not (batch, features)")
        eye = torch.eye(shape[1], dtype=torch.float64)  # [features, features]: itself, unchanged
        return Affine({source: eye}, torch.zeros(shape[1], dtype=torch.float64))

    def part(self, index: int, start: int, stop: int) -> int:
        """The number of some features of an affine value."""
        key = (index, start, stop)
        if key not in self._parts:
            self.affine.append(rows(self, self.affine[index], start, stop))  # type: ignore[arg-type]
            self._parts[key] = len(self.affine) - 1
        return self._parts[key]

    def atom(self, value: Value) -> Poly:
        """A value as a polynomial."""
        if isinstance(value, Poly):
            return value
        if not isinstance(value, Affine):
            raise Unknown("a tuple")
        source = value.source
        if source is not None and source[0] == "carry":
            return Poly({(source,): 1.0})
        # By identity: values with the same numbers that were computed twice are two.
        known = next((i for i, a in enumerate(self.affine) if a is value), None)
        if known is None:
            self.affine.append(value)
            known = len(self.affine) - 1
        return Poly({(("affine", known),): 1.0})


def _one_matrix(node: fx.Node, args: list[Any]) -> bool:
    """Before the recurrence, one matrix is taken into it; of several, the last."""
    if node.target not in (aten.linear.default, aten.addmm.default, aten.mm.default):
        return True
    inputs = [a for a in args if isinstance(a, Affine)]
    return all(a.source is not None or _joined(a) for a in inputs)


def _joined(value: Affine) -> bool:
    """Whether a value is sources side by side: each row has one 1 and else zeros."""
    rows = torch.cat(list(value.matrices.values()), 1)  # [features out, features in of all sources]
    ones = (rows == 1).sum(1) == 1
    return bool(ones.all() and (rows.abs().sum(1) == 1).all() and not value.bias.any())

"""Writes a piece of a body that does not recur: each node once, for all steps.

select_1 = select(x, 1, 1)        xs = per_step(x, 1, 0, None, False)   # [time, batch, 3]
mul_1 = mul(select_1, gain)   ->  mul = mul(xs, gain)                   # [time, batch, 3]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import torch
from torch import fx

from rnnbench.capture.loops.counting import (
    Count,
    filled,
    for_all_steps,
    over_time,
    rank_of,
    tensor_form,
)
from rnnbench.capture.loops.fission import Piece
from rnnbench.capture.loops.steps import Block, map_leaves
from rnnbench.capture.operators.rolled import aligned
from rnnbench.capture.rolling.batching import Batched, batched
from rnnbench.capture.rolling.stacks import Stacks

aten = torch.ops.aten
_FILLED = Batched(filled)
_PRODUCTS = {aten.linear.default, aten.addmm.default, aten.mm.default, aten.matmul.default}


def map_steps(piece: Piece, block: Block, stacks: Stacks) -> bool:
    """Writes a piece for all steps at once; False, and nothing, where an operator has no such form.

    Args:
        piece: positions of the body, none of which needs itself of the step before.
        block: the loop.
        stacks: gets what the positions gave in all steps.
    """
    mapper = _Mapper(block, stacks)
    forms = [mapper.form_of(j) for j in piece.positions]
    if any(form is None for form in forms):
        return False
    for j, form in zip(piece.positions, forms, strict=True):
        assert form is not None
        mapper.write(j, form)
    stacks.stacked |= mapper.made
    return True


def early_positions(pieces: Sequence[Piece], block: Block, stacks: Stacks) -> set[int]:
    """What can be done for all steps before a loop that stays one, and is worth it.

    That is what needs nothing that recurs, in operators that have a form for all steps; of which
    a product is one. Of a step

        linear(x_t, w); linear(h, u); add; tanh; softmax(x_t)

    it is linear(x_t, w) and the softmax. None of its values that the loop reads may have more
    dimensions than a state has: what an attention makes of a whole sequence in each step would have
    to be kept for all steps at once.

    Args:
        pieces: of the body, each of which needs only those before it.
        block: the loop.
        stacks: what is known for all steps.
    """
    mapper = _Mapper(block, stacks)
    known = {*block.inputs}
    early: set[int] = set()
    for piece in pieces:
        for j in () if piece.recurs else piece.positions:
            needs = Piece((j,), False).reads(block)
            if needs <= known | early and mapper.form_of(j) is not None:
                early.add(j)
    rest = {j for piece in pieces for j in piece.positions} - early
    read = Piece(tuple(sorted(rest)), True).reads(block) & early
    most = max((rank_of(block.body[j]) for j in block.carried), default=0)
    has_product = any(block.body[j].target in _PRODUCTS for j in early)
    if not has_product or any(rank_of(block.body[j]) > most for j in read):
        return set()
    return early


class _Mapper:
    """Writes nodes of a body for all steps.

    Attributes:
        made: position -> its values in all steps.
    """

    def __init__(self, block: Block, stacks: Stacks) -> None:
        self.block = block
        self.body = block.body
        self.stacks = stacks
        self.graph = stacks.graph
        self.position = {n: j for j, n in enumerate(self.body)}
        self.counted = {reader for reader, _ in block.counts}
        self.made: dict[int, fx.Node] = {}

    def form_of(self, j: int) -> Batched | None:
        """What does for all steps what the node at a position does for one; None: nothing known."""
        node = self.body[j]
        if self._fills(j):
            return _FILLED
        if j in self.counted and not for_all_steps(node):
            return None
        return batched(node, lambda n: n in self.position)

    def write(self, j: int, form: Batched) -> None:
        """Writes the node at a position; those that it needs are written already."""
        node = self.body[j]

        def value(k: int) -> fx.Node:
            return self._aligned(k, self.made.get(k) or self.stacks.all_steps(k), node)

        # The arguments of the step's node, each with time before its own dimensions.
        args, kwargs = self._arguments(j, value)
        target, (args, kwargs) = form.target, form.arguments(args, kwargs)
        if j in self.counted:
            target, args = tensor_form(node, args)
        with self.graph.inserting_before(self.stacks.end):
            self.made[j] = self.graph.call_function(target, args, kwargs)
        self.made[j].meta["stack_trace"] = node.meta.get("stack_trace", "")

    def _aligned(self, k: int, steps: fx.Node, reader: fx.Node) -> fx.Node:
        """The values of all steps, as an operator that works element by element needs them."""
        target, rank = reader.target, rank_of(reader)
        pointwise = isinstance(target, torch._ops.OpOverload) and torch.Tag.pointwise in target.tags
        # [time, 4] beside [time, batch, 4] has to be [time, 1, 4], not [1, time, 4].
        if not pointwise or rank_of(self.body[k]) >= rank:
            return steps
        with self.graph.inserting_before(self.stacks.end):
            return self.graph.call_function(aligned, (steps, rank))

    def _fills(self, j: int) -> bool:
        return j in self.counted and self.body[j].target is aten.full.default

    def _arguments(
        self, j: int, value: Callable[[int], fx.Node]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A body node's arguments, with what is in the body replaced."""
        place_of_leaf = count()

        def swap(leaf: Any) -> Any:
            place = next(place_of_leaf)
            if (j, place) in self.block.counts:
                return self._numbers(j, self.block.counts[j, place])
            if not isinstance(leaf, fx.Node):
                return leaf
            if (j, place) in self.block.previous:
                return self.stacks.step_before(self.block.previous[j, place])
            return value(self.position[leaf]) if leaf in self.position else leaf

        node = self.body[j]
        return map_leaves(node.args, swap), map_leaves(dict(node.kwargs), swap)

    def _numbers(self, j: int, growing: Count) -> fx.Node:
        numbers = self.stacks.count(growing)  # [time], or [time, 1, ...] beside other values
        if self._fills(j):
            return numbers
        with self.graph.inserting_before(self.stacks.end):
            return self.graph.call_function(over_time, (numbers, rank_of(self.body[j])))

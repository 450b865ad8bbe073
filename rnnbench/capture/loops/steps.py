"""The steps of an unrolled loop: what is alike in them, and how values pass on.

    select_1 = select(x, 1, 1)                            position 0
    gru_cell_1 = gru_cell(select_1, gru_cell, w_ih, ...)  position 1
    select_2 = select(x, 1, 2)
    gru_cell_2 = gru_cell(select_2, gru_cell_1, w_ih, ...)

The block of it: `inputs {0: Step(x, dim=1, first=0, stride=1)}`, `carried {1: h0}`, and
`previous {(1, 1): 1}`: argument 1 of position 1 is what position 1 was one step earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from rnnbench.capture.graph_edit import SELECT, UNSQUEEZE, size_at
from rnnbench.capture.loops.counting import Count, as_count, takes_a_count
from rnnbench.core.repeats import FEWEST_STEPS

aten = torch.ops.aten

_INDEX_AT: dict[Any, int] = {SELECT: 2, aten.select_scatter.default: 3}


def index_at(node: fx.Node) -> int | None:
    """The place of the index among the arguments of a `select` or `select_scatter`."""
    return _INDEX_AT.get(node.target)


@dataclass(frozen=True)
class Step:
    """A per-step input: `select(source, dim, first + k * stride)` in step k."""

    source: fx.Node
    dim: int
    first: int
    stride: int


@dataclass
class Block:
    """An unrolled loop.

    Attributes:
        steps: the nodes of each step; a node that the last step lacks is None.
        carried: position in the body -> the value that the first step has in its place.
        inputs: position of a select -> what is taken from where.
        writes: position of a select_scatter -> where its values go.
        counts: (position, place of the argument) -> a number that grows from step to step.
        previous: (position of the reader, place of the argument) -> the position that is read one
            step later.
    """

    steps: list[list[fx.Node | None]]
    carried: dict[int, Any] = field(default_factory=dict)
    inputs: dict[int, Step] = field(default_factory=dict)
    writes: dict[int, Step] = field(default_factory=dict)
    counts: dict[tuple[int, int], Count] = field(default_factory=dict)
    previous: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def body(self) -> list[fx.Node]:
        """The nodes of a complete step that is not the first."""
        return [n for n in self.steps[1] if n is not None]

    @property
    def length(self) -> int:
        """How many steps there are."""
        return len(self.steps)


class NoLoop(Exception):  # noqa: N818  (an answer, not an error)
    """Nodes repeat, but their values do not pass on as in a loop; the message says why."""


def count_what_varies(shorter: Block, longer: Block) -> None:
    """A number that is the same in all steps, and not in both traces, comes from outside the step.

    mul(h, 0.2) in each of 5 steps, mul(h, 0.125) in each of 8:  h * (1 / len(x))
    """
    for j, nodes in enumerate(zip(shorter.body, longer.body, strict=True)):
        for place, values in enumerate(zip(*map(arguments, nodes), strict=True)):
            known = (j, place) in shorter.counts or j in shorter.inputs or j in shorter.writes
            kinds = {type(v) for v in values}
            if known or kinds not in ({int}, {float}) or values[0] == values[1]:
                continue
            if all(takes_a_count(node, place) for node in nodes):
                for block, value in zip((shorter, longer), values, strict=True):
                    block.counts[j, place] = Count(value, type(value)(0))


class Delayed(NoLoop):
    """A value comes from further back than the step before.

    Attributes:
        source: the position that makes it.
        steps: how many steps ago.
        reader: the position that reads it, and `place`, as which of its arguments.
        first: what the first steps read in its place.
    """

    def __init__(
        self, source: int, steps: int, reader: int, place: int, first: list[fx.Node]
    ) -> None:
        super().__init__(f"a value comes from {steps} steps back")
        self.source, self.steps, self.reader, self.place = source, steps, reader, place
        self.first = first


def carried_in(block: Block, inside: Collection[int]) -> list[int]:
    """The positions that a piece of a body hands on to itself."""
    return sorted({s for (r, _), s in block.previous.items() if r in inside and s in inside})


def written_value(block: Block, j: int) -> tuple[int, bool]:
    """What a write at position `j` puts: a position, and whether it is that of the step before."""
    before = block.previous.get((j, 1))
    if before is not None:
        return before, True
    source = block.body[j].args[1]
    assert isinstance(source, fx.Node)
    return block.body.index(source), False


def leaves(args: Any) -> list[Any]:
    """The arguments of a call, nested ones in reading order."""
    if isinstance(args, fx.Node) or args is None:
        return [args]
    if isinstance(args, list | tuple):
        return [leaf for a in args for leaf in leaves(a)]
    if isinstance(args, dict):
        return [leaf for k in sorted(args) for leaf in leaves(args[k])]
    return [args]


def arguments(node: fx.Node) -> list[Any]:
    """The leaves of a node's arguments."""
    return leaves(node.args) + leaves(node.kwargs)


def map_leaves(args: Any, change: Callable[[Any], Any]) -> Any:
    """Arguments with every leaf changed, visited in the order of `leaves`."""
    if isinstance(args, list | tuple) and not isinstance(args, fx.Node):
        return type(args)(map_leaves(a, change) for a in args)
    if isinstance(args, dict):
        return {k: map_leaves(args[k], change) for k in sorted(args)}
    return change(args)


def analyse(steps: list[list[fx.Node | None]]) -> Block:
    """The loop that steps are, the last of which may lack nodes.

    Raises:
        NoLoop: they are none.
    """
    block = Block(steps)
    period = len(steps[0])
    analysis = _Analysis(block)
    for j in range(period):
        analysis.add_column(j, [n for n in (step[j] for step in steps) if n is not None])
    if len(block.inputs) + len(block.writes) == period:
        raise NoLoop("nothing is computed")
    # A block that begins one node late could take its last step from past the end.
    for step in (*block.inputs.values(), *block.writes.values()):
        last = step.first + step.stride * (block.length - 1)
        if not 0 <= last < (size_at(step.source, step.dim) or last + 1):
            raise NoLoop("the last step would read past the end")
    for j in block.carried:
        if not isinstance(steps[1][j].meta.get("val"), torch.Tensor):  # type: ignore[union-attr]
            raise NoLoop("a carried value is not a tensor")
    return block


class _Analysis:
    """Fills a block in, column by column: the same line of the model, of all steps.

    Attributes:
        block: what is filled in.
        made_at: node -> the step, and the position in it, that it is.
    """

    def __init__(self, block: Block) -> None:
        self.block = block
        self.made_at = {
            n: (k, j)
            for k, step in enumerate(block.steps)
            for j, n in enumerate(step)
            if n is not None
        }

    def add_column(self, j: int, column: list[fx.Node]) -> None:
        """Compares each argument of position j in all steps."""
        if len(column) < FEWEST_STEPS:
            raise NoLoop("too few steps")
        rows = [arguments(n) for n in column]
        if len({len(r) for r in rows}) != 1:
            raise NoLoop("the number of arguments grows")
        for place, values in enumerate(zip(*rows, strict=True)):
            if isinstance(values[0], fx.Node):
                self._add_value(j, place, list(values))
            elif any(v is not values[0] for v in values) and len(set(map(repr, values))) > 1:
                self._add_number(j, place, column, list(values))

    def _add_value(self, j: int, place: int, values: list[fx.Node]) -> None:
        """Inside the step, the same outside, or what the step before had."""
        found = [self.made_at.get(v) for v in values]
        back = next((k for k, p in enumerate(found) if p is not None), 0)
        if back > 1 and len(found) > back + 1:
            source = found[back][1]  # type: ignore[index]
            if all(p == (k, source) for k, p in enumerate(found[back:])):
                raise Delayed(source, back, j, place, values[:back])
        # The second step decides: in the first a carried value is from outside.
        if found[1] is None:
            if any(not same_value(v, values[0]) for v in values):
                raise NoLoop("a value from outside changes")
            return
        source = found[1][1]
        if all(p == (k, source) for k, p in enumerate(found)):
            return  # made in the same step, in each of them
        if found[0] is not None or any(p != (k, source) for k, p in enumerate(found[1:])):
            raise NoLoop("a value comes from neither this step nor the one before")
        # Step k reads what position `source` was in step k - 1.
        first = self.block.carried.setdefault(source, values[0])
        if not same_value(first, values[0]):
            raise NoLoop("two first values for one carried value")
        self.block.previous[j, place] = source

    def _add_number(self, j: int, place: int, column: list[fx.Node], values: list[Any]) -> None:
        """A number that grows or falls by the same amount in each step."""
        node = column[0]
        count = as_count(values)
        if count is None:
            raise NoLoop("a number changes from step to step, and not evenly")
        at = index_at(node)
        if at == place and type(count.first) is int and type(count.stride) is int:
            dim: Any = node.args[at - 1]
            step = Step(node.args[0], dim, count.first, count.stride)  # type: ignore[arg-type]
            # A select of a tensor from outside is an input, a scatter into itself a write.
            if node.target is SELECT and column[1].args[0] not in self.made_at:
                self.block.inputs[j] = step
                return
            if node.target is not SELECT and self.block.previous.get((j, 0)) == j:
                self.block.writes[j] = step
                return
        if not takes_a_count(node, place):
            raise NoLoop("a number changes from step to step")
        self.block.counts[j, place] = count


def same_value(a: fx.Node, b: fx.Node) -> bool:
    """Whether two nodes are one, or the same part of one tensor (each user has its own)."""
    if a is b:
        return True
    if a.target is not b.target or a.target not in (SELECT, UNSQUEEZE) or a.args[1:] != b.args[1:]:
        return False
    return same_value(a.args[0], b.args[0])  # type: ignore[arg-type]

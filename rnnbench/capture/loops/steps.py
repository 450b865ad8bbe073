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

from rnnbench.capture.graph_edit import size_at
from rnnbench.capture.loops.counting import Count, as_count, takes_a_count
from rnnbench.core.repeats import FEWEST_STEPS

aten = torch.ops.aten


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


def carried_in(block: Block, inside: Collection[int]) -> list[int]:
    """The positions that a piece of a body hands on to itself."""
    return sorted({s for (r, _), s in block.previous.items() if r in inside and s in inside})


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
    period = len(steps[0])
    block = Block(steps)
    made_at = {
        n: (k, j) for k, step in enumerate(steps) for j, n in enumerate(step) if n is not None
    }
    for j in range(period):  # a column: the same line of the model, of all steps
        column = [step[j] for step in steps if step[j] is not None]
        if len(column) < FEWEST_STEPS:
            raise NoLoop("too few steps")
        _analyse_column(block, j, [n for n in column if n is not None], made_at)
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


def _analyse_column(
    block: Block, j: int, column: list[fx.Node], made_at: dict[fx.Node, tuple[int, int]]
) -> None:
    rows = [arguments(n) for n in column]
    if len({len(r) for r in rows}) != 1:
        raise NoLoop("the number of arguments grows")
    for position, values in enumerate(zip(*rows, strict=True)):
        if isinstance(values[0], fx.Node):
            _analyse_value(block, j, position, list(values), made_at)
        elif len(set(map(repr, values))) > 1:
            _analyse_number(block, j, position, column, list(values), made_at)


def _analyse_value(
    block: Block,
    j: int,
    position: int,
    values: list[fx.Node],
    made_at: dict[fx.Node, tuple[int, int]],
) -> None:
    """Inside the step, the same outside, or what the step before had."""
    found = [made_at.get(v) for v in values]
    # The second step decides: in the first a carried value is from outside.
    if found[1] is None:
        if any(not _same_value(v, values[0]) for v in values):
            raise NoLoop("a value from outside changes")
        return
    source = found[1][1]
    if all(p == (k, source) for k, p in enumerate(found)):
        return  # made in the same step, in each of them
    if found[0] is not None or any(p != (k, source) for k, p in enumerate(found[1:])):
        raise NoLoop("a value comes from neither this step nor the one before")
    # Step k reads what position `source` was in step k - 1.
    first = block.carried.setdefault(source, values[0])
    if not _same_value(first, values[0]):
        raise NoLoop("two first values for one carried value")
    block.previous[j, position] = source


def _same_value(a: fx.Node, b: fx.Node) -> bool:
    """Whether two nodes are one, or the same part of one tensor (each user has its own)."""
    if a is b:
        return True
    parts = (aten.select.int, aten.unsqueeze.default)
    if a.target is not b.target or a.target not in parts or a.args[1:] != b.args[1:]:
        return False
    return _same_value(a.args[0], b.args[0])  # type: ignore[arg-type]


def _analyse_number(
    block: Block,
    j: int,
    position: int,
    column: list[fx.Node],
    values: list[Any],
    made_at: dict[fx.Node, tuple[int, int]],
) -> None:
    """A number that grows or falls by the same amount in each step."""
    node = column[0]
    count = as_count(values)
    if count is None:
        raise NoLoop("a number changes from step to step, and not evenly")
    index_at = {aten.select.int: 2, aten.select_scatter.default: 3}.get(node.target)  # type: ignore[call-overload]
    # select(x, dim, k) of a tensor from outside is an input, select_scatter into itself a write.
    if position == index_at and type(count.first) is int and type(count.stride) is int:
        dim: Any = node.args[index_at - 1]
        step = Step(node.args[0], dim, count.first, count.stride)  # type: ignore[arg-type]
        if node.target is aten.select.int and column[1].args[0] not in made_at:
            block.inputs[j] = step
            return
        if node.target is aten.select_scatter.default and block.previous.get((j, 0)) == j:
            block.writes[j] = step
            return
    if not takes_a_count(node, position):
        raise NoLoop("a number changes from step to step")
    block.counts[j, position] = count

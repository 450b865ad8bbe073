"""Finds the steps of an unrolled loop: a block of nodes that repeats, and how values pass on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

import torch
from torch import fx

from rnnbench.capture.canonical import size_at
from rnnbench.periods import FEWEST_STEPS, find_regions

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
        previous: (position of the reader, place of the argument) -> the position that is read one
            step later.
    """

    steps: list[list[fx.Node | None]]
    carried: dict[int, Any] = field(default_factory=dict)
    inputs: dict[int, Step] = field(default_factory=dict)
    writes: dict[int, Step] = field(default_factory=dict)
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


def _token(node: fx.Node, free: Collection[int] = ()) -> Any:
    """What two nodes have in common that may be the same line of two steps.

    Args:
        node: a call.
        free: the places of arguments that may be anything: in the first step a carried value is
            an input or a parameter.
    """
    places = count()

    def mask(a: Any) -> Any:
        if isinstance(a, list | tuple):
            return tuple(mask(i) for i in a)
        if isinstance(a, dict):
            return tuple((k, mask(a[k])) for k in sorted(a))
        place = next(places)
        if isinstance(a, fx.Node):
            named = a.op in ("get_attr", "placeholder") and place not in free
            return a.name if named else "node"
        return "int" if isinstance(a, int) and not isinstance(a, bool) else repr(a)

    return str(node.target), mask(node.args), mask(node.kwargs)


def _like(block: Block, j: int, node: fx.Node) -> bool:
    """Whether a node may be position `j` of a step."""
    free = [place for reader, place in block.previous if reader == j]
    return bool(_token(node, free) == _token(block.body[j], free))


def find_blocks(graph: fx.Graph) -> Iterator[Block]:
    """The unrolled loops in a graph, those that cover most nodes first."""
    nodes = [n for n in graph.nodes if n.op == "call_function"]
    for length, period, start in find_regions([_token(n) for n in nodes]):
        block = _best_rotation(nodes, start, length, period)
        if block is not None:
            yield block


def _best_rotation(nodes: list[fx.Node], start: int, length: int, period: int) -> Block | None:
    """The block with most steps, which begin where fewest values have to be carried over."""
    best: tuple[tuple[int, int, int], Block] | None = None
    full = length // period * period
    for shift in range(min(period, length - period * (FEWEST_STEPS - 1))):
        begin = start + shift
        end = begin + (full if shift + full <= length else full - period)
        region = nodes[begin:end]
        steps: list[list[fx.Node | None]] = [
            list(region[i : i + period]) for i in range(0, len(region), period)
        ]
        try:
            block = _with_last_step(_analyse(steps), nodes[end:])
            block = _with_earlier_steps(block, nodes[:begin])
        except NoLoop:
            continue
        score = (-block.length, len(block.carried), block.steps[-1].count(None))
        if best is None or score < best[0]:
            best = score, block
    return best[1] if best else None


def _with_last_step(block: Block, after: list[fx.Node]) -> Block:
    """A block with one more step, which lacks the nodes whose results nobody needs."""
    position = {n: j for j, n in enumerate(block.body)}
    before = block.steps[-1]
    step: list[fx.Node | None] = [None] * len(block.body)
    rest = iter(after)
    node = next(rest, None)
    for j in range(len(block.body)):
        if node is None:
            break
        if _like(block, j, node) and _follows(block, j, node, before, step, position):
            step[j] = node
            node = next(rest, None)
    if not any(n is not None and j not in block.inputs for j, n in enumerate(step)):
        return block
    try:
        return _analyse([*block.steps, step])
    except NoLoop:
        return block


def _follows(
    block: Block,
    j: int,
    node: fx.Node,
    before: list[fx.Node | None],
    step: list[fx.Node | None],
    position: dict[fx.Node, int],
) -> bool:
    """Whether a node is position `j` of the step after `before`."""
    for place, (ours, leaf) in enumerate(
        zip(arguments(block.body[j]), arguments(node), strict=True)
    ):
        if not isinstance(ours, fx.Node):
            continue
        if (j, place) in block.previous:
            expected = before[block.previous[j, place]]
        else:
            expected = step[position[ours]] if ours in position else ours
        if leaf is not expected:
            return False
    return True


def _with_earlier_steps(block: Block, before: list[fx.Node]) -> Block:
    """A block with the steps before it that have other nodes in between.

    The first step often has: its initial state is made there. What it computed is what the next
    step carries on, so its nodes are found from their uses.
    """
    while True:
        earlier = _step_before(block, before)
        if earlier is None:
            return block
        try:
            block = _analyse([list(earlier), *block.steps])
        except NoLoop:
            return block


def _step_before(block: Block, before: list[fx.Node]) -> list[fx.Node] | None:
    body = block.body
    position = {n: j for j, n in enumerate(body)}
    found: dict[int, fx.Node] = {}
    waiting = [(j, first) for j, first in block.carried.items() if j not in block.writes]
    waiting += [(j, block.carried[j]) for j in block.writes]
    while waiting:
        j, node = waiting.pop()
        if not isinstance(node, fx.Node) or found.get(j, node) is not node:
            return None
        if not _like(block, j, node):
            return None
        if j in found:
            continue
        found[j] = node
        for place, (ours, leaf) in enumerate(zip(arguments(body[j]), arguments(node), strict=True)):
            if (j, place) not in block.previous and ours in position:
                waiting.append((position[ours], leaf))
    rest = [j for j in range(len(body)) if j not in found]
    for j in rest:
        known = {position[n]: found.get(position[n]) for n in _inner(block, j)}
        candidates = [n for n in before if n not in found.values()]
        match = next((n for n in reversed(candidates) if _fits(block, j, n, known)), None)
        if match is None:
            return None
        found[j] = match
    if len(set(found.values())) != len(body) or any(n not in set(before) for n in found.values()):
        return None
    return [found[j] for j in range(len(body))]


def _inner(block: Block, j: int) -> list[fx.Node]:
    """The arguments of a body node that the same step makes."""
    members = set(block.body)
    return [
        leaf
        for place, leaf in enumerate(arguments(block.body[j]))
        if (j, place) not in block.previous and isinstance(leaf, fx.Node) and leaf in members
    ]


def _fits(block: Block, j: int, node: fx.Node, known: dict[int, fx.Node | None]) -> bool:
    """Whether a node computes position `j` from the values that are known of its step."""
    if not _like(block, j, node):
        return False
    position = {n: i for i, n in enumerate(block.body)}
    for place, (ours, leaf) in enumerate(
        zip(arguments(block.body[j]), arguments(node), strict=True)
    ):
        if not isinstance(ours, fx.Node) or (j, place) in block.previous:
            continue
        if ours in position and known[position[ours]] is not leaf:
            return False
        if ours not in position and ours is not leaf:
            return False
    step = block.inputs.get(j) or block.writes.get(j)
    if step is not None and j in block.inputs:
        return bool(node.args[2] == step.first - step.stride)
    return True


def _analyse(steps: list[list[fx.Node | None]]) -> Block:
    period = len(steps[0])
    block = Block(steps)
    place = {n: (k, j) for k, step in enumerate(steps) for j, n in enumerate(step) if n is not None}
    for j in range(period):
        column = [step[j] for step in steps if step[j] is not None]
        if len(column) < FEWEST_STEPS:
            raise NoLoop("too few steps")
        _analyse_column(block, j, [n for n in column if n is not None], place)
    if len(block.inputs) + len(block.writes) == period:
        raise NoLoop("nothing is computed")
    for j in block.writes:
        if block.previous.get((j, 0)) != j:
            raise NoLoop("a write into what is not handed on")
    for step in (*block.inputs.values(), *block.writes.values()):
        last = step.first + step.stride * (block.length - 1)
        if not 0 <= last < (size_at(step.source, step.dim) or last + 1):
            raise NoLoop("the last step would read past the end")
    for j in block.carried:
        if not isinstance(steps[1][j].meta.get("val"), torch.Tensor):  # type: ignore[union-attr]
            raise NoLoop("a carried value is not a tensor")
    return block


def _analyse_column(
    block: Block, j: int, column: list[fx.Node], place: dict[fx.Node, tuple[int, int]]
) -> None:
    rows = [arguments(n) for n in column]
    if len({len(r) for r in rows}) != 1:
        raise NoLoop("the number of arguments grows")
    for position, values in enumerate(zip(*rows, strict=True)):
        if isinstance(values[0], fx.Node):
            _analyse_value(block, j, position, list(values), place)
        elif len(set(map(repr, values))) > 1:
            _analyse_number(block, j, position, column, list(values))


def _analyse_value(
    block: Block,
    j: int,
    position: int,
    values: list[fx.Node],
    place: dict[fx.Node, tuple[int, int]],
) -> None:
    """Inside the step, the same outside, or what the step before had."""
    places = [place.get(v) for v in values]
    if places[1] is None:
        if any(not _same_value(v, values[0]) for v in values):
            raise NoLoop("a value from outside changes")
        return
    source = places[1][1]
    if all(p == (k, source) for k, p in enumerate(places)):
        return
    if places[0] is not None or any(p != (k, source) for k, p in enumerate(places[1:])):
        raise NoLoop("a value comes from neither this step nor the one before")
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
    block: Block, j: int, position: int, column: list[fx.Node], values: list[Any]
) -> None:
    """An index that grows or falls by the same amount in each step."""
    node = column[0]
    target: Any = node.target
    index_at = {aten.select.int: 2, aten.select_scatter.default: 3}.get(target)
    strides = {b - a for a, b in pairwise(values)}
    if position != index_at or len(strides) != 1:
        raise NoLoop("a number changes from step to step")
    step = Step(node.args[0], node.args[index_at - 1], values[0], strides.pop())  # type: ignore[arg-type]
    (block.inputs if node.target is aten.select.int else block.writes)[j] = step

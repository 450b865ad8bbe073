"""Finds the steps of an unrolled loop: a block of nodes that repeats.

A `GRUCell` loop over 5 steps leaves the tokens s g s g s g s g s g (select, gru_cell): the period
is 2, and both `s g` and `g s` repeat. Which of them is a step, the values decide that are carried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import count
from typing import Any

from torch import fx

from rnnbench.capture.loops.steps import Block, NoLoop, analyse, arguments
from rnnbench.core.repeats import FEWEST_STEPS, find_regions


def _token(node: fx.Node, free: Collection[int] = ()) -> Any:
    """What two nodes have in common that may be the same line of two steps.

    Args:
        node: a call.
        free: the places of arguments that may be anything: in the first step a carried value is
            an input or a parameter.
    """
    place_of_leaf = count()

    def mask(a: Any) -> Any:
        if isinstance(a, list | tuple):
            return tuple(mask(i) for i in a)
        if isinstance(a, dict):
            return tuple((k, mask(a[k])) for k in sorted(a))
        place = next(place_of_leaf)
        if isinstance(a, fx.Node):
            named = a.op in ("get_attr", "placeholder") and place not in free
            return a.name if named else "node"
        # Numbers may grow from step to step; whether they do so evenly is seen later.
        number = isinstance(a, int | float) and not isinstance(a, bool)
        return type(a).__name__ if number else repr(a)

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
    full = length // period * period  # the region may end with a part of a step
    for shift in range(min(period, length - period * (FEWEST_STEPS - 1))):  # where a step begins
        begin = start + shift
        end = begin + (full if shift + full <= length else full - period)
        region = nodes[begin:end]
        steps: list[list[fx.Node | None]] = [
            list(region[i : i + period]) for i in range(0, len(region), period)
        ]
        try:
            # The first and the last step differ from the others, and so are not in the region.
            block = _with_last_step(analyse(steps), nodes[end:])
            block = _with_earlier_steps(block, nodes[:begin])
        except NoLoop:
            continue
        score = (-block.length, len(block.carried), block.steps[-1].count(None))
        if best is None or score < best[0]:
            best = score, block
    return best[1] if best else None


def _with_last_step(block: Block, after: list[fx.Node]) -> Block:
    """A block with one more step, which lacks the nodes whose results nobody needs.

        ... select_4, gru_cell_4, linear_4, select_5, gru_cell_5    (the last output is unused)

    is a step `select_5, gru_cell_5, None` after those of three nodes.
    """
    position = {n: j for j, n in enumerate(block.body)}
    before = block.steps[-1]
    step: list[fx.Node | None] = [None] * len(block.body)
    rest = iter(after)
    node = next(rest, None)
    for j in range(len(block.body)):
        if node is None:
            break
        # A position that the next node cannot be is one that the last step lacks.
        if _like(block, j, node) and _follows(block, j, node, before, step, position):
            step[j] = node
            node = next(rest, None)
    if not any(n is not None and j not in block.inputs for j, n in enumerate(step)):
        return block  # an input that is taken and not used is no step
    try:
        return analyse([*block.steps, step])
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
            block = analyse([list(earlier), *block.steps])
        except NoLoop:
            return block


def _step_before(block: Block, before: list[fx.Node]) -> list[fx.Node] | None:
    """The step before the first of a block, in the order of its body; None: there is none."""
    found = _found_by_uses(block)
    if found is None or not _find_by_arguments(block, before, found):
        return None
    step = [found[j] for j in range(len(block.body))]
    members = set(step)
    return step if len(members) == len(step) and members <= set(before) else None


def _found_by_uses(block: Block) -> dict[int, fx.Node] | None:
    """Position -> the node that gave the first step what it carries on, and what that needed.

    None where a position would be two nodes, or one that is not like it.
    """
    body = block.body
    position = {n: j for j, n in enumerate(body)}
    found: dict[int, fx.Node] = {}
    # Writes are taken up first (last in, first out): they lead to the values that were written.
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
            # What the same step made for it is of that step as well.
            if (j, place) not in block.previous and ours in position:
                waiting.append((position[ours], leaf))
    return found


def _find_by_arguments(block: Block, before: list[fx.Node], found: dict[int, fx.Node]) -> bool:
    """Adds the nodes that nothing carried needed, by what they compute; False: one is missing."""
    position = {n: j for j, n in enumerate(block.body)}
    for j in range(len(block.body)):
        if j in found:
            continue
        known = {position[n]: found.get(position[n]) for n in _inner(block, j)}
        free = [n for n in reversed(before) if n not in found.values()]  # the nearest first
        match = next((n for n in free if _computes(block, j, n, known)), None)
        if match is None:
            return False
        found[j] = match
    return True


def _inner(block: Block, j: int) -> list[fx.Node]:
    """The arguments of a body node that the same step makes."""
    members = set(block.body)
    return [
        leaf
        for place, leaf in enumerate(arguments(block.body[j]))
        if (j, place) not in block.previous and isinstance(leaf, fx.Node) and leaf in members
    ]


def _computes(block: Block, j: int, node: fx.Node, known: dict[int, fx.Node | None]) -> bool:
    """Whether a node computes position `j` from the values that are known of its step."""
    if not _like(block, j, node):
        return False
    position = {n: i for i, n in enumerate(block.body)}
    for place, (ours, leaf) in enumerate(
        zip(arguments(block.body[j]), arguments(node), strict=True)
    ):
        count = block.counts.get((j, place))
        if count is not None and not count.starts_after(leaf):
            return False
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

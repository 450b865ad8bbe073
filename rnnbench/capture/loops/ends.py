"""The first and the last step of a loop, which are unlike the others, by the values they take.

    select, gru_cell | select_1, gru_cell_1 | ... | select_5, gru_cell_5    (its output is unused)

The block between them is known; what comes before and after it is compared with a step of it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from itertools import count
from typing import Any

from torch import fx

from rnnbench.capture.loops.steps import (
    Block,
    NoLoop,
    analyse,
    arguments,
    index_at,
    same_value,
)


def token(node: fx.Node, free: Collection[int] = ()) -> Any:
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
    return bool(token(node, free) == token(block.body[j], free))


def with_last_step(block: Block, after: list[fx.Node]) -> Block:
    """A block with one more step, which lacks the nodes whose results nobody needs.

        ... select_4, gru_cell_4, linear_4, select_5, gru_cell_5    (the last output is unused)

    is a step `select_5, gru_cell_5, None` after those of three nodes.
    """
    free = dict.fromkeys(after)  # in their order
    step: list[fx.Node | None] = [None] * len(block.body)
    for j in range(len(block.body)):
        step[j] = _next(block, j, step, free)
        free.pop(step[j], None)  # type: ignore[arg-type]
    if not any(n is not None and j not in block.inputs for j, n in enumerate(step)):
        return block  # an input that is taken and not used is no step
    try:
        return analyse([*block.steps, step])
    except NoLoop:
        return block


def _next(
    block: Block, j: int, step: list[fx.Node | None], free: dict[fx.Node, None]
) -> fx.Node | None:
    """The node that is position `j` of the step after the last, among those that are free."""
    ours = block.body[j]
    wanted = _arguments_after_the_last(block, j, step)
    if wanted is None:
        return None
    inside = [leaf for leaf in wanted if isinstance(leaf, fx.Node) and leaf.op == "call_function"]
    near = min((list(n.users) for n in inside), key=len, default=None)
    for candidates in (near or (), free):
        for node in candidates:
            if node in free and node.target is ours.target and _are(arguments(node), wanted):
                return node
    return None


def _arguments_after_the_last(block: Block, j: int, step: list[fx.Node | None]) -> list[Any] | None:
    """What position `j` has for arguments one step after the last; None: they are not there."""
    position = {n: i for i, n in enumerate(block.body)}
    given = block.inputs.get(j) or block.writes.get(j)
    wanted: list[Any] = []
    for place, leaf in enumerate(arguments(block.body[j])):
        count = block.counts.get((j, place))
        if (j, place) in block.previous:
            leaf = block.steps[-1][block.previous[j, place]]
        elif isinstance(leaf, fx.Node):
            leaf = step[position[leaf]] if leaf in position else leaf
        elif count is not None:
            leaf = count.first + block.length * count.stride
        elif given is not None and place == index_at(block.body[j]):
            leaf = given.first + block.length * given.stride
        if leaf is None and arguments(block.body[j])[place] is not None:
            return None
        wanted.append(leaf)
    return wanted


def _are(given: list[Any], wanted: list[Any]) -> bool:
    return len(given) == len(wanted) and all(map(_is, given, wanted))


def _is(given: Any, wanted: Any) -> bool:
    if isinstance(given, fx.Node) or isinstance(wanted, fx.Node):
        both = isinstance(given, fx.Node) and isinstance(wanted, fx.Node)
        return both and same_value(given, wanted)
    if type(given) is float and type(wanted) is float:  # counts are known up to their rounding
        return math.isclose(given, wanted, rel_tol=1e-9)
    return type(given) is type(wanted) and bool(given == wanted)


def with_earlier_steps(block: Block, before: list[fx.Node]) -> Block:
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

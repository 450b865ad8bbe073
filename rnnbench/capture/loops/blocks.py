"""Finds the steps of an unrolled loop: a block of nodes that repeats.

A `GRUCell` loop over 5 steps leaves the tokens s g s g s g s g s g (select, gru_cell): the period
is 2, and both `s g` and `g s` repeat. Which of them is a step, the values decide that are carried.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import fx

from rnnbench.capture.graph_edit import new_node
from rnnbench.capture.loops.delays import analyse_with_delays
from rnnbench.capture.loops.ends import token, with_earlier_steps, with_last_step
from rnnbench.capture.loops.steps import Block, NoLoop, analyse
from rnnbench.core.repeats import FEWEST_STEPS, find_regions

_FEW_PLACES = 8


def find_blocks(graph: fx.Graph) -> Iterator[Block]:
    """The unrolled loops in a graph, those that cover most nodes first."""
    nodes = [n for n in graph.nodes if n.op == "call_function"]
    for length, period, start in find_regions([token(n) for n in nodes]):
        block = _best_rotation(nodes, start, length, period)
        if block is not None and _stands_alone(nodes, block):
            yield _with_parts(graph, block)


def _with_parts(graph: fx.Graph, block: Block) -> Block:
    """A block in which each step takes all the parts of a tuple that the graph around it reads.

    Of a cell state that is read after the last step alone:

        lstm_cell_3 = lstm_cell(...)            lstm_cell_3 = lstm_cell(...)
        h_3 = lstm_cell_3[0]               ->   h_3, c_3 = lstm_cell_3[0], lstm_cell_3[1]
        lstm_cell_4 = lstm_cell(...)            lstm_cell_4 = lstm_cell(...)
        h_4, c_4 = ...                          h_4, c_4 = ...
    """
    members = {n for step in block.steps for n in step if n is not None}
    wanted = dict.fromkeys(
        (j, user.args[1])
        for step in block.steps
        for j, node in enumerate(step)
        for user in (node.users if node is not None else ())
        if user not in members and user.target is operator.getitem and user.args[0] is node
    )
    if not wanted:
        return block
    steps = [list(step) for step in block.steps]
    for j, part in wanted:
        for step in steps:
            whole = step[j]
            step.append(whole and _part(graph, whole, part))
    return analyse(steps)


def _part(graph: fx.Graph, whole: fx.Node, index: Any) -> fx.Node:
    """`whole[index]`: the node that there is, moved behind `whole`, or a new one."""
    for user in whole.users:
        if user.target is operator.getitem and user.args[1] == index:
            whole.append(user)
            return user
    return new_node(graph, whole.next, operator.getitem, whole, index)


def _stands_alone(nodes: list[fx.Node], block: Block) -> bool:
    """Whether no step needs a value from outside that was made of the steps' own."""
    members = {n for step in block.steps for n in step if n is not None}
    made: set[fx.Node] = set()
    for node in nodes:
        if node in members:
            if any(n in made for n in node.all_input_nodes):
                return False
        elif any(n in members or n in made for n in node.all_input_nodes):
            made.add(node)
    return True


def _best_rotation(nodes: list[fx.Node], start: int, length: int, period: int) -> Block | None:
    """The block with most steps, which begin where fewest values have to be carried over."""
    best: tuple[tuple[int, int, int], Block] | None = None
    full = length // period * period  # the region may end with a part of a step
    for shift in _shifts(nodes, start, length, period):  # where a step begins
        begin = start + shift
        end = begin + (full if shift + full <= length else full - period)
        block = _without_odd_ends(nodes, begin, end, period)
        if block is None:
            continue
        score = (-block.length, len(block.carried), block.steps[-1].count(None))
        if best is None or score < best[0]:
            best = score, block
    return best[1] if best else None


def _shifts(nodes: list[fx.Node], start: int, length: int, period: int) -> list[int]:
    """Where in a period a step may begin; of many places, those where fewest values pass over.

    A step of a loop begins where nothing lives but what is handed on.
    """
    possible = min(period, length - period * (FEWEST_STEPS - 1))
    if period <= _FEW_PLACES:
        return list(range(possible))
    middle = start + length // period // 2 * period
    place = {n: i for i, n in enumerate(nodes[middle - period : middle + 2 * period])}
    alive = np.zeros(period + 1, dtype=np.int64)  # changes of the number of values, at each place
    for node, i in place.items():
        last = max((place[user] for user in node.users if user in place), default=i)
        # It is alive at the places after it, up to its last user.
        first, end = max(i + 1 - period, 0), min(last - period, period - 1)
        if first <= end:
            alive[first] += 1
            alive[end + 1] -= 1
    passing = np.cumsum(alive[:-1])[:possible]
    return [int(i) for i in np.argsort(passing, kind="stable")[:_FEW_PLACES]]


def _without_odd_ends(nodes: list[fx.Node], begin: int, end: int, period: int) -> Block | None:
    """The block between two places, without its first or last step where that is none.

    Nodes of other steps can look like those of a step: `unsqueeze(h, 0)` after the last one does
    like the `unsqueeze(h, 1)` in each.
    """
    for first, last in ((0, 0), (0, 1), (1, 0), (1, 1)):
        low, high = begin + first * period, end - last * period
        if high - low < FEWEST_STEPS * period:
            continue
        steps: list[list[fx.Node | None]] = [
            list(nodes[i : i + period]) for i in range(low, high, period)
        ]
        try:
            # The first and the last step differ from the others, and so are not in the region.
            block = with_last_step(analyse_with_delays(steps), nodes[high:])
            return with_earlier_steps(block, nodes[:low])
        except NoLoop:
            continue
    return None

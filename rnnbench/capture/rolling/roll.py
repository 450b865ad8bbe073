"""A Python loop over time, unrolled in a trace, becomes one scan, or fused layers where it can.

A loop is found by comparing two traces at different lengths: a block of nodes that repeats once per
step in each, and more often in the longer one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from torch import fx

from rnnbench.capture.loops.blocks import find_blocks
from rnnbench.capture.loops.canonical import canonicalise, give_each_user_its_own
from rnnbench.capture.loops.joining import join_steps
from rnnbench.capture.loops.layers import layers_of_one_step
from rnnbench.capture.loops.steps import Block, count_what_varies
from rnnbench.capture.rolling.emitter import Emitter, Rolled


def roll_loops(
    shorter: fx.GraphModule,
    longer: fx.GraphModule,
    lengths: Sequence[tuple[int, int]],
    *,
    keep_loops: bool,
) -> list[Rolled]:
    """Rolls every loop whose number of steps differs between two traces, in both of them.

    One at a time, the one that covers most nodes first; then the graphs are looked through again.

    Args:
        shorter: a trace of the module; rewritten in place.
        longer: a trace of the same module at greater lengths; rewritten in place.
        lengths: of each dimension that differs, its size in both traces.
        keep_loops: leave a scan where a fused layer could stand.
    """
    found: list[Rolled] = []
    for module in (shorter, longer):
        layers_of_one_step(module.graph)
        _tidy(module.graph)
    while True:
        pair = _matching(shorter.graph, longer.graph)
        if pair is None:
            break
        count_what_varies(*pair)
        # `for t in range(1, len(x))` has no step for an input of one; a scan may not have none.
        may_be_empty = _fewest_steps(pair, lengths) < 1
        for module, block in zip((shorter, longer), pair, strict=True):
            rolled = Emitter(module, block, len(found), keep_loops, may_be_empty).emit()
            join_steps(module.graph)
            _tidy(module.graph)
        found.append(rolled)
    for module in (shorter, longer):
        module.recompile()
    return found


def _tidy(graph: fx.Graph) -> None:
    canonicalise(graph)
    join_steps(graph)
    give_each_user_its_own(graph)


def _fewest_steps(pair: tuple[Block, Block], lengths: Sequence[tuple[int, int]]) -> float:
    """How many steps a loop has where the dimension that it runs over is 1.

    That is the dimension of which each unit is one step; where there is none, the one that grows
    fastest in steps.
    """
    steps, more = (block.length for block in pair)
    # Steps per unit of the dimension, and its size in the shorter trace.
    slopes = [((more - steps) / (b - a), a) for a, b in lengths if a != b]
    slope, size = next((s for s in slopes if s[0] == 1), max(slopes))
    return steps - slope * (size - 1)


def _matching(shorter: fx.Graph, longer: fx.Graph) -> tuple[Block, Block] | None:
    """The largest block of one trace that the other has with another number of steps."""
    candidates: list[Block] = []
    more = find_blocks(longer)  # as many as are needed: each takes a while
    for block in find_blocks(shorter):
        body = [str(n.target) for n in block.body]
        for other in chain(candidates, _kept(more, candidates)):
            if other.length != block.length and [str(n.target) for n in other.body] == body:
                return block, other
    return None


def _kept(blocks: Iterator[Block], seen: list[Block]) -> Iterator[Block]:
    for block in blocks:
        seen.append(block)
        yield block

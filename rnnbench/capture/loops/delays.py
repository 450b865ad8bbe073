"""A value from further back than the last step is handed on from step to step.

h_k = tanh(x_k + h_{k-3})      h1_k = h_{k-1}
->  h2_k = h1_{k-1}
h_k = tanh(x_k + h2_{k-1})
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rnnbench.capture.loops.steps import Block, Delayed, NoLoop, analyse, arguments, map_leaves

Steps = list[list[fx.Node | None]]
_HANDED_ON = torch.ops.aten.alias.default


def analyse_with_delays(steps: Steps) -> Block:
    """The loop that steps are, as `analyse` finds it; they get nodes that hand values on.

    Raises:
        NoLoop: they are none; the graph is as it was.
    """
    try:
        return analyse(steps)
    except Delayed as delayed:
        with_delay, undo = _hand_on(steps, delayed)
        try:
            return analyse_with_delays(with_delay)
        except NoLoop:
            undo()
            raise


def _hand_on(steps: Steps, delayed: Delayed) -> tuple[Steps, Any]:
    """Each step with a node more for each step that a value is behind, which its reader reads.

    Returns:
        The steps, and what takes the nodes out again.
    """
    graph = delayed.first[0].graph
    order = {node: i for i, node in enumerate(graph.nodes)}
    source: list[Any] = [step[delayed.source] for step in steps]
    readers = [step[delayed.reader] for step in steps]
    if None in source[:-1] or None in readers:
        raise NoLoop("a delayed value is not in every step")
    changed: list[list[Any]] = []
    held: list[fx.Node] = []  # in the step before, the value of 1, 2 ... steps ago
    for k, step in enumerate(steps):
        last = max((n for n in step if n is not None), key=order.__getitem__)
        # Of the first step, what its reader and those of the next steps read from outside.
        before = [source[k - 1], *held[:-1]] if k else list(delayed.first[:0:-1])
        if any(order.get(n, -1) > order[last] for n in before):
            raise NoLoop("a first value is made after the first step")
        made: list[fx.Node] = []
        for value in before:
            with graph.inserting_after(made[-1] if made else last):
                made.append(graph.call_function(_HANDED_ON, (value,)))
            made[-1].meta = {k: v for k, v in value.meta.items() if k in ("val", "stack_trace")}
        if k:
            _read(readers[k], delayed.place, held[-1])
        changed.append([*step, *made])
        held = made

    def undo() -> None:
        for k, reader in enumerate(readers):
            value = delayed.first[k] if k < delayed.steps else source[k - delayed.steps]
            _read(reader, delayed.place, value)
        for node in reversed([n for step in changed for n in step[len(steps[0]) :]]):
            graph.erase_node(node)

    return changed, undo


def _read(reader: Any, place: int, value: Any) -> None:
    """Sets the argument at a place."""
    places = iter(range(len(arguments(reader))))

    def change(leaf: Any) -> Any:
        return value if next(places) == place else leaf

    reader.args = map_leaves(reader.args, change)
    reader.kwargs = map_leaves(dict(reader.kwargs), change)

"""The values of all steps of a loop, each written into the graph once, when it is asked for."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import fx

from rnnbench.capture.graph_edit import size_at
from rnnbench.capture.loops.counting import Count, count_steps
from rnnbench.capture.loops.steps import Block, Step, written_value
from rnnbench.capture.operators.rolled import per_step, shifted, written
from rnnbench.core.errors import RnnbenchError


class Stacks:
    """(time, ...) values, by their position in the body.

    Attributes:
        stacked: position -> its values in all steps.
        final: position -> its value after the last step.
        end: the node before which everything is written.
    """

    def __init__(self, graph: fx.Graph, block: Block, end: fx.Node) -> None:
        self.graph = graph
        self.block = block
        self.end = end
        self.stacked: dict[int, fx.Node] = {}
        self.final: dict[int, fx.Node] = {}
        self._counts: dict[Count, fx.Node] = {}

    def all_steps(self, j: int) -> fx.Node:
        """The values at a position of the body in all steps, stacked."""
        if j not in self.stacked:
            step = self.block.inputs.get(j)
            if step is None:
                raise RnnbenchError(
                    "a loop takes a number out of a tensor in each step: keep it a tensor"
                )
            with self.graph.inserting_before(self.end):
                # [batch, time, input] -> [time, batch, input], the steps in the loop's order
                self.stacked[j] = self.graph.call_function(
                    per_step, (step.source, step.dim, *self._range(step), step.stride)
                )
        return self.stacked[j]

    def step_before(self, j: int) -> fx.Node:
        """The values of the step before, in all steps; the first has what comes into the loop."""
        # [batch, ...] and [time, batch, ...] -> [time, batch, ...]
        with self.graph.inserting_before(self.end):
            return self.graph.call_function(shifted, (self.block.carried[j], self.all_steps(j)))

    def count(self, count: Count) -> fx.Node:
        """(time,) the number of each step."""
        if count not in self._counts:
            values = (node.meta.get("val") for node in self.block.body)
            device = next(v.device for v in values if isinstance(v, torch.Tensor))
            with self.graph.inserting_before(self.end):
                self._counts[count] = self.graph.call_function(
                    count_steps, (count.first, count.stride, self.block.length, device)
                )
        return self._counts[count]

    def counter(self) -> fx.Node:
        """Something to scan over, where a loop has no input per step."""
        return self.count(Count(0, 1))

    def written(self, j: int) -> fx.Node:
        """The tensor that a loop fills step by step, after the last step."""
        if j not in self.final:
            step = self.block.writes[j]
            into = self.block.carried[j]
            position, before = written_value(self.block, j)
            # [time, batch, ...]
            values = self.step_before(position) if before else self.all_steps(position)
            with self.graph.inserting_before(self.end):
                self.final[j] = self.graph.call_function(
                    written, (into, values, step.dim, *self._range_in(into, step), step.stride)
                )
            self.final[j].meta["val"] = into.meta.get("val")
        return self.final[j]

    def _range(self, step: Step) -> tuple[int, int | None]:
        """The lowest index and the end; an end of None is that of the tensor.

        The end of every other step is as far as another one could not begin:
        `range(0, T - 1, 2)` ends at T - 1 for odd and even T.
        """
        size = size_at(step.source, step.dim)
        if step.stride < -1 and size is not None:  # counted from the end: which is lowest depends
            step = replace(step, first=size - 1 - step.first, stride=-step.stride)
        last = step.first + step.stride * (self.block.length - 1)
        low, high = min(step.first, last), max(step.first, last) + abs(step.stride)
        return low, None if size is not None and high >= size else high

    def _range_in(self, into: fx.Node, step: Step) -> tuple[int, int | None]:
        return self._range(replace(step, source=into))

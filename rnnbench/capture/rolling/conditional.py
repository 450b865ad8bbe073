"""A rolled loop over a given number of steps becomes one that runs as long as data say.

    steps = placeholder rnnbench_steps              n = max(lengths)
    size = sym_size(steps, 0)                       xs = per_step(x, 1, 0, None, 1)
    xs = per_step(x, 1, 0, size, 1)             ->  out = run_until(body, [h0], [xs], [], ..., n)
    out = run_scan(body, [h0], [xs], [])            dimension = as_dimension(n)
    ys = out[1]                                     ys = first_steps(out[2], size(dimension))
    return ys, max(lengths)                         return ys

and where the loop itself asks in each step, `n` is what `run_until` gives first.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import Any

import torch
from torch import fx

from rnnbench.capture.loops.counting import count_steps
from rnnbench.capture.operators.rolled import per_step, run_scan, run_scan_or_nothing
from rnnbench.capture.operators.until import (
    as_dimension,
    first_steps,
    least,
    one_more,
    run_until,
)
from rnnbench.core.errors import RnnbenchError

aten = torch.ops.aten
_ENDING, _MOST = 4, 6  # their places among the arguments of `run_until`
_SCANS = (run_scan, run_scan_or_nothing)


class NoEnd(RnnbenchError):  # noqa: N818  (an answer, as NoLoop is)
    """The loop that asks is not found, or its steps need more than is known before them."""


def make_conditional(
    rolled: fx.GraphModule, ends: bool, going: bool, max_steps: int | None
) -> fx.GraphModule:
    """A graph whose loops run as long as data say, where they ran over the further input.

    Args:
        rolled: a graph; its last placeholder is the further input, its last output what was
            asked: [steps] truths, or the number of steps [].
        ends: the loop asks in each step.
        going: the truth on which it goes on.
        max_steps: how many steps there are at most.

    Returns:
        A graph of its own, with the modules of the given one.

    Raises:
        NoEnd: that cannot be done.
    """
    module = fx.GraphModule(rolled, copied(rolled.graph))
    _Conditional(module, max_steps).run(ends, going)
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()
    return module


def without_end(module: fx.GraphModule, steps: int | None = None) -> fx.GraphModule:
    """The graph, with loops that ask for nothing.

    Args:
        module: what `make_conditional` gave, where a loop asks in each step.
        steps: how many it has; None: as many as there may be.
    """
    graph = copied(module.graph)
    for node in graph.find_nodes(op="call_function", target=run_until):
        arguments: list[Any] = list(node.args)
        if arguments[_ENDING][0] is None:  # one that follows, as long as the first
            continue
        arguments[_ENDING] = None, False
        arguments[_MOST] = arguments[_MOST] if steps is None else steps
        node.args = tuple(arguments)
    return fx.GraphModule(module, graph)


def copied(graph: fx.Graph) -> fx.Graph:
    """The same nodes with their values."""
    copy = fx.Graph()
    copy.output(copy.graph_copy(graph, {}))
    return copy


class _Conditional:
    def __init__(self, module: fx.GraphModule, max_steps: int | None) -> None:
        self._module, self._graph = module, module.graph
        *_, self._steps = module.graph.find_nodes(op="placeholder")
        self._output = module.graph.output_node()
        self._max_steps = max_steps
        self._longest: Any = max_steps

    def run(self, ends: bool, going: bool) -> None:
        given: Any = self._output.args[0]
        *results, asked = given
        for node in _behind(self._steps):
            _take_from_the_whole(node)
        self._output.args = (tuple(results),)
        number: fx.Node = asked
        begins = None
        if ends:
            loop, which, begins = _loop_that_asks(asked)
            out = self._until(loop, (which, going), begins, None)
            with self._graph.inserting_after(out):
                number = self._graph.call_function(operator.getitem, (out, 0))
        more = int(ends and begins is not None)
        with self._graph.inserting_after(number):
            dimension = self._graph.call_function(as_dimension, (number, more))
        self._steps.replace_all_uses_with(dimension)
        self._graph.erase_node(self._steps)
        _in_order(self._graph)
        for node in list(self._graph.nodes):
            if node.target in _SCANS and node in _behind(dimension):
                self._until(node, (None, False), None, dimension)
        for node in _behind(dimension):
            if node.target in (per_step, aten.slice.Tensor):
                self._narrow(node)

    def _until(
        self, loop: fx.Node, ending: tuple[int | None, bool], begins: Any, dimension: fx.Node | None
    ) -> fx.Node:
        """Writes a loop anew; what reads its values reads the first steps of them."""
        arguments: Any = loop.args
        step, first, xs, extras = arguments
        behind = _behind(self._steps if dimension is None else dimension)
        call = self._graph.call_function
        with self._graph.inserting_before(loop):
            lengths = [self._room(x) for x in xs if x in behind]
            sizes = [size for size in lengths if size is not None]
            if sizes or self._longest is None:
                if not sizes:
                    raise NoEnd("how many steps a loop has at most is not known: declare max_steps")
                known = [] if self._max_steps is None else [self._max_steps]
                self._longest = call(least, (*sizes, *known))
            empty = loop.target is run_scan_or_nothing
            given = [self._input(x, x in behind, dimension, empty) for x in xs]
            most = self._longest if dimension is None else self._number(xs, behind)
            out = call(
                run_until,
                (step, first, given, extras, ending, begins, most, self._longest),
            )
        out.meta = dict(loop.meta)
        carried = len(first)
        for part in list(loop.users):
            index: Any = part.args[1]
            with self._graph.inserting_before(part):
                value = call(operator.getitem, (out, index + 1))
                if index >= carried:
                    steps = self._number(xs, behind)
                    value = call(first_steps, (value, steps))
                    before = self._before_the_first(step, first, index - carried)
                    if before is not None:
                        self._from_the_one_before(part, before, value)
            part.replace_all_uses_with(value)
            self._graph.erase_node(part)
        self._graph.erase_node(loop)
        return out

    def _before_the_first(self, step: fx.Node, first: Any, value: int) -> fx.Node | None:
        """What comes into the loop in the place of a value that is handed on; None: it is not."""
        body: Any = getattr(self._module, str(step.target))
        after, values = body.graph.output_node().args[0]
        where = [i for i, node in enumerate(after) if node is values[value]]
        return first[where[0]] if where else None

    def _from_the_one_before(self, part: fx.Node, before: fx.Node, value: fx.Node) -> None:
        """One of the values of all steps, which may be that of before the first.

        select(ys, 0, size - 2)  ->  select(cat([unsqueeze(h0, 0), ys]), 0, size - 2 + 1)
        """
        call = self._graph.call_function
        for node in list(part.users):
            if node.target is not aten.select.int or not isinstance(node.args[2], fx.Node):
                continue
            with self._graph.inserting_before(node):
                own = call(aten.unsqueeze.default, (before, 0))
                every = call(aten.cat.default, ([own, value], 0))
                number = call(operator.add, (node.args[2], 1))
                chosen = call(aten.select.int, (every, node.args[1], number))
            chosen.meta = dict(node.meta)
            node.replace_all_uses_with(chosen)
            self._graph.erase_node(node)

    def _room(self, x: Any) -> Any:
        """How many steps there are in what a per-step input is taken from; None: no end."""
        if not _taken(x):
            return None
        with_steps, dim, start, *_ = _arguments(x)
        size = self._graph.call_function(aten.sym_size.int, (with_steps, dim))
        return self._graph.call_function(operator.sub, (size, start)) if start else size

    def _input(self, x: Any, grows: bool, dimension: fx.Node | None, empty: bool) -> Any:
        """A per-step input of as many steps as there may be."""
        call = self._graph.call_function
        if grows and _taken(x):
            source, dim, start, *_ = _arguments(x)
            x = call(per_step, (source, dim, start, None, 1))
        elif grows and x.target is count_steps:
            x = call(count_steps, (*x.args[:2], self._longest, x.args[3]))
        elif grows and dimension is None:
            raise NoEnd("what the loop reads in a step is known at its end alone")
        return call(one_more, (x,)) if empty else x

    def _number(self, xs: Any, behind: Collection[fx.Node]) -> Any:
        """How many steps a loop has, by the size of the dimension."""
        call = self._graph.call_function
        for x in xs:
            if x not in behind:
                continue
            if _taken(x):
                _, _, start, stop, _ = _arguments(x)
                return call(operator.sub, (stop, start)) if start else stop
            if x.target is count_steps:
                return x.args[2]
            return call(aten.sym_size.int, (x, 0))
        raise NoEnd("no input of a step is as long as the loop")

    def _narrow(self, node: fx.Node) -> None:
        """A part whose end is a number in a tensor is taken by its length."""
        if node.target is per_step:
            source, dim, start, stop, stride = _arguments(node)
        else:
            source, dim, start, stop, stride = *_arguments(node), 1
        if not isinstance(stop, fx.Node) or abs(stride) != 1 or start is None:
            return
        call = self._graph.call_function
        with self._graph.inserting_before(node):
            length = call(operator.sub, (stop, start)) if start else stop
            part = call(first_steps, (source, length, start, dim))
            if node.target is per_step:
                part = call(per_step, (part, dim, 0, None, stride))
        part.meta = dict(node.meta)
        node.replace_all_uses_with(part)
        self._graph.erase_node(node)


def _take_from_the_whole(node: fx.Node) -> None:
    """per_step(slice(x, 1, 0, size), 1, 0, None, 1)  ->  per_step(x, 1, 0, size, 1)"""
    if node.target is not per_step:
        return
    part, dim, start, stop, stride = _arguments(node)
    if part.target is aten.slice.Tensor and stop is None and stride == 1:
        whole, along, first, end = _arguments(part)[:4]
        if along == dim and first == 0 and len(part.args) == 4:
            node.args = whole, dim, start, end, stride


def _arguments(node: fx.Node) -> tuple[Any, ...]:
    return node.args


def _taken(x: Any) -> bool:
    """Whether it is the first steps of something, as many as the loop has."""
    return x.target is per_step and isinstance(x.args[3], fx.Node) and x.args[4] == 1


def _loop_that_asks(asked: Any) -> tuple[fx.Node, int, fx.Node | None]:
    """The loop, which of its values it asks for, and what it asks before its first step.

    cat([unsqueeze(begins, 0), out[3]])  or  out[3]
    """
    begins = None
    node = asked
    while node.target is not operator.getitem:
        if node.target is aten.cat.default and len(node.args[0]) == 2:
            begins, node = node.args[0]
        elif len(node.all_input_nodes) == 1:
            (node,) = node.all_input_nodes
        else:
            raise NoEnd("what the loop asks in each step is not found")
    loop, index = node.args
    if loop.target is not run_scan or index < len(loop.args[1]):
        raise NoEnd("what the loop asks in each step is not found")
    return loop, index - len(loop.args[1]), begins


def _behind(node: fx.Node) -> set[fx.Node]:
    """A node and all that is computed from it."""
    found, left = {node}, [node]
    while left:
        for user in left.pop().users:
            if user not in found:
                found.add(user)
                left.append(user)
    return found


def _in_order(graph: fx.Graph) -> None:
    """Moves each node behind what it reads."""
    seen: set[fx.Node] = set()
    waiting = list(graph.nodes)
    while waiting:
        ready = [n for n in waiting if all(i in seen for i in n.all_input_nodes)]
        assert ready, "a graph has no circles"
        seen.update(ready)
        waiting = [n for n in waiting if n not in seen]
        for node in ready:
            if node.op != "output":
                graph.output_node().prepend(node)

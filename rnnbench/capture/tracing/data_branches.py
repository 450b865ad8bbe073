"""An `if` on a tensor whose two ways give the same shapes: both are run, and one is taken.

    if mask.any():                  any_1 = any(mask)
        y = y.masked_fill(mask, 0)  masked_fill = masked_fill(y, mask, 0)
    return y                    ->  where = where(any_1, masked_fill, y)

A trace knows no values, so it is told which way to go: the module is traced once for each way, and
the graphs are put together. What they have in common stands there once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from rnnbench.capture.graph_edit import shape_of
from rnnbench.capture.source_lines import source_line
from rnnbench.capture.tracing.steps_run import Counting
from rnnbench.core.errors import RnnbenchError

aten = torch.ops.aten

FEW, MANY = 3, 5  # questions: each doubles what is run
_RANDOM = ("rand", "dropout", "bernoulli", "normal", "multinomial")


class Answers:
    """What a trace is told where the module asks for the truth of a tensor.

    Args:
        given: the answers, in the order of the questions; those after them are answered by True.
        counting: how to answer a loop that runs as long as data say.
        steps: how many steps it is to run.
        rows: whether a list of the numbers in a tensor is walked row by row.
        most: how many questions are answered.

    Attributes:
        asked: the tensors, in order.
        ends: the truths that a loop asked for in its steps.
        numbers: the numbers that were asked for.
    """

    def __init__(
        self,
        given: Sequence[bool] = (),
        counting: Counting | None = None,
        steps: int = 0,
        *,
        rows: bool = False,
        most: int = FEW,
    ) -> None:
        self.given = tuple(given)
        self.most = most
        self.rows = rows
        self.counting = counting
        self.steps = steps
        self.asked: list[Tensor] = []
        self.ends: list[Tensor] = []
        self.numbers: list[Tensor] = []

    def anew(self) -> Answers:
        """The same answers, for another trace."""
        return Answers(self.given, self.counting, self.steps, rows=self.rows, most=self.most)

    def answer(self, question: Tensor) -> bool | None:
        """The answer to a question; None where there are too many, as in each step of a loop."""
        if self.counting is not None and self.counting.ends:
            if len(self.ends) == self.steps:
                return None
            self.ends.append(_truth(question))
            return self.counting.going == (len(self.ends) < self.steps)
        if len(self.asked) == self.most:
            return None
        self.asked.append(question)
        place = len(self.asked) - 1
        return self.given[place] if place < len(self.given) else True

    def number(self, question: Tensor) -> int | None:
        """The number of steps, where one is asked for; None where it is to be that of the data."""
        if self.counting is None or self.counting.ends:
            return None
        self.numbers.append(question.reshape(()))
        return self.steps

    def predicates(self) -> tuple[Tensor, ...]:
        """The questions as truths: [] each; of a loop that asks, [steps], or the number []."""
        if self.counting is None:
            return tuple(map(_truth, self.asked))
        return (torch.stack(self.ends),) if self.ends else tuple(self.numbers)


def _truth(question: Tensor) -> Tensor:
    scalar = question.reshape(())  # [1] -> []
    return scalar if scalar.dtype is torch.bool else scalar != 0


Way = tuple[fx.GraphModule, int]
"""A graph whose last outputs are the predicates of the questions that it asked, and how many."""


class NoWay(Exception):  # noqa: N818  (an answer, not an error)
    """The module itself raises on this way, as after `if (lengths < 1).any()`.

    Attributes:
        error: what it raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def merge_ways(
    first: Way,
    answers: tuple[bool, ...],
    trace: Callable[[tuple[bool, ...]], Way],
    name: str,
) -> fx.GraphModule:
    """One graph for all the ways through a module.

    Args:
        first: a way, which becomes the graph of all.
        answers: those that it was given.
        trace: traces the module with given answers; raises NoWay where the module raises.
        name: of the model, for errors.

    Returns:
        A graph that gives the module's outputs; its nodes have no values, so that it is to be
        traced again.

    Raises:
        RnnbenchError: two ways give different shapes.
    """
    graph, asked = first
    merger = _Merger(graph, trace, name)
    own: Any = graph.graph.output_node().args[0]
    outputs = merger.outputs((), answers, asked, list(own))
    graph.graph.output_node().args = (tuple(outputs),)
    graph.graph.eliminate_dead_code()
    graph.graph.lint()
    graph.recompile()
    return graph


class _Merger:
    """Copies the graphs of other ways into that of the first."""

    def __init__(
        self, first: fx.GraphModule, trace: Callable[[tuple[bool, ...]], Way], name: str
    ) -> None:
        self._module = first
        self._graph = first.graph
        self._trace = trace
        self._name = name
        self._ways = 0

    def outputs(
        self,
        answers: tuple[bool, ...],
        taken: tuple[bool, ...],
        asked: int,
        values: list[fx.Node],
    ) -> list[fx.Node]:
        """The module's outputs, where so much is answered.

        Args:
            answers: so far.
            taken: the answers of the way that `values` are of; those after them are True.
            asked: how many questions it asked.
            values: its outputs in the merged graph, predicates last.
        """
        results = values[: len(values) - asked]
        place = len(answers)
        if asked == place:
            return results
        predicate = values[len(results) + place]
        own = taken[place] if place < len(taken) else True
        ours = self.outputs((*answers, own), taken, asked, values)
        given = (*answers, not own)
        try:
            other, other_asked = self._trace(given)
        except NoWay:
            return ours
        theirs = self.outputs(given, given, other_asked, self._copy(other))
        pairs = zip(ours, theirs, strict=True)
        return [self._choose(predicate, *((a, b) if own else (b, a))) for a, b in pairs]

    def _choose(self, predicate: fx.Node, yes: fx.Node, no: fx.Node) -> fx.Node:
        if yes is no:
            return yes
        ours, theirs = yes.meta.get("val"), no.meta.get("val")
        alike = (
            isinstance(ours, Tensor)
            and isinstance(theirs, Tensor)
            and ours.dtype == theirs.dtype
            and list(map(_traced, ours.shape)) == list(map(_traced, theirs.shape))
        )
        if not alike:
            place = source_line(predicate)
            raise RnnbenchError(
                f"model {self._name!r}: the two ways of an `if` on data"
                f"{' at ' + place if place else ''} give {_described(yes)} and {_described(no)}: "
                "let both give tensors of the same shape"
            )
        with self._graph.inserting_before(self._graph.output_node()):
            node = self._graph.call_function(aten.where.self, (predicate, yes, no))
        node.meta = dict(yes.meta)
        return node

    def _copy(self, other: fx.GraphModule) -> list[fx.Node]:
        """Copies a way's graph in front of the output; returns its outputs there."""
        self._ways += 1
        ours = list(self._graph.find_nodes(op="placeholder"))
        theirs = list(other.graph.find_nodes(op="placeholder"))
        values: dict[fx.Node, fx.Node] = dict(zip(theirs, ours, strict=True))
        with self._graph.inserting_before(self._graph.output_node()):
            for node in other.graph.nodes:
                if node.op == "get_attr":
                    # `get_attr` would warn of a constant, which is neither buffer nor parameter.
                    path = self._attribute(other, str(node.target))
                    values[node] = self._graph.create_node("get_attr", path)
                    values[node].meta = dict(node.meta)
                elif node.op not in ("placeholder", "output"):
                    values[node] = self._graph.node_copy(node, values.__getitem__)
        results: Any = other.graph.output_node().args[0]
        return [values[node] for node in results]

    def _attribute(self, other: fx.GraphModule, path: str) -> str:
        """The name under which an attribute of another way's graph is here."""
        value = _get(other, path)
        here = _get(self._module, path)
        if here is value or (
            isinstance(here, Tensor)
            and isinstance(value, Tensor)
            and here.dtype == value.dtype
            and here.shape == value.shape
            and (here.data_ptr() == value.data_ptr() or torch.equal(here, value))
        ):
            return path
        name = f"way_{self._ways}_{path.replace('.', '_')}"
        if isinstance(value, torch.nn.Module):
            self._module.add_submodule(name, value)
        else:
            self._module.register_buffer(name, value)
        return name


def _traced(size: Any) -> int | str:
    """The size in the trace: the same one may be another symbol on another way.

    Of a number in a tensor it is the symbol, which is one where it was made in the same way.
    """
    if not isinstance(size, torch.SymInt):
        return int(size)
    return str(size) if size.node.hint is None else int(size.node.hint)


def _get(module: torch.nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part, None)
    return value


def _described(node: fx.Node) -> str:
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"{str(value.dtype).removeprefix('torch.')}{[_traced(s) for s in shape_of(node) or ()]}"


def share(graph: fx.Graph) -> None:
    """What is computed twice in the same way is computed once; sizes that are one are one node.

    linear = linear(x, w)
    linear_1 = linear(x, w)
    tanh = tanh(linear_1)    ->  tanh = tanh(linear)
    """
    known: dict[Any, fx.Node] = {}
    for node in list(graph.nodes):
        if node.op not in ("call_function", "get_attr"):
            continue
        if any(word in str(node.target) for word in _RANDOM):
            continue
        value = node.meta.get("val")
        key: Any = (node.op, str(node.target), str(node.args), str(node.kwargs))
        if isinstance(value, torch.SymInt):
            key = str(value)
        if key in known:
            node.replace_all_uses_with(known[key])
            graph.erase_node(node)
        else:
            known[key] = node

"""A Loop as converters of TensorFlow write it, in plainer words.

Weights and sizes are handed from step to step although no step changes them, the steps are counted
a second time, and the condition to go on says again how many there are:

    Loop(n, 0 < n, (0, h0, W)): (i, go, k, h, W) -> (k + 1 < n, k + 1, cell(x[k], h, W), W)

becomes, to who looks at the body, W by its name outside, i for k, and a condition that is true.
"""

from __future__ import annotations

from typing import Any

from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.graph import Graph, is_standard

_HANDS_ON = ("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape")
_DEEPEST = 16
_COUNTER, _CONDITION, _STATES = 0, 1, 2  # the places of a Loop's inputs, and its body's


def settled(graph: Graph, node: Any, proto: Any) -> Any:
    """A copy of a Loop's body without what is handed on unchanged, and with one counter.

    What is handed on unchanged is read by its name outside; a state that begins at 0 and grows by
    one is the counter. Their places among the body's inputs and outputs stay.

    Args:
        graph: around the loop.
        node: the Loop.
        proto: its body.
    """
    made = type(proto)()
    made.CopyFrom(proto)
    makers = {o: n for n in made.node for o in n.output if o}
    tensors = {t.name: t for t in made.initializer}
    other: dict[str, str] = {}
    for i, first in enumerate(node.input[_STATES:]):
        inside, following = made.input[_STATES + i].name, made.output[1 + i].name
        if first and _behind(makers, following) == inside:
            other[inside] = first
        elif graph.numbers(first) == [0] and _grows(makers, tensors, graph, following, inside):
            other[inside] = made.input[_COUNTER].name
    _rename(made, other)
    return made


def _rename(graph: Any, other: dict[str, str]) -> None:
    """Other names for what the nodes of a graph, and of the graphs in it, read."""
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in other:
                node.input[place] = other[name]
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                _rename(inner, other)
    for value in graph.output:
        if value.name in other:
            value.name = other[value.name]


def _behind(makers: dict[str, Any], name: str) -> str:
    for _ in range(_DEEPEST):
        node = makers.get(name)
        if node is None or not is_standard(node, "Identity"):
            break
        name = node.input[0]
    return name


def _grows(makers: Any, tensors: Any, graph: Graph, name: str, inside: str) -> bool:
    """Whether a value is one more than what was handed over."""
    node = makers.get(_behind(makers, name))
    if node is None or not is_standard(node, "Add"):
        return False
    for own, more in (node.input, node.input[::-1]):
        if _behind(makers, own) == inside:
            return _number(makers, tensors, graph, more) == 1
    return False


def _number(makers: Any, tensors: Any, graph: Graph, name: str) -> int | None:
    from onnx import numpy_helper

    node = makers.get(name)
    if name in tensors:
        array = numpy_helper.to_array(tensors[name])
    elif node is not None and is_standard(node, "Constant") and node.attribute[0].HasField("t"):
        array = numpy_helper.to_array(node.attribute[0].t)
    else:
        found = None if node is not None else graph.numbers(name)
        return found[0] if found and len(found) == 1 else None
    return int(array.ravel()[0]) if array.size == 1 and array.dtype.kind in "iu" else None


class Counted:
    """Whether a Loop makes as many steps as its trip count says, whatever its condition is.

    Args:
        graph: around the loop.
        body: of it, settled.
        node: the Loop.
    """

    def __init__(self, graph: Graph, body: Graph, node: Any) -> None:
        self._graph, self._body = graph, body
        self._outside, self._inside = Constants(graph), Constants(body)
        self._count = node.input[0]
        self._counter, self._condition = (v.name for v in body.proto.input[:_STATES])
        self._begin = node.input[1]

    def goes_on(self) -> bool:
        """Whether the condition is true before the first step, and behind each but the last.

        Behind the last step, and where there is none, the count ends the loop anyway.
        """
        begins = not self._begin or self._holds(self._graph, self._outside, self._begin, 0)
        following = self._body.proto.output[0].name
        return begins and self._holds(self._body, self._inside, following, 1)

    def _holds(self, graph: Graph, constants: Constants, name: str, most: int) -> bool:
        """Whether a condition is true wherever it matters.

        Args:
            graph: that it is in.
            constants: of that.
            name: the condition.
            most: what may be added to the counter before it is compared with the count.
        """
        value = constants.value(name)
        node = graph.makers.get(name)
        if value is not None or node is None:
            handed = graph is self._body and name == self._condition
            return handed if value is None else bool(value.all())
        if is_standard(node, "Identity", "Cast", "And"):
            return all(self._holds(graph, constants, i, most) for i in node.input)
        if not is_standard(node, "Less", "Greater"):
            return False
        low, high = node.input if node.op_type == "Less" else node.input[::-1]
        counted = self._counted(graph, constants, low)
        return counted is not None and self._reaches(graph, constants, high, counted - most)

    def _counted(self, graph: Graph, constants: Constants, name: str) -> int | None:
        """What is added to the number of the step; before the loop, the number itself."""
        more = 0
        for _ in range(_DEEPEST):
            if graph is self._body and name == self._counter:
                return more
            value = constants.value(name)
            if value is not None:
                alone = graph is self._graph and value.size == 1
                return more + int(value.ravel()[0]) if alone else None
            node = graph.makers.get(name)
            if node is not None and is_standard(node, "Add"):
                numbers = [constants.value(i) for i in node.input]
                place = next((i for i, n in enumerate(numbers) if n is not None), None)
                if place is None or numbers[place].size != 1:  # type: ignore[union-attr]
                    return None
                more += int(numbers[place].ravel()[0])  # type: ignore[union-attr]
                name = node.input[1 - place]
            elif node is not None and is_standard(node, *_HANDS_ON):
                name = node.input[0]
            else:
                return None
        return None

    def _reaches(self, graph: Graph, constants: Constants, name: str, more: int) -> bool:
        """Whether a bound is at least the count and so much more."""
        bound, count = constants.value(name), self._outside.value(self._count)
        if bound is not None and count is not None and bound.size == count.size == 1:
            return bool(bound.ravel()[0] >= count.ravel()[0] + more)
        return more <= 0 and self._source(graph, name) == self._source(self._graph, self._count)

    def _source(self, graph: Graph, name: str) -> str:
        """What a number is, behind what only hands it on."""
        for _ in range(_DEEPEST):
            node = graph.makers.get(name)
            if node is None and graph.outer is not None and name not in graph.inputs:
                graph = graph.outer
                continue
            if node is None or not is_standard(node, *_HANDS_ON):
                break
            name = node.input[0]
        return name

"""Scan and Loop, as what they hand on, read and collect: https://onnx.ai/onnx/operators/"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnbench.formats.onnx.inference import Shape
from rnnbench.formats.onnx.optimizing.graph import Graph, attribute
from rnnbench.formats.onnx.optimizing.loading import infer_body
from rnnbench.formats.onnx.optimizing.settled import Counted, settled

_SCAN_HAS_LENGTHS = 8  # the opset whose Scan has a batch of its own


@dataclass(frozen=True)
class Handed:
    """A value that goes from step to step.

    Attributes:
        first: the value before the loop.
        inside: what it is called in a step.
        next: what a step makes of it.
        last: the value behind the loop; empty where nobody reads it.
    """

    first: str
    inside: str
    next: str
    last: str


@dataclass(frozen=True)
class Slice:
    """A sequence that is read step by step.

    Attributes:
        sequence: the value outside.
        axis: along which.
        reverse: whether from its end on.
    """

    sequence: str
    axis: int
    reverse: bool


@dataclass(frozen=True)
class Collected:
    """A value of each step, put together.

    Attributes:
        inside: the value of one step.
        output: all of them.
        axis: along which.
        reverse: whether the first step's is the last.
        replaces: whether that axis is there in a step already, with a size of 1.
    """

    inside: str
    output: str
    axis: int
    reverse: bool
    replaces: bool = False


@dataclass(frozen=True)
class Loop:
    """A loop of a graph.

    Attributes:
        node: the Scan or Loop.
        body: its graph.
        handed: what goes from step to step.
        slices: value inside -> the sequence that it is one step of.
        collected: what is put together.
        counter: the number of the step, inside of a Loop; empty in a Scan.
        count: how many steps a Loop has, outside.
    """

    node: Any
    body: Graph
    handed: tuple[Handed, ...]
    slices: dict[str, Slice]
    collected: tuple[Collected, ...]
    counter: str = ""
    count: str = ""


def read_loop(graph: Graph, node: Any) -> Loop | str:
    """A Scan or Loop; a text says why it cannot be taken apart."""
    if node.op_type == "Scan":
        if graph.opset <= _SCAN_HAS_LENGTHS:
            return f"a Scan of opset {graph.opset} has a batch of its own"
        return _scan(graph, node)
    return _loop(graph, node)


def _scan(graph: Graph, node: Any) -> Loop:
    proto = attribute(node, "body")
    names, results = [v.name for v in proto.input], [v.name for v in proto.output]
    count = attribute(node, "num_scan_inputs")
    states = len(names) - count
    outputs = [*node.output, *[""] * (len(results) - len(node.output))]
    axes = list(attribute(node, "scan_input_axes") or [0] * count)
    ways = list(attribute(node, "scan_input_directions") or [0] * count)
    slices = {}
    for inside, sequence, axis, way in zip(
        names[states:], node.input[states:], axes, ways, strict=True
    ):
        rank = graph.rank(sequence)
        slices[inside] = Slice(sequence, axis % rank if rank else axis, bool(way))
    handed = _handed(node.input[:states], names, results, outputs)
    body = _body(graph, node, proto, handed, slices)
    collected = []
    many = len(results) - states
    out_axes = list(attribute(node, "scan_output_axes") or [0] * many)
    out_ways = list(attribute(node, "scan_output_directions") or [0] * many)
    for inside, output, axis, way in zip(
        results[states:], outputs[states:], out_axes, out_ways, strict=True
    ):
        if output:
            collected.append(Collected(inside, output, axis, bool(way)))
    return Loop(node, body, handed, slices, tuple(collected))


def _loop(graph: Graph, node: Any) -> Loop | str:
    """A Loop that counts: its condition is true at every step."""
    proto = settled(graph, node, attribute(node, "body"))
    names, results = [v.name for v in proto.input], [v.name for v in proto.output]
    states = len(node.input) - 2
    outputs = [*node.output, *[""] * (len(results) - 1 - len(node.output))]
    handed = _handed(node.input[2:], names[2:], results[1:], outputs)
    body = _body(graph, node, proto, handed, {})
    if not node.input[0]:
        return "it goes on until a condition is false"
    if not Counted(graph, body, node).goes_on():
        return "it may end before its last step"
    collected = tuple(
        Collected(inside, output, 0, False)
        for inside, output in zip(results[1 + states :], outputs[states:], strict=True)
        if output
    )
    return Loop(node, body, handed, {}, collected, names[0], node.input[0])


def _handed(
    firsts: Any, names: list[str], results: list[str], outputs: list[str]
) -> tuple[Handed, ...]:
    found = zip(firsts, names, results, outputs, strict=False)
    return tuple(Handed(*each) for each in found)


def _body(
    graph: Graph, node: Any, proto: Any, handed: tuple[Handed, ...], slices: dict[str, Slice]
) -> Graph:
    """The graph of a step, with the sizes of what it is handed."""
    body = Graph(proto, graph.opset, graph.folder, outer=graph)
    body.shapes |= graph.body_shapes.get(node.output[0], {})
    for state in handed:
        known: Shape | None = graph.shape(state.first)
        own = body.shape(state.inside)
        if known is not None and (own is None or len(own) != len(known)):
            body.shapes[state.inside] = known
        elif known is not None and own is not None:
            # A loop may be declared to change sizes that it keeps.
            pairs = zip(own, known, strict=True)
            body.shapes[state.inside] = tuple(k if isinstance(k, int) else o for o, k in pairs)
    for inside, part in slices.items():
        known = graph.shape(part.sequence)
        if known is not None and body.rank(inside) is None:
            body.shapes[inside] = (*known[: part.axis], *known[part.axis + 1 :])
    infer_body(body)
    return body

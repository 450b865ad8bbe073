"""The branches of an If: as graphs of their own, and taken into the graph around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rnnbench.formats.onnx.inference import inferred
from rnnbench.formats.onnx.optimizing.graph import (
    Graph,
    attribute,
    captured,
    is_standard,
    names_in,
    reads,
)
from rnnbench.formats.onnx.optimizing.loading import infer_body, note, opset_of
from rnnbench.formats.onnx.optimizing.shapes import forget_sizes

Way = tuple[tuple[str, str], ...]
"""Branches, one inside of the other: the first output of each If, and which branch it is."""

BRANCHES = ("then_branch", "else_branch")


def ways(graph: Any, before: Way = ()) -> Iterator[Way]:
    """Every branch of ONNX's own form of a graph, each before those inside of it."""
    for node in graph.node:
        if is_standard(node, "If"):
            for which in BRANCHES:
                way = (*before, (node.output[0], which))
                yield way
                yield from ways(attribute(node, which), way)


def graph_at(graph: Any, way: Way) -> Any:
    """ONNX's own form of a branch."""
    for output, which in way:
        node = next(n for n in graph.node if is_standard(n, "If") and n.output[0] == output)
        graph = next(a.g for a in node.attribute if a.name == which)
    return graph


def graphs_along(proto: Any, way: Way, folder: Path) -> list[Graph]:
    """The graph of a file, and the branches on the way to one.

    Args:
        proto: the file.
        way: to the branch.
        folder: where the external data is.
    """
    found: list[Graph] = []
    light = inferred(proto)
    for depth in range(len(way) + 1):
        own, known = (graph_at(p.graph, way[:depth]) for p in (proto, light))
        graph = Graph(own, opset_of(proto), folder, found[-1] if found else None)
        note(graph, known)
        if found:
            infer_body(graph)
        else:
            graph.model = proto
        found.append(graph)
    return found


def write_back(graphs: list[Graph]) -> None:
    """Gives ONNX's own form what the innermost graph has become.

    What it no longer takes from around it goes, where nothing else reads it.
    """
    lost: set[str] = set()
    for graph in reversed(graphs):
        if graph is not graphs[-1]:
            graph.index()
            graph.sweep(lost)
        graph.write_back()
        if graph.outer is not None:
            forget_sizes(graph.proto)
        lost |= graph.captured - {*captured(graph.proto)}


def take(graph: Graph, node: Any, which: str) -> dict[str, str] | None:
    """Puts the nodes of a branch in the place of its If.

    Args:
        graph: where the If is.
        node: the If.
        which: the branch.

    Returns:
        The values of the branch that have other names now; None where it cannot be taken.
    """
    branch = attribute(node, which)
    if branch.sparse_initializer:
        return None
    made = {o for n in branch.node for o in n.output if o} | {t.name for t in branch.initializer}
    names: dict[str, str] = {}
    for output, inside in zip(node.output, branch.output, strict=False):
        own = inside.name in made and inside.name not in names
        is_weight = any(t.name == inside.name for t in branch.initializer)
        if output and own and not is_weight:
            names[inside.name] = output
    twice = Counter(names_in(graph.root.proto))
    for name in made - names.keys():
        if twice[name] > 1:
            names[name] = graph.new_name(name)
    for tensor in branch.initializer:
        moved = type(tensor)()
        moved.CopyFrom(tensor)
        moved.name = names.get(tensor.name, tensor.name)
        graph.adopt(moved)
    nodes = [_renamed(n, names) for n in branch.node]
    nodes += _identities(node, branch, names)
    at = next(i for i, n in enumerate(graph.nodes) if n is node)
    graph.nodes[at : at + 1] = nodes
    graph.index()
    return names


def _identities(node: Any, branch: Any, names: Mapping[str, str]) -> list[Any]:
    """What hands on outputs of a branch that it does not make itself, or gives twice."""
    from onnx import helper

    found = []
    for output, inside in zip(node.output, branch.output, strict=False):
        value = names.get(inside.name, inside.name)
        if output and value != output:
            found.append(helper.make_node("Identity", [value], [output], name=f"{output}/Identity"))
    return found


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    """A copy of a node with other names for values, those that its bodies take among them."""
    made = type(node)()
    made.CopyFrom(node)
    _rename(made, names)
    return made


def _rename(node: Any, names: Mapping[str, str]) -> None:
    node.input[:] = [names.get(n, n) for n in node.input]
    node.output[:] = [names.get(n, n) for n in node.output]
    for found in node.attribute:
        for body in [found.g] if found.HasField("g") else [*found.graphs]:
            own = {v.name for v in body.input} | {t.name for t in body.initializer}
            own |= {o for n in body.node for o in n.output}
            outside = {n: to for n, to in names.items() if n not in own}
            for inner in body.node:
                _rename(inner, outside)
            for value in body.output:
                value.name = outside.get(value.name, value.name)


def taken(proto: Any, way: Way, folder: Path) -> tuple[Any, dict[str, str]] | None:
    """A file in which a branch is always taken, and those around it.

    Returns:
        The file, and the values of the branch that have other names in it; None where a branch
        cannot be taken.
    """
    made = type(proto)()
    made.CopyFrom(proto)
    names: dict[str, str] = {}
    for output, which in way:
        graph = Graph(made.graph, opset_of(made), folder)
        node = graph.makers[names.get(output, output)]
        suspects = reads(node)
        renamed = take(graph, node, which)
        if renamed is None:
            return None
        names = renamed
        graph.sweep(suspects)
        graph.write_back()
    del made.graph.value_info[:]
    return made, names

"""What stands around a fused node, and need not.

Shape -> Gather -> Concat -> ConstantOfShape -> LSTM    x -> LSTM -> Squeeze
x ------------------------------------------^       ->
LSTM -> Transpose -> Reshape
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rnnbench.formats.onnx.optimizing.algebra.constants import Constants
from rnnbench.formats.onnx.optimizing.building import Builder
from rnnbench.formats.onnx.optimizing.findings import Finding, Outcome
from rnnbench.formats.onnx.optimizing.graph import Graph, attribute, is_standard

ORDER = 40
_LAYERS = ("RNN", "GRU", "LSTM")
_WEIGHTS, _LENGTHS, _STATES, _PEEPHOLES = (1, 2, 3), 4, (5, 6), 7


@dataclass
class _Change:
    """What is done to one node, in words, and what may have become useless by it."""

    done: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)


def find(graph: Graph, skip: frozenset[str], keep: frozenset[str]) -> Outcome:
    """Every fused node of the graph itself."""
    constants, found, suspects = Constants(graph), Outcome(), []
    for node in [n for n in graph.nodes if is_standard(n, *_LAYERS)]:
        place = node.name or next(o for o in node.output if o)
        if place in skip:
            continue
        change = _Change()
        for tidy in (_zero_states, _whole_lengths, _plain_weights, _squeezed):
            tidy(graph, constants, node, change)
        if change.done:
            what = f"{node.op_type} with {', '.join(change.done)}"
            found.findings.append(Finding(place, what, True, "taken away"))
            suspects += change.suspects
    if suspects:
        graph.commit()
        graph.sweep(suspects)
    return found


def _zero_states(graph: Graph, constants: Constants, node: Any, change: _Change) -> None:
    """Zeros are what a layer starts from where nothing is given."""
    for place in _STATES:
        if len(node.input) > place and node.input[place] and constants.is_zero(node.input[place]):
            change.suspects.append(node.input[place])
            node.input[place] = ""
            change.done.append("zeros as its first state")
    change.done[:] = dict.fromkeys(change.done)
    _shorten(node)


def _whole_lengths(graph: Graph, constants: Constants, node: Any, change: _Change) -> None:
    """A length for each row says nothing where each is that of the sequence."""
    if len(node.input) <= _LENGTHS or not node.input[_LENGTHS]:
        return
    lengths, shape = constants.value(node.input[_LENGTHS]), graph.shape(node.input[0])
    time = shape[attribute(node, "layout", 0)] if shape else None
    if lengths is not None and isinstance(time, int) and (lengths == time).all():
        change.suspects.append(node.input[_LENGTHS])
        node.input[_LENGTHS] = ""
        change.done.append("the whole length for each row")
        _shorten(node)


def _plain_weights(graph: Graph, constants: Constants, node: Any, change: _Change) -> None:
    """Weights behind Slice, Concat, Transpose ... become initializers."""
    for place in (*_WEIGHTS, _PEEPHOLES):
        name = node.input[place] if len(node.input) > place else ""
        if not name or graph.is_constant(name):
            continue
        value = constants.value(name)
        if value is not None:
            change.suspects.append(name)
            stem = f"{node.name or node.output[0]}/{'XWRB____'[place] if place < 4 else 'P'}"
            node.input[place] = graph.constant(stem, value)
            change.done.append("computed weights")
    change.done[:] = dict.fromkeys(change.done)


def _squeezed(graph: Graph, constants: Constants, node: Any, change: _Change) -> None:
    """Of one direction, Transpose and Reshape of all steps are a Squeeze.

    (time, 1, batch, hidden) -> (time, batch, 1, hidden) -> (time, batch, hidden)
    """
    y = node.output[0] if node.output else ""
    if not y or attribute(node, "layout", 0) or attribute(node, "direction") == "bidirectional":
        return
    for turn in list(graph.readers.get(y, [])):
        if not is_standard(turn, "Transpose") or list(attribute(turn, "perm", [])) != [0, 2, 1, 3]:
            continue
        for reshape in list(graph.readers.get(turn.output[0], [])):
            if is_standard(reshape, "Reshape") and _drops_third(graph, node, reshape):
                build = Builder(graph, reshape, reshape.name or reshape.output[0])
                build.resized("Squeeze", y, [1], reshape.output[0])
                graph.drop([reshape.output[0]])
                change.suspects += list(reshape.input)
                change.done.append("its directions reshaped away")


def _drops_third(graph: Graph, node: Any, reshape: Any) -> bool:
    """Whether (time, batch, 1, hidden) becomes (time, batch, hidden), whatever is written down."""
    target = graph.numbers(reshape.input[1])
    if target is None or len(target) != 3 or target.count(-1) > 1:
        return False
    shape = graph.shape(node.output[0]) or (None,) * 4
    sizes = (shape[0], shape[2], attribute(node, "hidden_size"))
    copied = not attribute(reshape, "allowzero", 0)
    return all(
        n == size or n == -1 or (n == 0 and copied and i < 2)
        for i, (n, size) in enumerate(zip(target, sizes, strict=True))
    )


def _shorten(node: Any) -> None:
    while node.input and not node.input[-1]:
        del node.input[-1]

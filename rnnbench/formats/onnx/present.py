"""Which layers of a graph have what an engine does not compute: see `gaps.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import onnx_ir as ir

from rnnbench.formats.onnx.editing import direction_of, recurrent_nodes
from rnnbench.formats.onnx.gaps import Gap


def find_gaps(model: ir.Model, gaps: Iterable[Gap]) -> Iterator[tuple[ir.Node, Gap]]:
    """Each layer of a graph that has something that an engine does not compute, with what it is."""
    known = list(gaps)
    for node in recurrent_nodes(model) if known else ():
        for gap in known:
            if gap.op == node.op_type and PRESENT[gap.attribute](node):
                yield node, gap


def usual_activations(node: ir.Node) -> list[str]:
    """The functions of a layer that says none, in lower case."""
    directions = 2 if direction_of(node) == "bidirectional" else 1
    return _ACTIVATIONS[node.op_type] * directions


def activations(node: ir.Node) -> list[str]:
    """The functions of a layer, in lower case."""
    given = node.attributes.get("activations")
    said = [kind.lower() for kind in given.as_strings()] if given is not None else []
    return said or usual_activations(node)


def has_number(node: ir.Node) -> bool:
    """Whether a function of a layer has a number, given or by its definition."""
    given = any(name in node.attributes for name in ("activation_alpha", "activation_beta"))
    return given or any(kind in _NUMBERED for kind in activations(node))


_ACTIVATIONS = {"RNN": ["tanh"], "GRU": ["sigmoid", "tanh"], "LSTM": ["sigmoid", "tanh", "tanh"]}
_NUMBERED = ("leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu", "affine")
_STATES = {"RNN": (5,), "GRU": (5,), "LSTM": (5, 6)}


def _given(node: ir.Node, place: int) -> bool:
    return len(node.inputs) > place and node.inputs[place] is not None


def _number(node: ir.Node, name: str) -> int:
    given = node.attributes.get(name)
    return 0 if given is None else given.as_int()


def _says(direction: str) -> Callable[[ir.Node], bool]:
    return lambda node: "direction" in node.attributes and direction_of(node) == direction


PRESENT: dict[str, Callable[[ir.Node], bool]] = {
    "": lambda node: True,
    "activations": lambda node: activations(node) != usual_activations(node),
    "activation_alpha": has_number,
    "clip": lambda node: "clip" in node.attributes,
    "P": lambda node: _given(node, 7),
    "input_forget": lambda node: bool(_number(node, "input_forget")),
    "linear_before_reset=0": lambda node: not _number(node, "linear_before_reset"),
    "layout": lambda node: bool(_number(node, "layout")),
    "sequence_lens": lambda node: _given(node, 4),
    "direction=forward": _says("forward"),
    "direction=reverse": _says("reverse"),
    "direction=bidirectional": _says("bidirectional"),
    "no initial state": lambda node: not all(_given(node, i) for i in _STATES[node.op_type]),
    "no B": lambda node: not _given(node, 3),
    "no Y": lambda node: not node.outputs[0].name,
}
"""What a record names -> whether a node has it."""

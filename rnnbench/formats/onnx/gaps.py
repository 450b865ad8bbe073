"""What an engine makes of layers that are valid and not the usual ones: records in its adapter.

The profiles of `--for`, the refusals, the messages of `check` and `conform` and the table of
docs/engines.md are made from these records, and a probe of small files proves them
(tests/runtimes/test_engine_gaps.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from rnnbench.formats.onnx.editing import direction_of, recurrent_nodes

Behaviour = Literal["wrong", "refused"]
Sizes = Literal["any", "dynamic"]

PROBED = "probed"
"""The source of what small generated files showed, and nobody has reported that we know of."""


@dataclass(frozen=True)
class Gap:
    """One thing that a layer may have, and that an engine does not compute.

    Attributes:
        op: `RNN`, `GRU` or `LSTM`.
        attribute: what it has, a key of `PRESENT`; empty for the operator itself.
        behaviour: `wrong` where the engine computes something else without a word.
        version: the engine that was seen doing it, with its version.
        source: a public issue, as owner/name#number, or `PROBED`.
        sizes: `dynamic` where it is right as soon as all sizes are fixed in the file.
        rewrite: the rewrite that does without it (formats/onnx/rewrites/); empty where `--for`
            refuses the model instead.
    """

    op: str
    attribute: str
    behaviour: Behaviour
    version: str
    source: str = PROBED
    sizes: Sizes = "any"
    rewrite: str = ""

    @property
    def what(self) -> str:
        """What a layer with it has, in words."""
        return PRESENT[self.attribute][0]

    def about(self, node: ir.Node) -> str:
        """What of a layer is not computed, and by whom."""
        does = "computes wrong, without a word" if self.behaviour == "wrong" else "refuses"
        has = f" has {self.what}" if self.attribute else ""
        return f"the {node.op_type} {node.name!r}{has}, which {self.version} {does}"


def seen(
    version: str,
    attribute: str,
    *,
    wrong: Iterable[str] = (),
    refused: Iterable[str] = (),
    source: str = PROBED,
    sizes: Sizes = "any",
    rewrite: str = "",
) -> tuple[Gap, ...]:
    """The records of one attribute: which layers with it are `wrong`, and which are `refused`."""
    said: Mapping[Behaviour, Iterable[str]] = {"wrong": wrong, "refused": refused}
    return tuple(
        Gap(op, attribute, behaviour, version, source, sizes, rewrite)
        for behaviour, ops in said.items()
        for op in ops
    )


LAYERS = ("RNN", "GRU", "LSTM")


def find_gaps(model: ir.Model, gaps: Iterable[Gap]) -> Iterator[tuple[ir.Node, Gap]]:
    """Each layer of a graph that has something that an engine does not compute, with what it is."""
    known = list(gaps)
    for node in recurrent_nodes(model) if known else ():
        for gap in known:
            if gap.op == node.op_type and PRESENT[gap.attribute][1](node):
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


PRESENT: dict[str, tuple[str, Callable[[ir.Node], bool]]] = {
    "": ("the operator itself", lambda node: True),
    "activations": (
        "activations of its own",
        lambda node: activations(node) != usual_activations(node),
    ),
    "activation_alpha": ("activations with a number (alpha, beta)", has_number),
    "clip": ("clip", lambda node: "clip" in node.attributes),
    "P": ("peepholes (P)", lambda node: _given(node, 7)),
    "input_forget": ("input_forget=1", lambda node: bool(_number(node, "input_forget"))),
    "linear_before_reset=0": (
        "linear_before_reset=0",
        lambda node: not _number(node, "linear_before_reset"),
    ),
    "layout": ("layout=1", lambda node: bool(_number(node, "layout"))),
    "sequence_lens": ("lengths (sequence_lens)", lambda node: _given(node, 4)),
    "direction=forward": ("direction=forward written down", _says("forward")),
    "direction=reverse": ("direction=reverse", _says("reverse")),
    "direction=bidirectional": ("direction=bidirectional", _says("bidirectional")),
    "no initial state": (
        "no initial state",
        lambda node: not all(_given(node, place) for place in _STATES[node.op_type]),
    ),
    "no B": ("no biases (B)", lambda node: not _given(node, 3)),
    "no Y": ("no sequence among its outputs (Y)", lambda node: not node.outputs[0].name),
}
"""Attribute -> what it is in words, and whether a node has it."""

"""What an RNN, GRU or LSTM node of ONNX has that is not usual, whichever library read the file.

https://onnx.ai/onnx/operators/onnx__LSTM.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Layer:
    """A node.

    Attributes:
        op: `RNN`, `GRU` or `LSTM`.
        attributes: those that the file writes down, as numbers, strings and lists of them.
        inputs: whether each is given, in order.
        outputs: likewise whether each has a name.
    """

    op: str
    attributes: Mapping[str, Any]
    inputs: tuple[bool, ...]
    outputs: tuple[bool, ...]

    @property
    def usual_activations(self) -> list[str]:
        """The functions of a layer that says none, in lower case."""
        directions = 2 if self.attributes.get("direction") == "bidirectional" else 1
        return _ACTIVATIONS[self.op] * directions

    @property
    def activations(self) -> list[str]:
        """Its functions, in lower case."""
        given = [str(kind).lower() for kind in self.attributes.get("activations") or ()]
        return given or self.usual_activations

    @property
    def has_number(self) -> bool:
        """Whether a function of it has a number, given or by its definition."""
        given = any(name in self.attributes for name in ("activation_alpha", "activation_beta"))
        return given or any(kind in _NUMBERED for kind in self.activations)

    def has_input(self, place: int) -> bool:
        """Whether an input is given."""
        return len(self.inputs) > place and self.inputs[place]


_ACTIVATIONS = {"RNN": ["tanh"], "GRU": ["sigmoid", "tanh"], "LSTM": ["sigmoid", "tanh", "tanh"]}
_NUMBERED = ("leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu", "affine")
_STATES = {"RNN": (5,), "GRU": (5,), "LSTM": (5, 6)}


def _says(direction: str) -> Callable[[Layer], bool]:
    return lambda layer: layer.attributes.get("direction") == direction


PRESENT: dict[str, Callable[[Layer], bool]] = {
    "": lambda layer: True,
    "activations": lambda layer: layer.activations != layer.usual_activations,
    "activation_alpha": lambda layer: layer.has_number,
    "clip": lambda layer: "clip" in layer.attributes,
    "P": lambda layer: layer.has_input(7),
    "input_forget": lambda layer: bool(layer.attributes.get("input_forget")),
    "linear_before_reset=0": lambda layer: not layer.attributes.get("linear_before_reset"),
    "layout": lambda layer: bool(layer.attributes.get("layout")),
    "sequence_lens": lambda layer: layer.has_input(4),
    "direction=forward": _says("forward"),
    "direction=reverse": _says("reverse"),
    "direction=bidirectional": _says("bidirectional"),
    "no initial state": lambda layer: not all(layer.has_input(i) for i in _STATES[layer.op]),
    "no B": lambda layer: not layer.has_input(3),
    "no Y": lambda layer: not (layer.outputs and layer.outputs[0]),
}
"""What a record of `gaps.py` names -> whether a layer has it."""

"""The words for a recurrence: which cell it is, and how it is represented.

`capture` says them of what it wrote (the manifest has them), `inspection` of what others wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KINDS = ("rnn_tanh", "rnn_relu", "gru", "lstm")
GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}

Representation = Literal["fused", "scan", "while", "unrolled", "step"]
"""How a recurrence is represented:

* `fused`: one operator computes all steps of a layer (ONNX `GRU`, `aten.gru`);
* `scan`: one operator runs a body once for each step of a sequence (ONNX `Scan`);
* `while`: a loop with a count or a condition runs a body (ONNX `Loop`, a scripted `for`);
* `unrolled`: the nodes of a step stand there once for each of a fixed number of steps;
* `step`: one step alone (`aten.gru_cell`, or written out): whoever runs the file is the loop.
"""


@dataclass(frozen=True)
class Recurrence:
    """One recurrence of a model or of a file.

    Attributes:
        place: in a model, the layer's path in the module, or `file:line` of a loop; in a file, the
            node or the place in its code.
        kind: one of `KINDS`; else `loop` in a model, `unknown` in a file.
        representation: how it is represented.
        note: why it is not fused, else empty.
    """

    place: str
    kind: str
    representation: Representation
    note: str = ""


def inspected(representation: Representation) -> str:
    """The word for a representation in what `inspect` prints: a `while` is called `loop` there."""
    return "loop" if representation == "while" else representation

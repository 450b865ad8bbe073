"""What capture hands to the formats: one program, and how each recurrence stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from rnnbench.core.model import Model


@dataclass(frozen=True)
class Recurrence:
    """How one recurrence of a model is represented.

    Attributes:
        place: the layer's path in the module, or `file:line` of a loop.
        kind: `rnn_tanh`, `rnn_relu`, `gru`, `lstm`, or `loop`.
        representation: `fused` (one operator), `scan`, `while` (a loop with a condition), or
            `unrolled` (a fixed number of steps).
        note: why it is not fused, else empty.
    """

    place: str
    kind: str
    representation: str
    note: str = ""


@dataclass(frozen=True)
class Captured:
    """What the formats translate.

    Attributes:
        model: the declaration.
        program: the exported program; recurrences are `rnnbench::recurrence` or `scan`.
        recurrences: how each was represented.
        dims: dynamic dimension -> the size at which it was traced.
        frozen: dimensions that are constants (only where that was allowed).
    """

    model: Model
    program: ExportedProgram
    recurrences: tuple[Recurrence, ...]
    dims: Mapping[str, int]
    frozen: tuple[str, ...] = ()

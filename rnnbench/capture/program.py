"""What capture hands to the formats: one program, and how each recurrence stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnnbench.core.recurrence import Recurrence

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from rnnbench.core.model import Model


@dataclass(frozen=True)
class Captured:
    """What the formats translate.

    Attributes:
        model: the declaration.
        program: the exported program; recurrences are `rnnbench::recurrence` or `scan`.
        recurrences: how each was represented.
        dims: dynamic dimension -> the size at which it was traced.
        frozen: dimensions that are constants (only where that was allowed).
        varying: of each output, the dimensions that the module itself gave in several sizes.
    """

    model: Model
    program: ExportedProgram
    recurrences: tuple[Recurrence, ...]
    dims: Mapping[str, int]
    frozen: tuple[str, ...] = ()
    varying: tuple[frozenset[int], ...] = ()

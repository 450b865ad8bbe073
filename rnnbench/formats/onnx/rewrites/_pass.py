"""What a rewrite is: a pass over an ONNX graph that does not change what the graph computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True)
class Rewrite:
    """One pass; its docstring draws a graph before and after.

    Attributes:
        name: as profiles name it.
        places: changes the graph, and returns in how many places.
        needs_sizes: whether it has nothing to do before the sizes are known.
        refuses: what it stops at, and why; empty where it stops at nothing.
    """

    name: str
    places: Callable[[ir.Model], int]
    needs_sizes: bool = False
    refuses: str = ""

    def __call__(self, model: ir.Model) -> bool:
        """Whether anything was changed.

        Raises:
            RnnbenchError: the graph has what it `refuses`.
        """
        return self.places(model) > 0


def rewrite(
    *, needs_sizes: bool = False, refuses: str = ""
) -> Callable[[Callable[[ir.Model], int]], Rewrite]:
    """Makes a `Rewrite` of a function that returns in how many places it changed a graph."""

    def made(function: Callable[[ir.Model], int]) -> Rewrite:
        found = Rewrite(function.__name__, function, needs_sizes, refuses)
        object.__setattr__(found, "__doc__", function.__doc__)
        return found

    return made

"""A dimension of a value, and what one node does with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.program import Node, Ref


@dataclass(frozen=True)
class Place:
    """A dimension of a value; the rank is how many dimensions it has."""

    value: Ref
    axis: int
    rank: int


@dataclass(frozen=True)
class Step:
    """What one node does.

    Attributes:
        uses: kind and numbers of each.
        places: where the dimension goes on.
        changed: whether it has another length there.
        turned: whether it is the other way round there.
        joined: whether it is a part of one there.
    """

    uses: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    changed: bool = False
    turned: bool = False
    joined: bool = False


WHOLE: tuple[str, tuple[int, ...]] = ("whole", ())
Rule = Callable[[Flow, Node, Place], Step]


def on(node: Node, axis: int, rank: int, outputs: int = 1) -> list[Place]:
    """The results of a node, with a dimension in this place."""
    return [Place(Ref(o), axis, rank) for o in node.outputs[:outputs] if o]

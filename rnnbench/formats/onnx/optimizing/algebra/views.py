"""A value as the axes of another, and what a node does to these.

    x (time, batch, 8) -> Gather(axis 0, index 3) -> Unsqueeze(0)

is `View("x", axes=(None, 1, 2), fixed=((0, 3),))`: no new axis but one of size 1, and of time the
fourth step. A value that some other node makes is a view of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

Move = tuple[Any, ...]
"""`keep`, `turn` with an order, `add` and `drop` with axes, `pick` with axis and index, `flip`."""


@dataclass(frozen=True)
class View:
    """A value as the axes of another.

    Attributes:
        root: the value that some node makes, or that enters the graph.
        axes: of each dimension, the axis of the root; None: it is of size 1.
        fixed: (axis, index) of the axes of which one place was picked.
        flipped: the axes that run backwards.
    """

    root: str
    axes: tuple[int | None, ...]
    fixed: tuple[tuple[int, int], ...] = ()
    flipped: frozenset[int] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether it is the root as it is."""
        return self.axes == (*range(len(self.axes)),) and not self.fixed and not self.flipped


def compose(view: View, inner: View) -> View | None:
    """A view of a value that is a view itself; None: it picks what is no axis of that."""
    if view.flipped or inner.flipped:
        return None
    fixed = dict(inner.fixed)
    for axis, place in view.fixed:
        own = inner.axes[axis]
        if own is None and place not in (0, -1):
            return None
        if own is not None:
            fixed[own] = place
    axes = tuple(None if a is None else inner.axes[a] for a in view.axes)
    return View(inner.root, axes, tuple(sorted(fixed.items())))


def apply(move: Move, view: View) -> View | None:
    """What a move makes of a view; None where it cannot be said."""
    kind, *what = move
    return _MADE[kind](view, *what)


def _turned(view: View, order: tuple[int, ...]) -> View:
    return replace(view, axes=tuple(view.axes[i] for i in order))


def _added(view: View, places: tuple[int, ...]) -> View:
    found = list(view.axes)
    for place in places:
        found.insert(place, None)
    return replace(view, axes=tuple(found))


def _dropped(view: View, places: tuple[int, ...]) -> View:
    """Axes of size 1 go: of the root's own axes the only place stays picked."""
    gone = [view.axes[i] for i in places]
    fixed = tuple(sorted((*view.fixed, *((a, 0) for a in gone if a is not None))))
    left = tuple(a for i, a in enumerate(view.axes) if i not in places)
    return replace(view, axes=left, fixed=fixed)


def _fitted(view: View, old: tuple[int, ...], new: tuple[int, ...], rank: int) -> View:
    """Sizes of 1 come and go; the others stay in their order."""
    gone = tuple(i for i in range(len(view.axes)) if i not in old)
    left = _dropped(view, gone)
    placed = dict(zip(new, left.axes, strict=True))
    return replace(left, axes=tuple(placed.get(i) for i in range(rank)))


def _flipped(view: View, place: int) -> View:
    axis = view.axes[place]
    return view if axis is None else replace(view, flipped=view.flipped ^ {axis})


def _picked(view: View, place: int, index: int, keeps: bool) -> View | None:
    axis = view.axes[place]
    left = (None,) if keeps else ()
    axes = (*view.axes[:place], *left, *view.axes[place + 1 :])
    if axis is None:
        return replace(view, axes=axes) if index in (0, -1) else None
    if axis in view.flipped:
        index = -1 - index
    fixed = tuple(sorted((*view.fixed, (axis, index))))
    return replace(view, axes=axes, fixed=fixed, flipped=view.flipped - {axis})


_MADE: dict[str, Callable[..., View | None]] = {
    "keep": lambda view: view,
    "turn": _turned,
    "add": _added,
    "drop": _dropped,
    "fit": _fitted,
    "flip": _flipped,
    "pick": _picked,
}

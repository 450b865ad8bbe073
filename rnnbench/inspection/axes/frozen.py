"""What in a file depends on the size that an open dimension had in the example input."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.axes.follow import Axis, Use
from rnnbench.inspection.recurrences import FoundRecurrence

_NAMED = 4  # places
_SHAPES = ("Reshape", "Expand", "aten.view", "aten.reshape", "aten.expand")


def frozen_by(axis: Axis, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[tuple[str, str]]:
    """Where an open dimension has a fixed size, or only a fixed part of it goes on: where, what.

    A part counts where the rest is read nowhere. A place counts behind a recurrence, where it was
    the last step of the example; the first place may be meant. A dimension that a convolution made
    shorter may have to be 1: so many samples are a step.
    """
    unrolled = {str(r.source) for r in recurrences if r.representation == "unrolled"}
    said = set()
    for use in axis.uses:
        if use.node is None or use.place.value in unrolled:
            continue
        what = _says(axis, use)
        if what and (use.node.name, what) not in said:
            said.add((use.node.name, what))
            yield use.node.name, what


def _says(axis: Axis, use: Use) -> str:
    assert use.node is not None
    numbers, what = use.numbers, axis.name
    if use.trail.changed:
        what = f"what is made of {what}"
    if use.kind == "fixed" and use.trail.joined and use.node.op != "Expand":
        return ""  # the parts of what was put together
    if use.kind == "fixed" and use.node.op in _SHAPES:
        return f"its shape has {numbers[0]} where {what} is dynamic"
    if use.kind == "fixed" and not (use.trail.changed and use.node.op == "Squeeze"):
        return f"takes {numbers[0]} of {what}, which is dynamic"
    if use.kind == "cut" and not _goes_on(axis, use):
        return f"keeps {numbers[1] - numbers[0]} of {what}, which is dynamic"
    if use.kind == "places" and use.trail.behind and min(numbers) >= 0 and max(numbers):
        return f"takes {places(numbers)} of {what}, which is dynamic"
    return ""


def _goes_on(axis: Axis, use: Use) -> bool:
    """Whether another node reads what a cut leaves: the parts of something that is split."""
    beside = [u for u in axis.uses if u.place == use.place and u.node is not use.node]
    return any(u.kind == "rest" and u.numbers[0] <= use.numbers[1] for u in beside)


def places(numbers: tuple[int, ...]) -> str:
    """Places in words: the first few of them."""
    few = ", ".join(map(str, numbers[:_NAMED]))
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"place {few}" if len(numbers) == 1 else f"places {few}{more}"

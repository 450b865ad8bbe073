"""An open dimension of which only fixed places are read: the others change nothing."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.axes.follow import open_axes
from rnnbench.inspection.axes.frozen import places
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "error"
REMEDY = "export with a longer example and a dynamic time, or from the PyTorch module with rnnbench"


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    unrolled = [r.source for r in recurrences if r.representation == "unrolled"]
    told = {name for source in unrolled for name in flow.inputs_behind(source)}
    axes = open_axes(flow, recurrences)
    for axis in axes:
        uses = [use for use in axis.uses if use.kind != "rest"]
        if axis.start.value in told or not all(use.kind in ("places", "cut") for use in uses):
            continue
        numbers = sorted({n for use in uses for n in _read(use.kind, use.numbers)})
        if numbers and numbers[-1] >= 0 and not any(use.trail.behind for use in uses):
            changed = any(use.trail.changed for use in uses)
            name = f"what is made of {axis.name}" if changed else axis.name
            what = f"only {places(tuple(numbers))} of {name} is read"
            # A number for each row, of which one is taken for all.
            for_all = axis.start.rank == 1 and any(a.name == axis.name for a in axes if a != axis)
            # Of what a convolution made of a chunk there may be one place.
            yield axis.start.value, what, "note" if for_all else "warning" if changed else ""


def _read(kind: str, numbers: tuple[int, ...]) -> tuple[int, ...]:
    return numbers if kind == "places" else tuple(range(*numbers))

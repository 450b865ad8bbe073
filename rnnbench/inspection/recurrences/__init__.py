"""Finds every recurrence of a program, however it is represented."""

from __future__ import annotations

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.recurrences.fused import find_fused
from rnnbench.inspection.recurrences.looped import find_looped
from rnnbench.inspection.recurrences.record import FoundRecurrence
from rnnbench.inspection.recurrences.unrolled import find_unrolled
from rnnbench.inspection.recurrences.written_out import find_written_out

__all__ = ["FoundRecurrence", "find_recurrences"]


def find_recurrences(flow: Flow) -> tuple[FoundRecurrence, ...]:
    """Every recurrence, in the order of the file's kinds: fused, loops, unrolled, single steps."""
    unrolled, claimed = find_unrolled(flow)
    looped, inside = find_looped(flow)
    claimed |= inside
    fused = [r for r in find_fused(flow) if id(r.node) not in claimed]
    return (*fused, *looped, *unrolled, *find_written_out(flow, claimed))

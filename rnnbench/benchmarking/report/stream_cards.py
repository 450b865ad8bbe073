"""Streams -> answer cards: how many one core holds in real time, and how they are best held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rnnbench.benchmarking.report.cards import Card, where_text
from rnnbench.benchmarking.report.names import (
    Conditions,
    conditions_of,
    order,
    runtime_title,
    steps,
)
from rnnbench.benchmarking.report.units import digits, seconds
from rnnbench.benchmarking.streams import ONE_BATCH, Streams, held_text

_FIRST = 6  # models and sizes that are shown first
_OTHERS = 6  # other ways to hold them, in one card


def stream_cards(rows: Sequence[Streams]) -> list[Card]:
    """A card for each model at each size and length of a call."""
    alike = sorted(rows, key=lambda row: order(_conditions(row)))
    groups = groupby(alike, key=_conditions)
    return [
        _card(conditions, list(group), first=number < _FIRST)
        for number, (conditions, group) in enumerate(groups)
    ]


def _conditions(row: Streams) -> Conditions:
    """What is equal where ways to hold streams may be compared: the rows of a call are one way."""
    return conditions_of(row)._replace(batch=1)


def _card(conditions: Conditions, rows: list[Streams], *, first: bool) -> Card:
    """The best is what does the most steps a core, of what keeps up with all its streams."""
    in_time = [row for row in rows if row.keeps_up]
    ranked = sorted(in_time or rows, key=lambda row: -row.steps_per_core)
    best = ranked[0]
    provisional = "" if best.stable else "provisional: "
    answer = f"{provisional}{_much(best)}"
    facts = (*_others(best, ranked, rows), *_doubts(best, in_time))
    numbers = f"as {_held(best)} in {runtime_title(best.runtime)} ({_p99(best)})"
    where = f"Streams of {where_text(conditions, ('batch', 'time'))}, {steps(best.time)} a call"
    return Card(where, answer, numbers, facts, bool(provisional), first=first)


def _much(row: Streams) -> str:
    """`310 a core in real time`, or in steps where the model declares no rate."""
    if row.streams_per_core is None:
        return f"{_count(row.steps_per_core)} steps a second a core"
    return f"{_count(row.streams_per_core)} a core in real time"


def _count(number: float) -> str:
    """Three digits, in thousands: 1,230."""
    return digits(number) if number < 1000 else f"{float(f'{number:.3g}'):,.0f}"


def _held(row: Streams) -> str:
    return held_text(row.streams, row.held)


def _p99(row: Streams) -> str:
    return f"p99 of a {'step' if row.time == 1 else 'call'} {seconds(row.p99)}"


def _others(best: Streams, ranked: Sequence[Streams], rows: Sequence[Streams]) -> Iterator[str]:
    """The other ways to hold as many in the same runtime, then the best of each other runtime."""
    same = [r for r in rows if (r.runtime, r.streams) == (best.runtime, best.streams)]
    runtimes = dict.fromkeys(r.runtime for r in ranked if r.runtime != best.runtime)
    firsts = [next(r for r in ranked if r.runtime == name) for name in runtimes]
    alone = [r for r in rows if r.runtime == best.runtime and r.streams == 1 != best.streams]
    for row in [*(r for r in same if r is not best), *firsts, *alone][:_OTHERS]:
        where = "" if row.runtime == best.runtime else f" in {runtime_title(row.runtime)}"
        shaky = "" if row.stable else "; it is unstable"
        yield f"As {_held(row)}{where}: {_much(row)} ({_p99(row)}){shaky}."


def _doubts(best: Streams, in_time: Sequence[Streams]) -> Iterator[str]:
    if not best.stable:
        why = best.why_unstable or "no reason is given"
        yield f"Provisional, since its rounds do not agree: {why}."
    lasts = best.call_lasts
    if not in_time:
        yield "None of them keeps up with all its streams here: hold fewer."
    elif lasts is not None and best.p99 > lasts:
        noun = "step" if best.time == 1 else "call"
        yield (
            f"The p99 of a {noun} is more than the {seconds(lasts)} that it lasts in real time, "
            "where no stream ever pauses, as here."
        )
    if best.held == ONE_BATCH and best.cores > 1:
        yield "Each core has a batch of its own, so that all are at work."

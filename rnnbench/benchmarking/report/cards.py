"""Advice -> answer cards: what to ship, what the next best would cost, and what changes if ...

Only what was measured is said: other sizes are those of the same model on the same machine, under
conditions that differ in one thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rnnbench.benchmarking.plan import Implementation
from rnnbench.benchmarking.report.checks import Checked
from rnnbench.benchmarking.report.names import (
    Conditions,
    conditions_text,
    form_name,
    implementation_of,
    implementation_title,
    runtime_title,
)
from rnnbench.benchmarking.report.recommendation import Advice, Ratios, rivals_text, silent
from rnnbench.benchmarking.report.units import interval, seconds
from rnnbench.benchmarking.results import Latency
from rnnbench.core.tables import Style
from rnnbench.core.text import harmless, in_markdown
from rnnbench.core.verdicts import Verdict

_AXES = {
    "batch": ("batch", "at {}"),
    "time": ("length", "at {} steps"),
    "hidden": ("hidden size", "at {}"),
    "layers": ("number of layers", "with {} layers"),
    "threads": ("number of threads", "with {} threads"),
}
_VALUES = 5  # of an axis, in one sentence
_MODELS = {"elman": "Elman RNN", "gru": "GRU", "lstm": "LSTM"}


@dataclass(frozen=True)
class Card:
    """The answer under one set of conditions.

    Attributes:
        where: the conditions, with the machine where there are several.
        answer: what to ship.
        numbers: how fast that is, and against what.
        facts: a sentence each.
        provisional: whether the answer rests on an unstable latency.
        wrong: whether what is fastest computes something else.
        first: whether it is one of the few that are shown first.
    """

    where: str
    answer: str
    numbers: str
    facts: tuple[str, ...]
    provisional: bool = False
    wrong: bool = False
    first: bool = True

    @property
    def headline(self) -> str:
        """`GRU, hidden 128, batch 1: ship ONNX Runtime, fused: 2.24 us a step, ...`."""
        return f"{self.where}: {self.answer}: {self.numbers}"


def make_card(
    advice: Advice,
    others: Mapping[Conditions, Advice],
    ratios: Ratios,
    checks: Sequence[Checked],
) -> Card | None:
    """The card of an advice; None where the data recommend nothing.

    Args:
        advice: for one set of conditions.
        others: every advice of the machine.
        ratios: of the machine on which it was measured.
        checks: verdicts of `check`: what is wrong is not recommended.
    """
    if advice.other is None or advice.speedup is None or not advice.recommends:
        return None
    name = full_name(implementation_of(advice.best))
    wrong = _wrong(advice, checks)
    if wrong:
        answer = f"do not ship {name}, the fastest: {wrong}"
    elif advice.why_not:
        answer = f"provisional: {name} looks fastest"
    else:
        answer = f"{'provisional: ' if advice.unstable else ''}ship {name}"
    ratio = advice.speedup
    shown, _, bounds = interval(ratio.ratio, ratio.low, ratio.high).partition(" ")
    against = short_name(implementation_of(advice.other))
    numbers = f"{seconds(advice.step_s)} a step, {shown} times as fast as {against} {bounds}"
    facts = (
        *_sureness(advice),
        *_next_best(advice, ratios),
        *_loop_against_fused(advice, ratios),
        *_changes(advice, others),
    )
    where = where_text(advice.conditions)
    return Card(where, answer, numbers, facts, bool(advice.unstable), bool(wrong))


def format_card(card: Card, style: Style) -> str:
    """The headline, and a line for each fact, which a terminal folds."""
    if style == "markdown":
        facts = [f"  * {in_markdown(fact)}" for fact in card.facts]
        return "\n".join([f"* **{in_markdown(card.headline)}**", *facts])
    return "\n".join([harmless(card.headline), *(f"  {harmless(fact)}" for fact in card.facts)])


def short_name(subject: Implementation) -> str:
    """`ONNX Runtime with bound buffers, fused`."""
    name, form = runtime_title(subject.runtime, subject.mode), form_name(subject.form)
    return f"{name}, {form}" if form else name


def full_name(subject: Implementation) -> str:
    """`ONNX Runtime with bound buffers (onnxruntime), fused`: with the name that tables have."""
    name, comma, form = short_name(subject).partition(", ")
    known = runtime_title(subject.runtime).casefold() == subject.runtime.casefold()
    return f"{name}{'' if known else f' ({subject.runtime})'}{comma}{form}"


def where_text(conditions: Conditions, unsaid: Sequence[str] = ()) -> str:
    """`GRU, hidden 128, batch 1, 32 steps`, without what goes without saying."""
    named = conditions._replace(model=_MODELS.get(conditions.model, conditions.model))
    return conditions_text(named, (*silent(conditions), *unsaid))


def _wrong(advice: Advice, checks: Sequence[Checked]) -> str:
    """What `check` said against the fastest; empty where it did not."""
    for row in checks:
        of_best = (row.model, row.runtime) == (advice.conditions.model, advice.best.runtime)
        if of_best and row.verdict in (Verdict.DIFFERS, Verdict.FAILED):
            return f"{row.format} {row.verdict} there"
    return ""


def _sureness(advice: Advice) -> Iterator[str]:
    if advice.speedup is not None:
        yield f"How sure: {advice.speedup.how}{rivals_text(advice)}."
    for row in advice.unstable:
        why = row.why_unstable or "no reason is given"
        yield f"Provisional, since {_name(row)} is unstable: {why}."


def _next_best(advice: Advice, ratios: Ratios) -> Iterator[str]:
    """The fastest other runtime, or mode of one, and what it would cost."""
    best = advice.best
    rest = [row for row in advice.rows if (row.runtime, row.mode) != (best.runtime, best.mode)]
    if not rest:
        return
    row = min(rest, key=lambda row: row.p50)
    found = ratios.of(row, best)
    step, more = row.p50 / row.time, (row.p50 - best.p50) / row.time
    if row in advice.rivals or more <= 0 or not found.tells:
        cost = f"{seconds(step)} a step, which cannot be told from the best"
    else:
        shown = interval(found.ratio, found.low, found.high)
        cost = f"costs {seconds(more)} more a step ({seconds(step)}), {shown} times the time"
    shaky = "" if row.stable else "; it is unstable"
    yield f"Next best: {_name(row)}: {cost}{shaky}."


def _loop_against_fused(advice: Advice, ratios: Ratios) -> Iterator[str]:
    """How many times the time of the fused layer the loop takes, in each runtime that ran both."""
    rows = {implementation_of(row): row for row in advice.rows}
    said = []
    for subject, loop in rows.items():
        fused = rows.get(replace(subject, form="fused"))
        if subject.form != "loop" or fused is None:
            continue
        found = ratios.of(loop, fused)
        shown = interval(found.ratio, found.low, found.high)
        sure = found.paired or (loop.stable and fused.stable)
        doubt = ", unstable" if not sure else "" if found.tells else ", which cannot be told from 1"
        said.append(f"{shown} in {runtime_title(subject.runtime, subject.mode)}{doubt}")
    if said:
        yield f"Loop against fused layer, in times the time: {'; '.join(said)}."


def _changes(advice: Advice, others: Mapping[Conditions, Advice]) -> Iterator[str]:
    """A sentence for each condition of which other values were measured."""
    here = advice.conditions
    for axis, (noun, phrase) in _AXES.items():
        found = [
            (getattr(there, axis), other)
            for there, other in others.items()
            if there != here
            and getattr(there, axis) is not None
            and there._replace(**{axis: getattr(here, axis)}) == here
        ]
        if found:
            found.sort(key=lambda pair: int(pair[0]))
            said = [f"{_with(phrase, value)}: {_then(advice, o)}" for value, o in found[:_VALUES]]
            more = [f"{len(found) - _VALUES} more in the table"] if len(found) > _VALUES else []
            yield f"If the {noun} changes: {'; '.join([*said, *more])}."


def _with(phrase: str, value: int) -> str:
    text = phrase.format(value)
    return text.removesuffix("s") if value == 1 else text


def _then(advice: Advice, other: Advice) -> str:
    """`the same, 0.41 us a step`: what would be best there."""
    step = f"{seconds(other.step_s)} a step"
    ours, theirs = implementation_of(advice.best), implementation_of(other.best)
    if other.why_not:
        return f"it cannot be told ({_name(other.best)} looks fastest, {step})"
    if ours == theirs:
        return f"the same, {step}"
    if any(implementation_of(row) == ours for row in other.rivals):
        return f"nothing that is surely faster, {step}"
    return f"{_name(other.best)}, {step}"


def _name(latency: Latency) -> str:
    return implementation_title(implementation_of(latency))

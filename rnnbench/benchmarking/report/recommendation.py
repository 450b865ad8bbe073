"""Which form in which runtime to use, said in a sentence, or that the data cannot tell.

Under the same conditions, the fastest by its median is compared with the fastest eager form, which
is what one has without exporting anything. A paired ratio decides where there is one; where a
measurement is unstable, a chain of them does (both against eager). Else the bootstrap decides, and
then an unstable measurement on either side means that nothing can be told, but where nearly all
samples of one lie below the other's. What is slower than the best by more than the middle halves of
their samples spread is no rival of it, whatever the outliers are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rnnbench.benchmarking.plan import Implementation
from rnnbench.benchmarking.report.intervals import (
    ENOUGH,
    Array,
    Interval,
    apart,
    chained,
    halves_apart,
    of_medians,
    of_pair,
    resampled_medians,
)
from rnnbench.benchmarking.report.material import Machine
from rnnbench.benchmarking.report.names import (
    Conditions,
    conditions_of,
    conditions_text,
    implementation_of,
    implementation_title,
    order,
    runtime_title,
)
from rnnbench.benchmarking.report.units import interval, seconds
from rnnbench.benchmarking.results import Latency

FIRST_LINES = 6
TIE = 1.05
"""Forms in one runtime that are no further apart count as equally fast."""


@dataclass(frozen=True)
class Advice:
    """What the data say under one set of conditions.

    Attributes:
        conditions: what was equal.
        best: the fastest by its median.
        other: what it is compared with: the fastest eager form, or where that is the best itself
            (or there is none), the next runtime; None where there is nothing else.
        speedup: time of `other` / time of `best`.
        rivals: what cannot be told from the best, fastest first.
        why_not: why the data cannot tell; empty where they can.
        rows: all that was measured under these conditions, fastest first.
    """

    conditions: Conditions
    best: Latency
    other: Latency | None
    speedup: Interval | None
    rivals: tuple[Latency, ...]
    why_not: str
    rows: tuple[Latency, ...] = ()

    @property
    def unstable(self) -> tuple[Latency, ...]:
        """Of the two that are compared, those whose samples do not agree."""
        return tuple(row for row in (self.best, self.other) if row and not row.stable)

    @property
    def recommends(self) -> bool:
        """Whether there is an answer, if only a provisional one."""
        if not self.why_not:
            return True
        found = self.speedup
        enough = self.other is not None and min(self.best.count, self.other.count) >= ENOUGH
        return bool(self.unstable and enough and found and found.tells and found.ratio > 1)

    @property
    def step_s(self) -> float:
        """Seconds of one step of the best."""
        return self.best.p50 / self.best.time


def advise(machine: Machine, ratios: Ratios) -> tuple[Advice, ...]:
    """An `Advice` for each set of conditions under which something was measured.

    Args:
        machine: with what was measured there.
        ratios: of that machine.
    """
    rows: dict[Conditions, list[Latency]] = {}
    for latency in machine.latencies:
        rows.setdefault(conditions_of(latency), []).append(latency)
    return tuple(_advice(key, rows[key], ratios) for key in sorted(rows, key=order))


class Ratios:
    """How many times slower one latency is than another: paired, or else by the bootstrap."""

    def __init__(self, machine: Machine) -> None:
        self._pairs: dict[tuple[Conditions, Implementation, Implementation], Interval] = {}
        for ratio in machine.ratios:
            this, other = implementation_of(ratio), implementation_of(ratio.versus)
            alike = ratio.versus.model == ratio.model and this != other
            if alike and ratio.rounds >= ENOUGH:
                found = of_pair(ratio)
                self._pairs[conditions_of(ratio), this, other] = found
                self._pairs.setdefault((conditions_of(ratio), other, this), found.inverse())
        self._next: defaultdict[
            tuple[Conditions, Implementation], list[tuple[Implementation, Interval]]
        ] = defaultdict(list)
        for (where, this, other), pair in self._pairs.items():
            if pair.low > 0:  # of which there is a logarithm
                self._next[where, this].append((other, pair))
        self._medians: dict[str, Array] = {}

    def paired(self, this: Latency, other: Latency) -> Interval | None:
        """The ratio that was measured in turns, if it was."""
        return self._pairs.get(
            (conditions_of(this), implementation_of(this), implementation_of(other))
        )

    def linked(self, this: Latency, other: Latency) -> Interval | None:
        """What the fewest pairs say together that lead from one to the other; None without any.

        ONNX Runtime / eager, TorchScript / eager  ->  TorchScript / ONNX Runtime
        """
        if conditions_of(this) != conditions_of(other):
            return None
        where, goal = conditions_of(this), implementation_of(other)
        ways: dict[Implementation, tuple[Interval, ...]] = {implementation_of(this): ()}
        todo = list(ways)
        for here in todo:  # the nearest first
            for there, pair in self._next[where, here]:
                if there not in ways:
                    ways[there] = (*ways[here], pair)
                    todo.append(there)
        return chained(ways[goal]) if ways.get(goal) else None

    def of(self, this: Latency, other: Latency) -> Interval:
        """Time of this / time of the other."""
        found = self.paired(this, other)
        if found is None and not (this.stable and other.stable):
            found = self.linked(this, other)  # samples that do not agree say less
        return found or of_medians(this, self._resampled(this), other, self._resampled(other))

    def _resampled(self, latency: Latency) -> Array:
        if latency.name not in self._medians:
            self._medians[latency.name] = resampled_medians(latency)
        return self._medians[latency.name]


def first_lines(advices: Sequence[Advice]) -> tuple[Advice, ...]:
    """All where they are few; else one of each model on each device.

    That one has the smallest batch and the middle one of the sizes, lengths and layers.
    """
    if len(advices) <= FIRST_LINES:
        return tuple(advices)
    groups: dict[tuple[str, str], list[Advice]] = {}
    for advice in advices:
        groups.setdefault((advice.conditions.model, advice.conditions.device), []).append(advice)
    chosen = []
    for group in groups.values():
        middle = middle_conditions([advice.conditions for advice in group])
        chosen.append(next(advice for advice in group if advice.conditions == middle))
    return tuple(chosen)


def sentence(advice: Advice) -> str:
    """`for lstm, hidden 128, batch 1, 32 steps: ONNX Runtime (fused), 19.0 us a step, ...`."""
    where = conditions_text(advice.conditions, silent(advice.conditions))
    best = f"{_name(advice.best)}, {seconds(advice.step_s)} a step"
    if advice.other is None or advice.speedup is None:
        return f"for {where}: cannot tell, {advice.why_not}: {best}"
    ratio, other = advice.speedup, _name(advice.other)
    shown = interval(ratio.ratio, ratio.low, ratio.high)
    against = other if advice.other.runtime == "eager" else f"the next, {other}"
    if advice.why_not:
        return (
            f"for {where}: cannot tell, {advice.why_not}: {best}, looks {shown} times as fast as "
            f"{against}; {ratio.how}"
        )
    text = f"for {where}: {best}, {shown} times faster than {against}; {ratio.how}"
    return text + rivals_text(advice)


def _advice(conditions: Conditions, rows: Sequence[Latency], ratios: Ratios) -> Advice:
    ranked = sorted(rows, key=lambda row: row.p50)
    best, rest = ranked[0], ranked[1:]
    rivals = tuple(row for row in rest if _cannot_tell(ratios, best, row))
    other = _opponent(best, rest, ratios)
    if other is None:
        return Advice(conditions, best, None, None, rivals, "nothing else was measured", (best,))
    best = _paired_with(other, [best, *rivals], ratios)
    rivals = tuple(row for row in ranked if row is not best and _cannot_tell(ratios, best, row))
    speedup = ratios.of(other, best)
    why_not = _why_not(speedup, best, other)
    return Advice(conditions, best, other, speedup, rivals, why_not, tuple(ranked))


def _paired_with(other: Latency, alike: Sequence[Latency], ratios: Ratios) -> Latency:
    """Of forms in one runtime that are equally fast, the one that was measured in turns."""
    best = alike[0]
    same = [
        row
        for row in alike
        if (row.runtime, row.mode) == (best.runtime, best.mode) and row.p50 <= TIE * best.p50
    ]
    return next((row for row in same if ratios.paired(other, row)), best)


def _opponent(best: Latency, rest: Sequence[Latency], ratios: Ratios) -> Latency | None:
    """The fastest eager form; the next runtime where that is the best; else the next form.

    Which of two is faster, those that were measured in turns say first.
    """
    if best.runtime != "eager":
        found = [row for row in rest if row.runtime == "eager"]
    else:
        found = [row for row in rest if row.runtime != "eager"]
    pairs = [(row, ratios.paired(row, other)) for row in found for other in found]
    slower = [row.name for row, pair in pairs if pair and pair.tells and pair.low > 1]
    return next(iter([*(row for row in found if row.name not in slower), *found, *rest]), None)


def _cannot_tell(ratios: Ratios, best: Latency, row: Latency) -> bool:
    """Whether a row may be as fast as the best, for all that the data say."""
    enough = min(best.count, row.count) >= ENOUGH
    if enough and ratios.paired(row, best) is None and apart(best, row):
        return False  # no bootstrap is needed to see that
    found = ratios.of(row, best)
    if enough and found.tells and found.ratio > 1 and halves_apart(best, row):
        return False
    return bool(_why_not(found, best, row))


def _why_not(speedup: Interval, best: Latency, other: Latency) -> str:
    """Why it cannot be told whether `best` is faster; empty where it can."""
    if not speedup.paired:
        few = min(best.count, other.count)
        if few < ENOUGH:
            return f"too few samples ({few})"
    if not speedup.tells:
        return "the interval holds 1, or nearly"
    if speedup.ratio < 1:
        return "the medians and the rounds measured in turns disagree"
    unstable = next((row for row in (best, other) if not row.stable), None)
    if speedup.paired or unstable is None or apart(best, other):
        return ""
    return f"{_name(unstable)} is unstable: {unstable.why_unstable or 'no reason is given'}"


def middle_conditions(conditions: Sequence[Conditions]) -> Conditions:
    """One set of conditions to stand for all of a model: one batch, and the middle of the sizes."""
    chosen = sorted(conditions, key=order)
    for name in ("threads", "batch", "layers", "hidden", "time"):
        values = sorted({getattr(each, name) or 0 for each in chosen})
        value = values[0] if name in ("threads", "batch") else values[len(values) // 2]
        chosen = [each for each in chosen if (getattr(each, name) or 0) == value]
    return chosen[0]


def silent(conditions: Conditions) -> Iterable[str]:
    """Conditions that go without saying."""
    usual = {"layers": (None, 1), "threads": (1,), "device": ("cpu",)}
    return [name for name, values in usual.items() if getattr(conditions, name) in values]


def _name(latency: Latency) -> str:
    return implementation_title(implementation_of(latency))


def rivals_text(advice: Advice) -> str:
    """`; cannot be told from its exported form`, or nothing.

    What cannot be told from the best: other forms in the same runtime, other runtimes; these with
    their form where it is another than that of the best, whose own may well be told.
    """
    best = advice.best
    names = []
    for row in advice.rivals:
        if (row.runtime, row.mode) == (best.runtime, best.mode):
            names.append(f"its {row.form} form")
        elif row.form == best.form:
            names.append(runtime_title(row.runtime, row.mode))
        else:
            names.append(_name(row))
    if not names:
        return ""
    names.sort(key=lambda name: not name.startswith("its "))
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"; cannot be told from {listed}"

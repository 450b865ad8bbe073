"""Two runs of the same plan: which rows changed, and whether the data can tell.

Rows are matched by the benchmark's name, and those that are left by what ran and under which
conditions: a FILE.py and its bundle have names of their own for the same model. A latency has a
bootstrap interval over its raw samples; a ratio that was measured in turns has the two intervals
that were measured, put together. Where a measurement is unstable nothing can be told, but where
nearly all samples of a latency lie apart; that such a row looks slower is a doubt. What the machine
did between two runs is in neither, so a change of all rows alike is said to be the machine's rather
than the code's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rnnbench.benchmarking.report.doubts import circumstances
from rnnbench.benchmarking.report.intervals import (
    ENOUGH,
    Interval,
    apart,
    of_medians,
    resampled_medians,
)
from rnnbench.benchmarking.report.material import machine_key, machine_name
from rnnbench.benchmarking.report.names import conditions_of, implementation_of
from rnnbench.benchmarking.report.units import percent
from rnnbench.benchmarking.results import Latency, Ratio, Results, read_results
from rnnbench.benchmarking.store.folder import is_store
from rnnbench.benchmarking.store.runs import machines_of, results_of_commit
from rnnbench.core.errors import RnnbenchError

ALIKE = 0.03
"""How far the median change of all rows may be from none before it is said."""
SEVERAL = 8
"""Rows that it takes to say so."""


@dataclass(frozen=True)
class Change:
    """One row in both runs.

    Attributes:
        row: as it is in the new run.
        before: seconds, or the ratio where the row is one.
        after: the same in the new run.
        interval: after / before.
        verdict: `slower`, `faster`; of a ratio `higher`, `lower`; or `cannot tell` where the
            interval is not clear of 1, or means nothing.
        note: why a row is doubtful.
    """

    row: Latency | Ratio
    before: float
    after: float
    interval: Interval
    verdict: str
    note: str = ""

    def regressed(self, threshold: float) -> bool:
        """Whether even the lower bound is slower by more than this part.

        A ratio of two of our own may grow since the other became faster: only one against the
        stock exporter's file can be a regression.
        """
        return self.verdict != "cannot tell" and self._beyond(threshold)

    def doubtful(self, threshold: float) -> bool:
        """Whether it would have regressed, if the row were stable, or of more samples."""
        return self.verdict == "cannot tell" and self._beyond(threshold)

    def _beyond(self, threshold: float) -> bool:
        ours = isinstance(self.row, Latency) or self.row.what == "ours/stock"
        return ours and self.interval.low > 1 + threshold


@dataclass(frozen=True)
class Comparison:
    """What changed from one run to another.

    Attributes:
        old: the file.
        new: the file.
        changes: rows in both.
        appeared: names that are in the new one alone.
        vanished: names that are in the old one alone.
        doubts: what a reader should know first.
        same_machine: whether both are of one machine.
    """

    old: Path
    new: Path
    changes: tuple[Change, ...]
    appeared: tuple[str, ...]
    vanished: tuple[str, ...]
    doubts: tuple[str, ...]
    same_machine: bool

    def regressions(self, threshold: float) -> tuple[Change, ...]:
        """Rows that are slower beyond a threshold; none between different machines."""
        if not self.same_machine:
            return ()
        return tuple(change for change in self.changes if change.regressed(threshold))


def looks_slower(comparison: Comparison, threshold: float) -> str:
    """A line about the rows that are too unstable to be told from no change; empty without any."""
    found = [change for change in comparison.changes if change.doubtful(threshold)]
    if not found or not comparison.same_machine:
        return ""
    rows = "1 row looks" if len(found) == 1 else f"{len(found)} rows look"
    return (
        f"{rows} slower by more than {percent(threshold)}, and cannot be told, since it is "
        f"unstable or has few samples (first {found[0].row.name}): measure again on a quiet machine"
    )


def compare_results(
    old: str | Path,
    new: str | Path,
    *,
    across_machines: bool = False,
    commits: Sequence[str] = (),
    where: str | None = None,
) -> Comparison:
    """Compares two results files, or what two stores hold.

    Of a store it is the newest run on the machine that was last measured in both, or all that this
    measured at a commit.

    Args:
        old: a file of `bench`, or a store.
        new: another one; the same store where two commits are given.
        across_machines: compare also where they are of different machines; nothing is a regression
            then.
        commits: the beginnings of the ids of two, of stores.
        where: an SQL condition on the rows of stores.

    Raises:
        RnnbenchError: a file is damaged or something else, or they are of different machines, or
            have nothing in common.
    """
    before, after = _both(Path(old), Path(new), commits, where)
    same = machine_key(before) == machine_key(after)
    if not same and not across_machines:
        raise RnnbenchError(
            f"{before.path} is of {machine_name(before)}, and {after.path} of "
            f"{machine_name(after)}: measure both on one machine, or give --across-machines"
        )
    was, now = _rows(before), _rows(after)
    names = _matched(was, now)
    found = (_change(was[old_name], now[name]) for name, old_name in names.items())
    changes = tuple(change for change in found if change is not None)
    if not changes:
        raise RnnbenchError(
            f"{before.path} and {after.path} have no row in common: measure the same plan with "
            "`rnnbench bench`"
        )
    return Comparison(
        *(before.path, after.path, changes),
        appeared=tuple(name for name in now if name not in names),
        vanished=tuple(name for name in was if name not in names.values()),
        doubts=tuple(_doubts(before, after, changes, same)),
        same_machine=same,
    )


def threshold(given: str) -> float:
    """`5%` -> 0.05.

    Raises:
        RnnbenchError: it is no percentage.
    """
    try:
        value = float(given.removesuffix("%")) / 100
    except ValueError:
        value = math.nan
    if not given.endswith("%") or not 0 <= value < math.inf:
        raise RnnbenchError(f"--fail-on {given!r}: give a percentage of 0 or more, as in 5%")
    return value


def _both(
    old: Path, new: Path, commits: Sequence[str], where: str | None
) -> tuple[Results, Results]:
    """What is compared; of stores, that of one machine where both have it.

    Raises:
        RnnbenchError: it cannot be read, or a file is asked for what a store has alone.
    """
    stores = [path for path in (old, new) if is_store(path)]
    if (commits or where is not None) and len(stores) < 2:
        option = "--commit" if commits else "--where"
        raise RnnbenchError(f"{option} chooses rows of stores: give stores, not files")
    if commits and len(commits) != 2:
        raise RnnbenchError("--commit: give it twice, for the old and for the new")
    machine = None
    if len(stores) == 2:
        known = [
            machines_of(path, commit, where)
            for path, commit in zip((old, new), commits or (None, None), strict=True)
        ]
        machine = next((name for name in known[1] if name in known[0]), None)
    first, second = (
        results_of_commit(path, commit, where, machine) if path in stores else _one(path)
        for path, commit in zip((old, new), commits or (None, None), strict=True)
    )
    return first, second


def _one(path: Path) -> Results:
    found = read_results([path])
    if len(found) > 1:
        raise RnnbenchError(f"{path} holds {len(found)} results: give one file")
    return found[0]


def _rows(results: Results) -> dict[str, Latency | Ratio]:
    latencies: dict[str, Latency | Ratio] = {row.name: row for row in results.latencies}
    return latencies | {row.name: row for row in results.ratios}


def _matched(
    was: Mapping[str, Latency | Ratio], now: Mapping[str, Latency | Ratio]
) -> dict[str, str]:
    """The name of a row in the new run -> that of the same row in the old one."""
    before, after = (
        _alone({name: row for name, row in rows.items() if name not in others})
        for rows, others in ((was, now), (now, was))
    )
    found = {name: name for name in now if name in was}
    found |= {name: before[key] for key, name in after.items() if key in before}
    return {name: found[name] for name in now if name in found}


def _alone(rows: Mapping[str, Latency | Ratio]) -> dict[tuple[object, ...], str]:
    """What ran -> the row's name, where no other row is of the same."""
    keys = {name: _what_ran(row) for name, row in rows.items()}
    counts = Counter(keys.values())
    return {key: name for name, key in keys.items() if counts[key] == 1}


def _what_ran(row: Latency | Ratio) -> tuple[object, ...]:
    of_pair = (row.what, row.versus) if isinstance(row, Ratio) else ()
    return (implementation_of(row), conditions_of(row), *of_pair)


def _change(old: Latency | Ratio, new: Latency | Ratio) -> Change | None:
    if isinstance(old, Latency) and isinstance(new, Latency):
        if not old.p50 or not new.p50:
            return None
        interval = of_medians(
            new, resampled_medians(new, "new"), old, resampled_medians(old, "old")
        )
        few = min(old.count, new.count)
        sure = (old.stable and new.stable) or apart(old, new) or apart(new, old)
        return _judged(new, (old.p50, new.p50), interval, few, (old, new), sure)
    if isinstance(old, Ratio) and isinstance(new, Ratio):
        if min(old.low, new.low) <= 0:
            return None
        few, sure = min(old.rounds, new.rounds), old.stable and new.stable
        return _judged(new, (old.ratio, new.ratio), _of_ratios(new, old), few, (old, new), sure)
    return None


def _judged(
    row: Latency | Ratio,
    values: tuple[float, float],
    interval: Interval,
    samples: int,
    both: Sequence[Latency | Ratio],
    sure: bool,
) -> Change:
    verdict, notes = "cannot tell", []
    if samples < ENOUGH:
        notes.append(f"too few samples ({samples})")
    elif interval.tells and sure:
        more, less = ("slower", "faster") if isinstance(row, Latency) else ("higher", "lower")
        verdict = more if interval.low > 1 else less
    for which, one in zip(("old", "new"), both, strict=True):
        if not one.stable:
            notes.append(f"{which} unstable: {one.why_unstable or 'no reason is given'}")
    return Change(row, *values, interval, verdict, "; ".join(notes))


def _of_ratios(new: Ratio, old: Ratio) -> Interval:
    """The quotient of two ratios whose intervals are known: their logarithms are added up."""
    middle = math.log(new.ratio / old.ratio)
    below = math.hypot(math.log(new.ratio / new.low), math.log(old.high / old.ratio))
    above = math.hypot(math.log(new.high / new.ratio), math.log(old.ratio / old.low))
    how = f"paired, {old.rounds} and {new.rounds} rounds"
    bounds = (math.exp(middle - below), math.exp(middle + above))
    return Interval(math.exp(middle), *bounds, how, paired=True)


def _doubts(before: Results, after: Results, changes: Sequence[Change], same: bool) -> list[str]:
    found = []
    if not same:
        found.append(
            f"these are different machines ({machine_name(before)}; {machine_name(after)}): "
            "a change is not one of the code"
        )
    latencies = [math.log(c.interval.ratio) for c in changes if isinstance(c.row, Latency)]
    if len(latencies) >= SEVERAL:
        middle = math.exp(sorted(latencies)[len(latencies) // 2])
        if abs(middle - 1) > ALIKE:
            found.append(
                f"half of all latencies are {middle:.2f} times what they were, or more: the "
                "machine may have changed rather than the code"
            )
    unstable = sum(bool(change.note) for change in changes)
    if unstable:
        found.append(f"{unstable} of {len(changes)} rows are unstable in one of the two")
    for which, results in (("old", before), ("new", after)):
        found += [f"{which}: {line}" for line in circumstances(results)]
    return found + _different_software(before, after)


def _different_software(before: Results, after: Results) -> list[str]:
    was, now = (r.facts.get("versions") or {} for r in (before, after))
    return [
        f"{package} was {was.get(package, 'absent')} and is {now.get(package, 'absent')}"
        for package in sorted({*was, *now})
        if was.get(package) != now.get(package)
    ]

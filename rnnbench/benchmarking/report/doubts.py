"""What a reader should know before believing the numbers, one line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rnnbench.benchmarking.report.checks import Checked
from rnnbench.benchmarking.report.intervals import ENOUGH
from rnnbench.benchmarking.report.material import Machine, Material
from rnnbench.benchmarking.report.names import (
    conditions_of,
    conditions_text,
    implementation_of,
    implementation_title,
)
from rnnbench.benchmarking.report.recommendation import Advice, Ratios
from rnnbench.benchmarking.report.units import interval, percent
from rnnbench.benchmarking.results import Latency, Ratio, Results, Skipped
from rnnbench.core.verdicts import Verdict

BUSY = 0.5
"""Load per core at the start above which others were at work."""
AGREEMENT = {"harness": 0.03, "judge": 0.1}
"""How far apart the same thing may be when it is measured here and by another."""
NAMED = 5
"""Hazards that are told one by one."""
APART = 0.25
"""How far a quotient of two latencies may be from the same ratio measured in turns."""


def doubts(material: Material, advices: Sequence[tuple[Machine, Advice]]) -> tuple[str, ...]:
    """Lines, the gravest first."""
    found: list[str] = []
    if len(material.machines) > 1:
        names = "; ".join(machine.name for machine in material.machines)
        found.append(
            f"{len(material.machines)} machines are mixed ({names}): "
            "nothing is compared between them"
        )
    found += _wrong(material.checks, advices)
    found += _in_files(material)
    for machine in material.machines:
        where = f" on {machine.name}" if len(material.machines) > 1 else ""
        found += [line + where for line in _of_machine(machine)]
    return tuple(found)


def _of_machine(machine: Machine) -> Iterator[str]:
    yield from _not_measured(machine.skipped)
    yield from _noise(machine)
    yield from _harness(machine.ratios)
    yield from _disagreeing(machine)
    for results in machine.results:
        name = f" ({results.path.name})" if len(machine.results) > 1 else ""
        yield from (line + name for line in circumstances(results))
    yield from _versions(machine.results)
    if machine.replaced:
        yield f"{machine.replaced} rows were measured again later: the newest are shown"


def _wrong(checks: Sequence[Checked], advices: Sequence[tuple[Machine, Advice]]) -> Iterator[str]:
    """Speed counts for nothing where the outputs differ."""
    best = {(a.conditions.model, a.best.runtime) for _, a in advices}
    for row in checks:
        if row.verdict in (Verdict.DIFFERS, Verdict.FAILED):
            fastest = (row.model, row.runtime) in best
            also = ", which is the fastest here" if fastest else ""
            yield f"{row.model}: {row.format} in {row.runtime}{also}: {row.verdict}: {row.reason}"


def _in_files(material: Material) -> Iterator[str]:
    """Errors that `inspect` found, and engines that compute something else without a word."""
    hazards = [(f, h) for f in material.inspected for h in f.hazards if h.severity == "error"]
    for file, hazard in hazards[:NAMED]:
        yield f"{file.path}: {hazard.name}: {hazard.what}: {hazard.remedy}"
    if len(hazards) > NAMED:
        yield f"{len(hazards) - NAMED} more hazards are errors: see their table"
    wrong = [row for row in material.conformed if row.verdict == Verdict.DIFFERS]
    if wrong:
        first = wrong[0]
        name = ", ".join(filter(None, (first.target, first.profile)))
        yield (
            f"{len(wrong)} of {len(material.conformed)} runs of engines are wrong without an "
            f"error, first {first.model} in {name}: {first.reason}"
        )


def _not_measured(skipped: Sequence[Skipped]) -> Iterator[str]:
    """What an answer may be without: the wrong apart from what could not run."""
    wrong = [one for one in skipped if one.is_wrong]
    others = [one for one in skipped if one not in wrong]
    for found, why in ((wrong, "computes something else"), (others, "could not be measured")):
        if found:
            rest = f", and {len(found) - 1} more" if len(found) > 1 else ""
            yield f"{found[0].what} {why}{rest}: {found[0].reason}"


def _noise(machine: Machine) -> Iterator[str]:
    """Unstable rows; the worst of them by the deviation of its samples."""
    unstable = [row for row in machine.latencies if not row.stable]
    if unstable:
        worst = max(unstable, key=deviation)
        why = worst.why_unstable or f"the deviation is {percent(deviation(worst))} of the median"
        name, where = implementation_title(implementation_of(worst)), conditions_of(worst)
        yield (
            f"{len(unstable)} of {len(machine.latencies)} latencies are unstable, first of all "
            f"{name} at {conditions_text(where)}: {why}"
        )
    few = [row for row in machine.latencies if row.count < ENOUGH]
    if few:
        yield f"{len(few)} latencies have fewer than {ENOUGH} samples: they have no interval"


def deviation(row: Latency) -> float:
    """The middle half of the samples as a standard deviation, relative to the median."""
    return (row.percentile(75) - row.percentile(25)) / 1.349 / row.p50 if row.p50 else 0.0


def _harness(ratios: Sequence[Ratio]) -> Iterator[str]:
    for row in ratios:
        allowed = AGREEMENT.get(row.what)
        if allowed is not None and (row.low > 1 + allowed or row.high < 1 - allowed):
            shown = interval(row.ratio, row.low, row.high)
            yield (
                f"{row.name}: what is measured here is {shown} times what another way of measuring "
                f"says, and {percent(allowed)} is allowed"
            )


def _disagreeing(machine: Machine) -> Iterator[str]:
    """Pairs whose latencies, measured one after the other, say something else."""
    rows = {(conditions_of(r), implementation_of(r)): r for r in machine.latencies}
    ratios = Ratios(machine)
    found: list[tuple[float, str]] = []
    for ratio in machine.ratios:
        this = rows.get((conditions_of(ratio), implementation_of(ratio)))
        other = rows.get((conditions_of(ratio), implementation_of(ratio.versus)))
        pair = ratios.paired(this, other) if this and other else None
        if this is None or other is None or pair is None:
            continue
        quotient = this.p50 / other.p50
        off = max(quotient / pair.high, pair.low / quotient) - 1
        if off > APART:
            shown = interval(pair.ratio, pair.low, pair.high)
            where = conditions_text(conditions_of(this))
            names = " / ".join(implementation_title(implementation_of(e)) for e in (this, other))
            found.append((off, f"{names} at {where}: {shown} in turns, {quotient:.2f} apart"))
    if found:
        yield (
            f"{len(found)} of {len(machine.ratios)} ratios differ by more than {percent(APART)} "
            "between measuring in turns and "
            f"one after the other (the machine changed meanwhile), most of all {max(found)[1]}"
        )


def circumstances(results: Results) -> Iterator[str]:
    """What was not as it should be while a file was measured."""
    facts = results.facts
    load = (facts.get("load") or [None])[0]
    cores = facts.get("cores")
    if load is not None and load > BUSY * (cores or 1):
        of = f" on {cores} cores" if cores else ""
        yield f"the load was {load:.1f} at the start{of}: others were at work"
    governor = facts.get("governor")
    if governor and governor != "performance":
        yield f"the frequency governor was {governor!r}, not 'performance'"
    if results.commit.get("dirty"):
        yield "the commit had uncommitted changes"


def _versions(results: Sequence[Results]) -> Iterator[str]:
    seen: dict[str, dict[str, None]] = {}
    for one in results:
        for package, version in (one.facts.get("versions") or {}).items():
            seen.setdefault(package, {})[str(version)] = None
    for package, versions in seen.items():
        if len(versions) > 1:
            yield f"versions of {package} are mixed: {', '.join(versions)}"

"""Runs a plan: one item after the other, each in the journal before the next; then the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnbench.benchmarking.machine import describe_machine, same_machine
from rnnbench.benchmarking.measuring.artifacts import Artifacts
from rnnbench.benchmarking.measuring.judging import WrongOutput
from rnnbench.benchmarking.measuring.measure import measure
from rnnbench.benchmarking.measuring.roofline import measure_limits
from rnnbench.benchmarking.measuring.sampling import FULL, QUICK
from rnnbench.benchmarking.plan import Item, Plan
from rnnbench.benchmarking.record import (
    Journal,
    find_journal,
    machine_folder,
    next_file,
    to_entry,
    to_results,
    write_results,
)
from rnnbench.benchmarking.refusals import check_plan
from rnnbench.benchmarking.results import WRONG
from rnnbench.benchmarking.searching import items_of, searched
from rnnbench.core.errors import RnnbenchError, Unavailable, one_line
from rnnbench.core.interrupts import taken_up

_WARM_UP_S, _COLD_START_S, _EXPORT_S = 0.3, 3.0, 6.0  # on a machine of 2024; for a forecast alone
_STREAMS_S = 1.0  # to warm up, and to judge
_OTHER_SIZES = (128,)  # a user's model has no hidden size of its own

Tell = Callable[[Item], None]
TellResult = Callable[[Item, str], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        path: the results file; None where nothing was measured.
        measured: how many items have an entry.
        total: how many there are.
        wrong: what computed something else than the module in float64.
        interrupted: whether it was stopped before its end.
    """

    path: Path | None
    measured: int
    total: int
    wrong: tuple[str, ...]
    interrupted: bool


def run_plan(
    plan: Plan,
    out: Path,
    *,
    name: str | None,
    resume: bool = False,
    on_progress: Tell | None = None,
    on_result: TellResult | None = None,
) -> Outcome:
    """Measures a plan and writes one results file, also when it is interrupted.

    Args:
        plan: what to measure.
        out: the folder of the results; one for each sort of machine is made in it.
        name: of the file, after its number.
        resume: goes on with the newest run of this plan that was stopped.
        on_progress: is called before each item.
        on_result: is called behind it, with what was found, in a few words.

    Raises:
        RnnbenchError: the plan asks for what does not exist, or cannot be resumed.
    """
    check_plan(plan)
    todo = items_of(plan)
    journal, head, lines = _start(plan, machine_folder(out), name, resume)
    done = {line["id"] for line in lines}
    interrupted = False
    try:
        with Artifacts() as artifacts:
            for item in searched(plan, lines) if plan.crossover else todo:
                if on_progress is not None:
                    on_progress(item)
                if item.label not in done:
                    line = measure_line(item, artifacts, plan.quick)
                    journal.add(line)
                    lines.append(line)
                    if on_result is not None:
                        on_result(item, in_words(line))
    except KeyboardInterrupt:
        taken_up()
        interrupted = True
    except BaseException:
        journal.end(finished=False)
        raise
    path = save_lines(journal, head, lines)
    journal.end(finished=not interrupted)
    if path is None and not interrupted:
        raise nothing_measured(lines)
    total = len(lines) if plan.crossover else len(todo)
    return Outcome(path, count_measured(lines), total, wrong_in(lines), interrupted)


def save_lines(
    journal: Journal, head: dict[str, Any], lines: Sequence[dict[str, Any]]
) -> Path | None:
    """Writes the results file of a journal; None where nothing of it was measured.

    Args:
        journal: says where.
        head: of it: the plan, the machine, and facts beside those where there are any.
        lines: of it, those that count.
    """
    entries = [line["entry"] for line in lines if "entry" in line]
    if not entries:
        return None
    facts = {**head["machine"], "skipped": list(_skipped(lines)), "plan": head["plan"]}
    data = to_results(entries, facts, head.get("machine_info"))
    write_results(journal.results, data)
    return journal.results


def nothing_measured(lines: Sequence[dict[str, Any]]) -> RnnbenchError:
    """The error of a run without one entry."""
    reasons = "; ".join(dict.fromkeys(each["reason"] for each in _skipped(lines)))
    return RnnbenchError(f"nothing could be measured: {reasons or 'the plan is empty'}")


def count_measured(lines: Sequence[dict[str, Any]]) -> int:
    """How many lines have an entry."""
    return sum("entry" in line for line in lines)


def wrong_in(lines: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """What computed something else than the module in float64."""
    return tuple(line["skipped"]["what"] for line in lines if line.get("wrong"))


def forecast_s(todo: Sequence[Item], quick: bool) -> float:
    """About how many seconds a plan takes: what is sampled for, and some for each export."""
    effort = QUICK if quick else FULL
    each = {
        "latency": effort.samples_s + _WARM_UP_S,
        "ratio": effort.rounds_s + _WARM_UP_S,
        "cost": _COLD_START_S,
        "streams": effort.rounds_s + _STREAMS_S,
    }
    exported = {item.target for item in todo}
    return sum(each[item.kind] for item in todo) + _EXPORT_S * len(exported)


def in_words(line: dict[str, Any]) -> str:
    """What a line of the journal says: `73.8 us`, `0.245`, or that there is nothing: the tables
    say why, once for all that cannot be measured for the same reason.
    """
    if "skipped" in line:
        return f"not measured, {WRONG}" if line.get("wrong") else "not measured"
    info = line["entry"]["extra_info"]
    if info["kind"] == "ratio":
        return f"{info['ratio']:.3f} ({info['low']:.3f} to {info['high']:.3f})"
    if info["kind"] == "latency":
        return f"{1e6 * info['p50']:.1f} us" + ("" if info["stable"] else ", unstable")
    if info["kind"] == "streams":
        said = f"{info['steps_per_core']:,.0f} steps a second a core"
        return said + ("" if info["stable"] else ", unstable")
    return f"loaded in {1e3 * info['load_s']:.0f} ms" if info.get("load_s") else "measured"


def _start(
    plan: Plan, folder: Path, name: str | None, resume: bool
) -> tuple[Journal, dict[str, Any], list[dict[str, Any]]]:
    """A new journal, or the one of the run that was stopped."""
    machine = describe_machine()
    if resume:
        journal = find_journal(folder, name)
        try:
            return journal, *_read(journal, plan, machine)
        except BaseException:
            journal.end(finished=False)
            raise
    machine["limits"] = limits_of(plan)
    head = {"plan": plan.to_json(), "machine": machine}
    while True:
        journal = Journal(next_file(folder, name or ("quick" if plan.quick else "full")))
        if journal.begin(head):
            return journal, head, []


def limits_of(plan: Plan) -> dict[str, Any]:
    """What the machine can do at most, at the sizes of a plan; it is measured now."""
    return measure_limits(plan.threads, tuple(plan.hidden) or _OTHER_SIZES)


def _read(
    journal: Journal, plan: Plan, machine: dict[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a run that was stopped has measured, where it was of the same plan and machine."""
    head, lines = journal.read()
    if head.get("plan") != plan.to_json():
        raise RnnbenchError(
            f"{journal.path} is of another plan: give the options that it was started with, "
            "or start anew without --resume"
        )
    if "cluster" in head:
        raise RnnbenchError(
            f"{journal.path} is of a run on a cluster: give --cluster, or start anew without "
            "--resume"
        )
    differs = same_machine(machine, head["machine"])
    if differs:
        raise RnnbenchError(
            f"{journal.path} is of another machine ({differs}): start anew without --resume"
        )
    return head, lines


def measure_line(item: Item, artifacts: Artifacts, quick: bool) -> dict[str, Any]:
    """A line of the journal: an entry, or why there is none. Nothing but Ctrl-C ends a run."""
    label = item.label
    try:
        measured = measure(item, artifacts, QUICK if quick else FULL)
    except Exception as error:  # each runtime raises types of its own
        reason = one_line(error)
        if not isinstance(error, RnnbenchError):
            reason = f"{type(error).__name__}: {reason}"
        what = f"{item.way.runtime} on {item.conditions.device}"
        if not isinstance(error, Unavailable):
            what = label
        wrong = isinstance(error, WrongOutput)
        return {"id": label, "skipped": {"what": what, "reason": reason}, "wrong": wrong}
    return {"id": label, "entry": to_entry(measured)}


def _skipped(lines: Sequence[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """Each reason once."""
    seen = set()
    for line in lines:
        if "skipped" in line and tuple(line["skipped"].values()) not in seen:
            seen.add(tuple(line["skipped"].values()))
            yield line["skipped"]

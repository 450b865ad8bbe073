"""Material -> tables: what is the same in every row moves from the columns to the caption."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rnnbench.benchmarking.entry import Entry
from rnnbench.benchmarking.plan import runtime_name
from rnnbench.benchmarking.precisions import find_choices, heads, row_of
from rnnbench.benchmarking.report import units
from rnnbench.benchmarking.report.checks import Checked
from rnnbench.benchmarking.report.file_tables import file_tables
from rnnbench.benchmarking.report.limits import limit_s
from rnnbench.benchmarking.report.material import Machine, Material
from rnnbench.benchmarking.report.names import (
    implementation_name,
    implementation_of,
    ratio_name,
)
from rnnbench.benchmarking.report.recommendation import Advice
from rnnbench.benchmarking.report.table import Table, make_table
from rnnbench.benchmarking.results import Cost, Latency, Ratio
from rnnbench.benchmarking.streams import Streams

_RAN = ("model", "runtime", "form")


def tables(material: Material, advices: Sequence[tuple[Machine, Advice]]) -> tuple[Table, ...]:
    """Every table that has rows."""
    several = len(material.machines) > 1
    found = [_advice_table([advice for _, advice in advices])]
    for machine in material.machines:
        where = f" on {machine.name}" if several else ""
        of_machine = (latency_table(machine), ratio_table(machine.ratios), _costs(machine.costs))
        others = (*_training(machine), _streams(machine.streams), *_precisions(machine))
        for table in (*of_machine, *others):
            found.append(replace(table, title=table.title.replace("{where}", where)))
    found.append(_checks(material.checks))
    found += file_tables(material)
    found.append(_skipped(material.machines))
    return tuple(table for table in found if table.rows)


def latency_table(machine: Machine) -> Table:
    """What a call takes, and how far that is from the machine's limit."""
    rows = sorted(machine.latencies, key=_order)
    limits = [limit_s(machine, row) for row in rows]
    columns: dict[str, Iterable[str]] = {
        **_conditions(rows),
        "p50 (us)": [units.us(r.p50) for r in rows],
        "p95 (us)": [units.us(r.p95) for r in rows],
        "p99 (us)": [units.us(r.p99) for r in rows],
        "a step (us)": [units.us(r.p50 / r.time) for r in rows],
        "throughput (steps/ms)": [units.digits(r.batch * r.time / r.p50 / 1e3) for r in rows],
        "of real time (%)": [_real_time(r) for r in rows],
        "CUDA events (us)": [units.us(r.cuda_event_s) for r in rows],
        "limit (us)": [units.us(limit) for limit in limits],
        "times the limit": [
            units.digits(row.p50 / limit) if limit else ""
            for row, limit in zip(rows, limits, strict=True)
        ],
        "warm-up (ms)": [units.ms(r.warmup_s) for r in rows],
        "of it recompiling (ms)": [units.ms(r.recompile_s) for r in rows],
        "samples": [str(r.count) for r in rows],
        "note": [_unstable(r) for r in rows],
    }
    return make_table("Latency of a call{where}", columns, "p50 (us)", _RAN)


def ratio_table(ratios: Sequence[Ratio]) -> Table:
    """What was measured in turns."""
    rows = sorted(ratios, key=lambda r: (r.what, *_order(r)))
    columns: dict[str, Iterable[str]] = {
        "what": [r.what for r in rows],
        **{k: v for k, v in _conditions(rows).items() if k not in ("form", "runtime")},
        "this / other": [ratio_name(r) for r in rows],
        "ratio (95 % interval)": [units.interval(r.ratio, r.low, r.high) for r in rows],
        "rounds": [str(r.rounds) for r in rows],
        "verdict": [r.verdict for r in rows],
        "note": [_unstable(r) for r in rows],
    }
    title = "Measured in turns, time of this / time of the other{where}"
    return make_table(title, columns, "ratio (95 % interval)", ("model", "this / other"))


def _training(machine: Machine) -> Iterator[Table]:
    """Forward and backward, in two tables as what is computed alone is."""
    own = replace(
        machine, latencies=tuple(row for row in machine.training if isinstance(row, Latency))
    )
    ratios = [row for row in machine.training if isinstance(row, Ratio)]
    for table in (latency_table(own), ratio_table(ratios)):
        yield replace(table, title=f"Forward and backward: {table.title}")


def _costs(costs: Sequence[Cost]) -> Table:
    rows = sorted(costs, key=_order)
    columns: dict[str, Iterable[str]] = {
        **_conditions(rows),
        "export (ms)": [units.ms(r.export_s) for r in rows],
        "load (ms)": [units.ms(r.load_s) for r in rows],
        "first call (ms)": [units.ms(r.first_call_s) for r in rows],
        "peak memory (MB)": [units.megabytes(r.peak_memory_bytes) for r in rows],
        "of it before loading (MB)": [units.megabytes(r.baseline_memory_bytes) for r in rows],
        "artifact (MB)": [units.megabytes(r.artifact_bytes) for r in rows],
    }
    return make_table("Before the first steady call{where}", columns, "load (ms)", _RAN)


def _streams(streams: Sequence[Streams]) -> Table:
    rows = sorted(
        streams, key=lambda row: (*_order(row)[:5], row.time, row.runtime, row.form, row.streams)
    )
    conditions = _conditions(rows)
    del conditions["batch"]  # which is how they are held
    columns: dict[str, Iterable[str]] = {
        **conditions,
        "streams": [str(r.streams) for r in rows],
        "held": [r.held for r in rows],
        "p50 (us)": [units.us(r.p50) for r in rows],
        "p99 (us)": [units.us(r.p99) for r in rows],
        "steps/s": [units.digits(r.steps_per_s) for r in rows],
        "cores": [str(r.cores) for r in rows],
        "steps/s a core": [units.digits(r.steps_per_core) for r in rows],
        "95 % interval": [
            f"{units.digits(r.low / r.cores)} to {units.digits(r.high / r.cores)}" for r in rows
        ],
        "streams a core": [
            "" if r.streams_per_core is None else units.digits(r.streams_per_core) for r in rows
        ],
        "note": [_unstable(r) for r in rows],
    }
    title = "Streams: calls of each, one behind the other, all at once{where}"
    return make_table(title, columns, "steps/s a core", _RAN)


def _precisions(machine: Machine) -> Iterator[Table]:
    """A table for each model and runtime that was measured in several precisions."""
    for found in find_choices(machine.latencies, machine.ratios, machine.costs):
        title = f"What {found.model} costs and saves in each precision{{where}}; {found.where}"
        rows = tuple(row_of(found, choice) for choice in found.choices)
        yield Table(title, heads(found), rows, "of float32", ("precision",))


def _advice_table(advices: Sequence[Advice]) -> Table:
    ratios = [a.speedup for a in advices]
    columns: dict[str, Iterable[str]] = {
        **sizes([a.best for a in advices]),
        "fastest": [implementation_name(implementation_of(a.best)) for a in advices],
        "a step (us)": [units.us(a.step_s) for a in advices],
        "against": [
            "" if a.other is None else implementation_name(implementation_of(a.other))
            for a in advices
        ],
        "times faster (95 % interval)": [
            "" if r is None else units.interval(r.ratio, r.low, r.high) for r in ratios
        ],
        "how": ["" if r is None else r.how for r in ratios],
        "verdict": [f"cannot tell: {a.why_not}" if a.why_not else "faster" for a in advices],
    }
    return make_table("What is fastest", columns, "a step (us)", ("model", "fastest"))


def _checks(checks: Sequence[Checked]) -> Table:
    columns: dict[str, Iterable[str]] = {
        "model": [c.model for c in checks],
        "format": [c.format for c in checks],
        "runtime": [c.runtime for c in checks],
        "worst error": [_error(c.worst_error) for c in checks],
        "tolerance needed": [_error(c.tolerance_needed) for c in checks],
        "verdict": [c.verdict for c in checks],
        "reason": [c.reason for c in checks],
    }
    title = "Do they compute the same? Against the module in float64"
    return make_table(title, columns, "verdict", ("model", "format", "runtime"))


def _skipped(machines: Sequence[Machine]) -> Table:
    skipped = [(m.name, s) for m in machines for s in m.skipped]
    columns: dict[str, Iterable[str]] = {
        "machine": [name if len(machines) > 1 else "" for name, _ in skipped],
        "what": [s.what for _, s in skipped],
        "reason": [s.reason for _, s in skipped],
    }
    return make_table("Not measured", columns)


def _conditions(rows: Sequence[Entry]) -> dict[str, list[str]]:
    of_sizes = sizes(rows)
    return {
        "model": of_sizes.pop("model"),
        "form": [r.form for r in rows],
        "runtime": [runtime_name(r.runtime, r.mode) for r in rows],
        **of_sizes,
    }


def sizes(rows: Sequence[Entry]) -> dict[str, list[str]]:
    """The model and the conditions, a column each."""
    return {
        "model": [r.model for r in rows],
        "device": [r.device for r in rows],
        "batch": [str(r.batch) for r in rows],
        "time (steps)": [str(r.time) for r in rows],
        "hidden": ["" if r.hidden is None else str(r.hidden) for r in rows],
        "layers": ["" if r.layers is None else str(r.layers) for r in rows],
        "threads": [str(r.threads) for r in rows],
    }


def _order(row: Entry) -> tuple[object, ...]:
    sizes = (row.layers or 0, row.hidden or 0, row.batch, row.time)
    return (row.model, row.device, row.threads, *sizes, row.runtime, row.mode, row.form)


def _real_time(row: Latency) -> str:
    """The real-time factor: seconds of computing for 100 seconds of signal."""
    if not row.frames_per_second:
        return ""
    return units.digits(100 * row.p50 / (row.time / row.frames_per_second))


def _unstable(row: Latency | Ratio | Streams) -> str:
    return "" if row.stable else f"unstable: {row.why_unstable or 'no reason is given'}"


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"

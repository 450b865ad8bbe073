"""What was measured, as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rnnbench.benchmarking.axis import Axis
from rnnbench.benchmarking.crossings import crossings, in_words
from rnnbench.benchmarking.entry import Entry
from rnnbench.benchmarking.measuring.roofline import limit_seconds
from rnnbench.benchmarking.plan import runtime_name
from rnnbench.benchmarking.precisions import find_choices, heads, row_of, to_ship
from rnnbench.benchmarking.results import Cost, Latency, Ratio, Results, Side, Skipped
from rnnbench.benchmarking.streams import Streams
from rnnbench.core.documents import document
from rnnbench.core.shown import Part, Shown, Table, format_parts
from rnnbench.runtimes.training import TRAINING

_LEAST = (
    *("recompile ms", "CUDA events", "note", "p99", "steps/s", "x limit"),  # latencies
    *("above empty MB", "artifact MB", "export ms"),  # costs
    "memory MB",  # precisions
    "95 % interval of it",  # streams
)

_CALLS = ("Latency of a call", "Forward and backward of a call")
_LEGEND = {
    "relative": "p50 over that of the fastest with this model and these sizes, which is 1.00",
    "x limit": "p50 over the least time that its reads and products take here, as measured",
    "RTF": "seconds of computing for a second of real time; below 1 keeps up",
    "a core": "steps a second of one of the cores that are used",
    "real time": "streams that one core keeps up with, at the model's frames_per_second",
}


@dataclass(frozen=True, repr=False)
class BenchReport(Shown):
    """What `bench` measured.

    Attributes:
        path: the results file.
        results: what is in it.
        ok: whether everything that was timed computes the right thing.
    """

    path: Path
    results: Results
    ok: bool = True

    def parts(self) -> Iterable[Part]:
        """Latencies, ratios and costs, and what could not be measured."""
        return results_parts(self.results)

    def to_markdown(self) -> str:
        """A summary for a pull request."""
        return f"### rnnbench bench: {self.path.name}\n\n{super().to_markdown()}"

    def to_json(self) -> dict[str, Any]:
        """What `bench --json` prints."""
        found: dict[str, Any] = document("bench", json.loads(self.path.read_text("utf-8")))
        return found


def format_results(results: Results) -> str:
    """The tables of a results file, and what could not be measured."""
    return format_parts(results_parts(results))


def results_parts(results: Results) -> Iterator[Part]:
    """The same as lines and tables."""
    found = [
        (f"{_CALLS[_is_training(results)]} in microseconds", _latencies(results)),
        ("Compared round by round", _ratios(results)),
        ("Before the first steady call, in a process of its own", _costs(results)),
        *_precisions(results),
        ("Streams: calls of each, one behind the other, all at once", _streams(results)),
    ]
    first = True
    for title, parts in found:
        if parts:
            yield from ([] if first else [""])
            yield title
            yield from parts
            first = False
    yield from _crossings(results)
    if results.skipped:
        yield ""
    yield from _not_measured(results.skipped)


def _is_training(results: Results) -> bool:
    return bool(results.latencies) and all(row.mode == TRAINING for row in results.latencies)


def _not_measured(skipped: Iterable[Skipped]) -> Iterator[str]:
    """Each reason once, with all that was not measured for it."""
    reasons: dict[str, list[str]] = {}
    for each in skipped:
        reasons.setdefault(each.reason, []).append(each.what)
    for reason, what in reasons.items():
        if len(what) == 1:
            yield f"not measured: {what[0]}: {reason}"
        else:
            yield f"{len(what)} not measured: {reason}"
            yield from (f"  {one}" for one in what)


def real_time_factor(row: Latency) -> float | None:
    """Seconds that a second of real time takes; None where the model declares no frames."""
    if not row.frames_per_second:
        return None
    return row.p50 / (row.time / row.frames_per_second)


def _latencies(results: Results) -> list[Part]:
    headers = ["model", "form", "runtime", "device", *_SIZES, "p50", "relative", "p95", "p99"]
    headers += ["steps/s", "x limit", "RTF", "recompile ms", "CUDA events", "note"]
    best: dict[tuple[Any, ...], float] = {}
    for row in results.latencies:
        best[_alike(row)] = min(row.p50, best.get(_alike(row), row.p50))
    rows = []
    for row in results.latencies:
        limit = limit_seconds(asdict(row), results.facts)
        rtf = real_time_factor(row)
        rows.append(
            [
                *(
                    row.model,
                    row.form,
                    runtime_name(row.runtime, row.mode),
                    row.device,
                    *_sizes(row),
                ),
                *(f"{1e6 * row.p50:.1f}", f"{row.p50 / best[_alike(row)]:.2f}"),
                *(f"{1e6 * value:.1f}" for value in (row.p95, row.p99)),
                f"{row.batch * row.time / row.p50:.3g}",
                "" if limit is None else f"{row.p50 / limit:.1f}",
                "" if rtf is None else f"{rtf:.2g}",
                "" if row.recompile_s is None else f"{1e3 * row.recompile_s:.1f}",
                "" if row.cuda_event_s is None else f"{1e6 * row.cuda_event_s:.1f}",
                _note(row),
            ]
        )
    return _with_legend(_table(headers, rows))


def _with_legend(parts: list[Part]) -> list[Part]:
    """The table, and below it what those of its columns mean that do not say it themselves."""
    heads = {head for part in parts if isinstance(part, Table) for head in part.headers}
    return [*parts, *(f"{name}: {what}" for name, what in _LEGEND.items() if name in heads)]


def _ratios(results: Results) -> list[Part]:
    headers = ["model", "what", "this", "against", "device", *_SIZES]
    headers += ["ratio", "95 % interval", "verdict", "note"]
    rows = [
        [
            *(row.model, row.what, _ran(row), _ran(row.versus)),
            *(row.device, *_sizes(row)),
            *(f"{row.ratio:.3f}", f"{row.low:.3f} to {row.high:.3f}", row.verdict, _note(row)),
        ]
        for row in results.ratios
    ]
    return _table(headers, rows)


def _ran(row: Ratio | Side) -> str:
    named = f"{row.form}, {runtime_name(row.runtime, row.mode)}"
    return f"{named}, {row.precision}" if row.precision else named


def _costs(results: Results) -> list[Part]:
    headers = ["model", "form", "runtime", "device", "hidden", "export ms", "load ms"]
    headers += ["first call ms", "memory MB", "above empty MB", "artifact MB"]
    rows = [
        [
            *(row.model, row.form, runtime_name(row.runtime, row.mode), row.device),
            "" if row.hidden is None else str(row.hidden),
            *(_scaled(row.export_s, 1e3, 0), _scaled(row.load_s, 1e3, 1)),
            *(_scaled(row.first_call_s, 1e3, 1), _scaled(row.peak_memory_bytes, 1e-6, 0)),
            _scaled(_above(row), 1e-6, 0),
            _scaled(row.artifact_bytes, 1e-6, 3),
        ]
        for row in results.costs
    ]
    return _table(headers, rows)


def _streams(results: Results) -> list[Part]:
    sizes = [name for name in _SIZES if name != "batch"]  # which is how the streams are held
    headers = ["model", "form", "runtime", "device", *sizes, "streams", "held", "p50 us", "p99 us"]
    headers += ["steps/s", "a core", "95 % interval of it", "real time", "note"]
    rows = [
        [
            *(row.model, row.form, runtime_name(row.runtime, row.mode), row.device),
            *_sizes(row, sizes),
            *(str(row.streams), row.held),
            *(f"{1e6 * seconds:,.1f}" for seconds in (row.p50, row.p99)),
            *(f"{steps:,.0f}" for steps in (row.steps_per_s, row.steps_per_core)),
            f"{row.low / row.cores:,.0f} to {row.high / row.cores:,.0f}",
            "" if row.streams_per_core is None else f"{row.streams_per_core:,.1f}",
            _note(row),
        ]
        for row in results.streams
    ]
    return _with_legend(_table(headers, rows, ("model", "form", "runtime")))


def _precisions(results: Results) -> Iterator[tuple[str, list[Part]]]:
    """A table for each model and runtime that was measured in several precisions."""
    for found in find_choices(results.latencies, results.ratios, results.costs):
        rows = [row_of(found, choice) for choice in found.choices]
        ship = to_ship(found)
        title = f"What {found.model} costs and saves in each precision"
        parts: list[Part] = [f"({found.where})", *_table(heads(found), rows)]
        yield title, [*parts, *([ship] if ship else [])]


def _crossings(results: Results) -> Iterator[Part]:
    """Where two change places, if that was looked for."""
    given = (results.facts.get("plan") or {}).get("crossover")
    if not given:
        return
    axis = Axis.parse(given)
    yield ""
    yield f"Where they change places, at {axis.name} {axis.low} to {axis.high}"
    for found in crossings(results.ratios, axis.name):
        row = found.row
        sizes = [n for n in _SIZES if n != axis.name and getattr(row, n) is not None]
        where = ", ".join(f"{name} {getattr(row, name)}" for name in sizes)
        yield f"{row.model}, {_ran(row)} against {_ran(row.versus)} ({where}):"
        yield from (f"  {line}" for line in in_words(found, len(axis.sizes)).splitlines())


def _above(row: Cost) -> float | None:
    if row.peak_memory_bytes is None or row.baseline_memory_bytes is None:
        return None
    return row.peak_memory_bytes - row.baseline_memory_bytes


_SIZES = ("batch", "time", "hidden", "layers", "threads")


def _sizes(row: Entry, names: Sequence[str] = _SIZES) -> list[str]:
    return ["" if (size := getattr(row, name)) is None else str(size) for name in names]


def _alike(row: Entry) -> tuple[Any, ...]:
    """What one would choose among: forms and runtimes of one model at one size."""
    return (row.model, row.device, *_sizes(row))


def _note(row: Latency | Ratio | Streams) -> str:
    """The first doubt; the results file has them all."""
    return "" if row.stable else f"unstable: {row.why_unstable.partition(';')[0]}"


def _scaled(value: float | None, factor: float, digits: int) -> str:
    return "" if value is None else f"{value * factor:.{digits}f}"


def _table(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], named_once: Sequence[str] = ()
) -> list[Part]:
    """Empty columns are left out; a size that is the same in each row is named once, above.

    Args:
        headers: of the columns.
        rows: cells.
        named_once: other columns that are as sizes are.
    """
    rows = list(rows)
    if not rows:
        return []
    columns = list(zip(*rows, strict=True))
    same = {
        name: column[0]
        for name, column in zip(headers, columns, strict=True)
        if name in (*_SIZES, "device", *named_once) and len(set(column)) == 1 and len(rows) > 1
    }
    kept = [
        (name, column)
        for name, column in zip(headers, columns, strict=True)
        if any(column) and name not in same
    ]
    said = ", ".join(f"{name} {value}" for name, value in same.items() if value)
    names = [name for name, _ in kept]
    table = Table(names, [*zip(*(c for _, c in kept), strict=True)], _LEAST)
    return [f"({said})", table] if said else [table]

"""Material -> JSON values and CSV: raw numbers in seconds and bytes, for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rnnbench.benchmarking.entry import Entry
from rnnbench.benchmarking.report import Report
from rnnbench.benchmarking.report.limits import limit_s
from rnnbench.benchmarking.report.material import Machine, Material
from rnnbench.benchmarking.report.recommendation import Advice, sentence
from rnnbench.benchmarking.results import Latency, Ratio
from rnnbench.core.documents import plain

_UNITS = {
    "median": "median_s",
    "p50": "p50_s",
    "p95": "p95_s",
    "p99": "p99_s",
}


def to_json(report: Report) -> dict[str, Any]:
    """Everything in the report, as JSON values."""
    material = report.material
    rows = entries(material.machines)
    return {
        "recommendations": [_advice(machine, advice) for machine, advice in report.advices],
        "cards": [plain(card) | {"headline": card.headline} for card in report.cards],
        "doubts": list(report.doubts),
        "machines": [
            {
                "name": machine.name,
                "files": [str(r.path) for r in machine.results],
                "created": [r.created for r in machine.results],
                "commits": [r.commit.get("id") for r in machine.results],
                "versions": machine.results[-1].facts.get("versions"),
            }
            for machine in material.machines
        ],
        "latencies": [row for row in rows if row["kind"] == "latency"],
        "ratios": [row for row in rows if row["kind"] == "ratio"],
        "costs": [row for row in rows if row["kind"] == "cost"],
        "streams": [row for row in rows if row["kind"] == "streams"],
        "skipped": [asdict(s) for machine in material.machines for s in machine.skipped],
        "checks": [plain(row) for row in material.checks],
        "drift": [plain(curve) for curve in material.drifts],
        "inspected": [plain(file) for file in material.inspected],
        "conformed": [plain(row) | {"versions": dict(row.versions)} for row in material.conformed],
    }


def to_csv(material: Material) -> str:
    """Latencies, ratios, costs and streams in one table; `kind` says which a row is."""
    rows = entries(material.machines)
    names = dict.fromkeys(name for row in rows for name in row if name != "price")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def entries(machines: Iterable[Machine]) -> list[dict[str, Any]]:
    """Each measured row, flat: units in the names, samples counted."""
    found = []
    for machine in machines:
        for kind, rows in (
            ("latency", machine.latencies),
            ("ratio", machine.ratios),
            ("cost", machine.costs),
            ("latency", [row for row in machine.training if isinstance(row, Latency)]),
            ("ratio", [row for row in machine.training if isinstance(row, Ratio)]),
            ("streams", machine.streams),
        ):
            for row in rows:
                found.append({"kind": kind, "machine": machine.name, **_flat(row)})
                if isinstance(row, Latency):
                    found[-1]["limit_s"] = limit_s(machine, row)
    return found


def _flat(row: Entry) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in vars(row).items():
        if isinstance(row, Latency) and name == "samples":
            values[name] = row.count
        elif name == "summary":
            continue
        elif name == "price":
            values[name] = None if value is None else asdict(value)
        elif name == "versus":
            values |= {f"versus_{key}": part for key, part in vars(value).items()}
        else:
            values[_UNITS.get(name, name)] = value
    return values


def _advice(machine: Machine, advice: Advice) -> dict[str, Any]:
    other, speedup = advice.other, advice.speedup
    return {
        "machine": machine.name,
        **advice.conditions._asdict(),
        "sentence": sentence(advice),
        "verdict": "cannot tell" if advice.why_not else "faster",
        "why": advice.why_not,
        "best": _ran(advice.best),
        "step_s": advice.step_s,
        "other": other and _ran(other),
        "times_faster": speedup and asdict(speedup),
        "cannot_be_told_from": [_ran(rival) for rival in advice.rivals],
    }


def _ran(row: Latency) -> dict[str, Any]:
    return {"form": row.form, "runtime": row.runtime, "mode": row.mode, "p50_s": row.p50}

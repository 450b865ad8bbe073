"""A results file -> rows of a store, and back to what a results file holds.

A row's id is a hash of its run and of all that was measured, so that the same measurement added
twice is known again. A run is known by the facts of its machine, which `bench` takes once as it
begins: these have the limits that were measured then, and stay the same where a run is resumed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

from rnnbench.benchmarking.results import KINDS, Side, name_of_machine
from rnnbench.benchmarking.store.columns import COLUMNS, MEASURED, RECORDS, RENAMED

Row = dict[str, Any]

_ID = 24  # letters: 96 bits
_LATER = ("skipped",)  # what a run finds as it goes on
_STATS = {"median": "median", "min": "min", "max": "max", "mean": "mean", "stddev": "stddev"}
_STATS |= {"iterations": "calls"}
_SIDE = tuple(field.name for field in fields(Side))


def rows_of(data: Mapping[str, Any], hashes: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of a results file; entries that are not rnnbench's are left out.

    Args:
        data: its content, which `read_data` accepts.
        hashes: the beginning of an item's id, which is its model's -> sha256 of what was measured.

    Raises:
        ValueError: it does not say when it was measured.
    """
    place = _place(data)
    if place["created"] is None:
        raise ValueError("datetime is missing")
    return [
        _row(entry, place, hashes or {})
        for entry in data["benchmarks"]
        if "kind" in entry["extra_info"]
    ]


def run_of(data: Mapping[str, Any]) -> str:
    """The id of the run that a results file is of."""
    machine = data["machine_info"]
    facts = {k: v for k, v in machine["rnnbench"].items() if k not in _LATER}
    return _hash({"node": machine.get("node"), "facts": facts})


def to_results(rows: Sequence[Row]) -> dict[str, Any]:
    """What a results file of these rows holds, which are of one run: the inverse of `rows_of`.

    Of pytest-benchmark's statistics there are those that a report reads.
    """
    newest = max(rows, key=lambda row: row["created"])
    commit = {"id": newest["commit"], "branch": newest["branch"], "dirty": newest["dirty"]}
    facts = json.loads(newest["facts"])
    return {
        "machine_info": {"node": newest["node"], "rnnbench": facts},
        "commit_info": commit,
        "benchmarks": [_entry(row) for row in rows],
        "datetime": newest["created"].replace(tzinfo=UTC).isoformat(),
    }


def _place(data: Mapping[str, Any]) -> Row:
    """What all rows of a results file have: when, where, with what."""
    machine, commit = data["machine_info"], data["commit_info"]
    facts = machine["rnnbench"]
    known = commit.get("id") not in (None, "unknown", "unversioned")
    return {
        "run": run_of(data),
        "created": _utc(data["datetime"]),
        "machine": name_of_machine(facts),
        "node": machine.get("node"),
        **{name: facts.get(name) for name in ("cpu", "cores", "gpu", "rnnbench")},
        "commit": commit["id"] if known else None,
        "commit_time": _utc(commit.get("time")) if known else None,
        "branch": commit.get("branch") if known else None,
        "dirty": commit.get("dirty") if known else None,
        "versions": facts.get("versions") or {},
        "facts": _text(facts),
    }


def _row(entry: Mapping[str, Any], place: Row, hashes: Mapping[str, str]) -> Row:
    info, stats = entry["extra_info"], entry["stats"]
    row: Row = dict.fromkeys(COLUMNS) | place
    row |= {"name": entry["name"], "kind": info["kind"], "group_name": entry.get("group")}
    row |= {column: stats.get(name) for name, column in _STATS.items()}
    row["samples"] = stats.get("data") or []
    row["model_sha256"] = info.get("model_sha256") or _hash_of(entry.get("param"), hashes)
    row |= _defaults(info["kind"])
    extra = {}
    for name, value in info.items():
        column = RENAMED.get(name, name)
        if name == "versus":
            row |= {f"versus_{part}": value.get(part, "") for part in _SIDE}
        elif name in RECORDS:
            row[name] = None if value is None else _text(value)
        elif column in MEASURED:
            row[column] = value
        elif name not in ("kind", "model_sha256"):
            extra[name] = value
    row["extra"] = _text(extra) if extra else None
    row["id"] = _hash({"run": place["run"], "name": entry["name"], "info": info, "stats": stats})
    return row


def _entry(row: Row) -> dict[str, Any]:
    """What a results file has of a row: the fields of its kind."""
    info: dict[str, Any] = json.loads(row["extra"]) if row["extra"] else {}
    info["kind"] = row["kind"]
    for name, kind in get_type_hints(KINDS[row["kind"]]).items():
        column = RENAMED.get(name, name)
        if column in MEASURED and (row[column] is not None or type(None) in get_args(kind)):
            info[name] = row[column]
    if row["kind"] == "ratio":
        info["versus"] = {part: row[f"versus_{part}"] for part in _SIDE}
    info |= {name: json.loads(row[name]) for name in RECORDS if row[name]}
    stats = {name: row[column] for name, column in _STATS.items()} | {"data": row["samples"]}
    return {"name": row["name"], "group": row["group_name"], "extra_info": info, "stats": stats}


def _defaults(kind: str) -> Row:
    """What a field is that results of an older version lack."""
    found = {RENAMED.get(field.name, field.name): field.default for field in fields(KINDS[kind])}
    return {
        name: value for name, value in found.items() if name in MEASURED and value is not MISSING
    }


def _hash_of(item: Any, hashes: Mapping[str, str]) -> str | None:
    """That of the model that an item's id begins with, of the longest name that does."""
    found = [name for name in hashes if str(item or "").startswith(f"{name}-")]
    return hashes[max(found, key=len)] if found else None


def _utc(when: Any) -> datetime | None:
    """A time in UTC, without a zone; None where there is none.

    Raises:
        ValueError: it is no time.
    """
    if not when:
        return None
    found = datetime.fromisoformat(str(when))
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _hash(value: Any) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()[:_ID]


def _text(value: Any) -> str:
    """JSON of which there is one for a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)

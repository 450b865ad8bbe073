"""Whether a value of a results file can be one of its field: times are finite, and above 0."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

_ABOVE_0 = {"median", "samples", "p50", "p95", "p99", "ratio", "low", "high", "calls", "rounds"} | {
    *("streams", "cores", "steps_per_s", "steps_per_core", "streams_per_core"),
}


def what_is_wrong(name: str, value: Any, kind: Any) -> str:
    """What is wrong with a value; nothing of one that is a record of its own.

    Args:
        name: of the field.
        value: as JSON has it.
        kind: the field's type.
    """
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value is None:
        return "" if type(None) in kinds else "is missing"
    if bool in kinds:
        return "" if isinstance(value, bool) else "is not true or false"
    if str in kinds:
        return "" if isinstance(value, str) else "is no text"
    if get_origin(kind) is tuple:
        return _of_numbers(name, value) if isinstance(value, list | tuple) else "is no list"
    record = next((kind for kind in kinds if is_dataclass(kind)), None)
    if record is not None:
        return _of_record(value, record)
    return _of_numbers(name, [value]) if {int, float} & {*kinds} else ""


def facts_wrong(facts: Mapping[str, Any]) -> str:
    """What is wrong with what a results file says of its machine; nothing where all is well."""
    limits = facts.get("limits") or {}
    threads = limits.get("threads") if isinstance(limits, dict) else None
    if limits and not isinstance(threads, dict):
        return "limits: threads is no record"
    for number, found in (threads or {}).items():
        found = found if isinstance(found, dict) else {}
        wrong = _above_0([found.get("read_bytes_per_s")])
        for name in ("gemm_flops", "gemv_flops"):
            speeds = found.get(name)
            wrong = wrong or (
                _above_0(speeds.values()) if isinstance(speeds, dict) else "no record"
            )
        if wrong:
            return f"limits of {number} threads: {wrong}"
    caches, versions = facts.get("caches") or {}, facts.get("versions") or {}
    if not isinstance(caches, dict) or (caches and _above_0(caches.values())):
        return "caches: no sizes"
    if not isinstance(versions, dict) or not all(isinstance(v, str) for v in versions.values()):
        return "versions: no text"
    load, cores = facts.get("load") or [0.0], facts.get("cores")
    if not isinstance(load, list) or _of_numbers("load", load):
        return "load: no numbers"
    return "cores: no number" if cores is not None and _above_0([cores]) else ""


def _above_0(numbers: Iterable[Any]) -> str:
    return _of_numbers("median", list(numbers))


def _of_record(value: Any, kind: Any) -> str:
    """What is wrong with a record inside of another."""
    if not isinstance(value, Mapping):
        return "is no record"
    kinds = get_type_hints(kind)
    known = {name: kinds[name] for name in value if name in kinds}
    wrong = ((name, what_is_wrong(name, value[name], its)) for name, its in known.items())
    return next((f"{name} {why}" for name, why in wrong if why), "")


def _of_numbers(name: str, numbers: Any) -> str:
    if not numbers or any(type(number) not in (int, float) for number in numbers):
        return "is no number"
    if not all(map(math.isfinite, numbers)):
        return "is not finite"
    least = min(numbers)
    return f"is {least:g}" if least < 0 or (least == 0 and name in _ABOVE_0) else ""

"""What the machine could do at best (Williams, "Roofline", 2009), as `bench` measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnnbench.benchmarking.measuring.roofline import limit_seconds
from rnnbench.benchmarking.report.material import Machine
from rnnbench.benchmarking.results import Latency, Results


@dataclass(frozen=True)
class Ceiling:
    """What a machine reaches with so many threads.

    Attributes:
        read_bytes_per_s: from memory.
        flops: hidden size -> operations a second of the fastest matrix product.
        cache_bytes: of the last level.
    """

    read_bytes_per_s: float
    flops: Mapping[int, float]
    cache_bytes: float


def ceiling(machine: Machine, device: str, threads: int) -> Ceiling | None:
    """The newest measured ceiling for a device and a number of threads; None without one."""
    for results in reversed(machine.results):
        found = _ceiling(results, device, threads)
        if found is not None:
            return found
    return None


def limit_s(machine: Machine, latency: Latency) -> float | None:
    """Seconds of a call at best, by the newest measured limits; None without any."""
    for results in reversed(machine.results):
        found = limit_seconds(vars(latency), results.facts)
        if found:
            return found
    return None


def bytes_read(latency: Latency, top: Ceiling) -> float:
    """Bytes that a call must move."""
    times = latency.time if latency.weight_bytes > top.cache_bytes else 1
    return latency.weight_bytes * times + latency.input_bytes + latency.output_bytes


def _ceiling(results: Results, device: str, threads: int) -> Ceiling | None:
    limits = results.facts.get("limits") or {}
    measured = (limits.get("threads") or {}).get(str(threads))
    if not measured or device != "cpu":
        return None
    flops: dict[int, float] = {}
    for kind in ("gemv_flops", "gemm_flops"):
        for size, speed in (measured.get(kind) or {}).items():
            flops[int(size)] = max(flops.get(int(size), 0.0), float(speed))
    speed = float(measured.get("read_bytes_per_s") or 0)
    if not flops or not speed:
        return None
    return Ceiling(speed, flops, _last_level(results.facts.get("caches") or {}))


def _last_level(caches: Mapping[str, Any]) -> float:
    """Bytes of the largest cache; 0 where it is not known, so that weights are read each step."""
    return max((float(size) for size in caches.values() if size), default=0.0)

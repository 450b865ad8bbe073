"""How far a latency is from what the machine could do at best (Williams, "Roofline", 2009).

A call takes at least the time of its operations at the speed that the same machine reached in a
matrix product of that size, and at least the time of reading what it must read at the memory's
speed: the weights once a call, or once a step where they do not fit the last-level cache, and the
inputs and outputs once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnnbench.report.material import Machine
from rnnbench.results import Latency, Results


@dataclass(frozen=True)
class Ceiling:
    """What a machine reaches with so many threads.

    Attributes:
        read_bytes_per_s: from memory.
        flops: hidden size -> operations a second, of the faster of a matrix-vector and a
            matrix-matrix product for batch 1 (a step's input part may be done for all steps at
            once), of a matrix-matrix product for more rows.
        cache_bytes: of the last level.
    """

    read_bytes_per_s: float
    flops: Mapping[int, float]
    cache_bytes: float


@dataclass(frozen=True)
class Distance:
    """A latency against its limit.

    Attributes:
        limit_s: seconds of a call at best.
        times: the latency as a multiple of it.
        bound: `memory` or `arithmetic`, whichever is the limit.
    """

    limit_s: float
    times: float
    bound: str


def ceiling(machine: Machine, device: str, threads: int) -> Ceiling | None:
    """The newest measured ceiling for a device and a number of threads; None without one."""
    for results in reversed(machine.results):
        found = _ceiling(results, device, threads)
        if found is not None:
            return found
    return None


def distance(latency: Latency, top: Ceiling | None) -> Distance | None:
    """How far a latency is from the limit; None where that was not measured."""
    if top is None:
        return None
    arithmetic = latency.flops / peak(top, latency.hidden)
    memory = bytes_read(latency, top) / top.read_bytes_per_s
    limit = max(arithmetic, memory)
    if limit <= 0:
        return None
    return Distance(limit, latency.p50 / limit, "memory" if memory > arithmetic else "arithmetic")


def bytes_read(latency: Latency, top: Ceiling) -> float:
    """Bytes that a call must move."""
    times = latency.time if latency.weight_bytes > top.cache_bytes else 1
    return latency.weight_bytes * times + latency.input_bytes + latency.output_bytes


def peak(top: Ceiling, hidden: int | None) -> float:
    """Operations a second at the measured size that is nearest; the best where there is no size."""
    if hidden is None:
        return max(top.flops.values())
    return top.flops[min(top.flops, key=lambda size: abs(size - hidden))]


def _ceiling(results: Results, device: str, threads: int) -> Ceiling | None:
    limits = results.facts.get("limits") or {}
    if device != "cpu":
        limits = limits.get(device.partition(":")[0]) or {}
    measured = (limits.get("threads") or {}).get(str(threads))
    if not measured:
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

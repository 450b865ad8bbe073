"""Results files without a measurement: as `bench` writes them, small, the same for each seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.benchmarking.results import SCHEMA

BASE_US = {"eager": 400.0, "torchscript": 300.0, "onnxruntime": 100.0}
FORMS = {"loop": 3.0, "exported": 1.0, "fused": 1.0}


def make_results(
    *,
    cells: tuple[str, ...] = ("gru", "lstm"),
    runtimes: tuple[str, ...] = ("eager", "torchscript", "onnxruntime"),
    batch: tuple[int, ...] = (1,),
    time: tuple[int, ...] = (1, 32),
    hidden: tuple[int, ...] = (32, 128),
    scale: float = 1.0,
    noise: float = 0.02,
    samples: int = 50,
    seed: int = 0,
) -> dict[str, Any]:
    """The content of a results file: latencies, loop/fused and runtime/runtime ratios, costs.

    Args:
        cells: elman, gru, lstm.
        runtimes: some of those in `BASE_US`.
        batch: rows.
        time: steps.
        hidden: sizes of the state.
        scale: a factor of every latency: 1.1 is a run that is 10 % slower.
        noise: the standard deviation of a sample, of its latency.
        samples: of each latency.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    entries: list[dict[str, Any]] = []
    for cell in cells:
        for b, t, h in ((b, t, h) for b in batch for t in time for h in hidden):
            for runtime in runtimes:
                where = _where(cell, runtime, b, t, h)
                for form, factor in FORMS.items():
                    if runtime == "eager" and form == "exported":
                        continue
                    us = scale * BASE_US[runtime] * factor * b * t / 32 * (1 + h / 128)
                    data = us * 1e-6 * (1 + noise * np.abs(rng.standard_normal(samples)))
                    entries.append(latency(where | {"form": form}, data.tolist()))
                entries.append(ratio(where | {"form": "loop"}, 3.0, {"form": "fused"}))
                entries.append(cost(where | {"form": "fused"}))
            if len(runtimes) > 1:
                first = _where(cell, runtimes[0], b, t, h) | {"form": "fused"}
                for other in runtimes[1:]:
                    value = BASE_US[runtimes[0]] / BASE_US[other]
                    entries.append(ratio(first, value, {"runtime": other}, what="runtime/runtime"))
    return wrap(entries)


def write_made(path: Path, data: dict[str, Any] | None = None, **options: Any) -> Path:
    """Writes a results file, and returns where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data or make_results(**options)), encoding="utf-8")
    return path


def latency(where: dict[str, Any], data: list[float], **more: Any) -> dict[str, Any]:
    """An entry of kind `latency` with these samples in seconds."""
    t, b, h = where["time"], where["batch"], where["hidden"]
    gates = {"elman": 1, "gru": 3, "lstm": 4}.get(where["cell"], 1)
    weights = gates * h * (40 + h + 2)
    info = {
        "kind": "latency",
        **where,
        "weight_bytes": 4 * weights,
        "flops": 2 * t * b * gates * h * (40 + h),
        "input_bytes": 4 * t * b * 40,
        "output_bytes": 4 * t * b * h,
        "p50": float(np.percentile(data, 50)),
        "p95": float(np.percentile(data, 95)),
        "p99": float(np.percentile(data, 99)),
        "stable": True,
        "why_unstable": "",
        "warmup_s": 0.05,
        "recompile_s": 0.02 if where["runtime"] == "torchscript" else None,
        "cuda_event_s": None,
    }
    return _entry(info | more, data)


def ratio(
    where: dict[str, Any], value: float, versus: dict[str, Any], what: str = "loop/fused"
) -> dict[str, Any]:
    """An entry of kind `ratio`: `where` against the same but for what `versus` says."""
    low, high = 0.97 * value, 1.03 * value
    side = {name: where[name] for name in ("model", "form", "runtime", "mode")} | versus
    verdict = "faster" if high < 1 else "slower" if low > 1 else "cannot tell"
    info = {
        "kind": "ratio",
        **where,
        "what": what,
        "versus": side,
        "ratio": value,
        "low": low,
        "high": high,
        "rounds": 20,
        "verdict": verdict,
        "stable": True,
        "why_unstable": "",
    }
    return _entry(info, [value * 1e-4] * 20)


def cost(where: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An entry of kind `cost`."""
    eager = where["runtime"] == "eager"
    info = {
        "kind": "cost",
        **where,
        "export_s": None if eager else 0.8,
        "load_s": 0.02,
        "first_call_s": 0.003,
        "peak_memory_bytes": 200_000_000,
        "baseline_memory_bytes": 150_000_000,
        "artifact_bytes": None if eager else 90_000,
    }
    return _entry(info | more, [0.003])


def streams(where: dict[str, Any], count: int, held: str, a_core: float, **more: Any) -> Any:
    """An entry of kind `streams`, with so many steps a second of a core."""
    cores = 2
    rate = where["frames_per_second"]
    info = {
        "kind": "streams",
        **where,
        "streams": count,
        "held": held,
        "p50": 0.001,
        "p99": 0.0019,
        "steps_per_s": a_core * cores,
        "low": 0.99 * a_core * cores,
        "high": 1.01 * a_core * cores,
        "cores": cores,
        "steps_per_core": a_core,
        "streams_per_core": a_core / rate if rate else None,
        "rounds": 15,
        "stable": True,
        "why_unstable": "",
    }
    return _entry(info | more, [0.001] * 15)


def wrap(entries: list[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    """Entries as the file has them; `facts` replace those of the machine."""
    sizes = {"32": 2e9, "128": 8e9}
    said = {
        "schema": SCHEMA,
        "rnnbench": "0.1.0",
        "cpu": "Made Processor",
        "caches": {"L1d": 32768, "L2": 1048576, "L3": 33554432},
        "cores": 2,
        "governor": None,
        "load": [0.1, 0.1, 0.1],
        "gpu": None,
        "driver": None,
        "threads": {"OMP_NUM_THREADS": None},
        "versions": {"torch": "2.13.0", "onnxruntime": "1.32.0", "numpy": "2.4.6"},
        "limits": {
            "threads": {"1": {"read_bytes_per_s": 2e10, "gemv_flops": sizes, "gemm_flops": sizes}}
        },
        "skipped": [{"what": "gru in openvino on cpu", "reason": "openvino is not installed"}],
    }
    return {
        "machine_info": {
            "node": "made",
            "machine": "x86_64",
            "system": "Linux",
            "python_version": "3.11.0",
            "cpu": {"brand_raw": "Made Processor", "count": 2},
            "rnnbench": said | facts,
        },
        "commit_info": {"id": "0" * 40, "dirty": False, "branch": "main"},
        "benchmarks": entries,
        "datetime": "2026-01-01T00:00:00+00:00",
        "version": "5.3.1",
    }


def _where(cell: str, runtime: str, batch: int, time: int, hidden: int) -> dict[str, Any]:
    sizes = {"batch": batch, "time": time, "hidden": hidden, "layers": 1, "threads": 1}
    names = {"model": cell, "cell": cell, "runtime": runtime, "mode": "", "device": "cpu"}
    return names | sizes | {"frames_per_second": None}


def _entry(info: dict[str, Any], data: list[float]) -> dict[str, Any]:
    sizes = "-".join(str(info[n]) for n in ("batch", "time", "hidden", "layers", "threads"))
    parts = [info["kind"], info["model"], info["form"], info["runtime"], sizes]
    if info["kind"] == "ratio":
        parts.append("-".join(info["versus"].values()))
    if info["kind"] == "streams":
        parts.append(f"{info['streams']} {info['held']}")
    values = np.asarray(data)
    q1, q3 = (float(np.percentile(values, q)) for q in (25, 75))
    stats = {
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": float(values.mean()),
        "stddev": float(values.std()),
        "rounds": len(data),
        "median": float(np.median(values)),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": 0,
        "stddev_outliers": 0,
        "outliers": "0;0",
        "ld15iqr": float(values.min()),
        "hd15iqr": float(values.max()),
        "ops": 1 / float(values.mean()),
        "total": float(values.sum()),
        "data": data,
        "iterations": 1,
    }
    name = "-".join(parts)
    return {
        "group": f"{info['model']} {sizes}",
        "name": name,
        "fullname": f"benchmarks/{name}",
        "params": {},
        "param": None,
        "extra_info": info,
        "options": {},
        "stats": stats,
    }

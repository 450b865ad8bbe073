"""What comes before the first steady call, in a process of its own: load, first call, memory.

`start_cold` starts this module with `python -m`; it gets a job as JSON on stdin and answers with
JSON on its last line; arrays travel as .npz files.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from rnnbench.benchmarking.plan import Item, timing_of
from rnnbench.core.collector import ending_at_once
from rnnbench.core.model import Arrays, TensorSpec
from rnnbench.core.processes import end_with_parent, run_module
from rnnbench.models.calls import read_weights, save_weights
from rnnbench.runtimes import get
from rnnbench.runtimes.runtime import Timing
from rnnbench.runtimes.timed import Source

SECONDS = 600
_BEFORE = ("onnxruntime", "torch")  # are imported before the clock starts, as they ever were


@dataclass(frozen=True)
class ColdStart:
    """What a process of its own took.

    Attributes:
        load_s: until it could be called; compiling is part of it.
        first_call_s: of the first call.
        peak_memory_bytes: the most that the process had in memory.
        baseline_memory_bytes: that it had before it loaded anything of the model.
        outputs: of the first call.
    """

    load_s: float
    first_call_s: float
    peak_memory_bytes: int
    baseline_memory_bytes: int
    outputs: Arrays


def start_cold(item: Item, source: Source, arrays: Arrays, folder: Path) -> ColdStart:
    """Loads and calls a subject in a new process.

    Raises:
        RnnbenchError: the process failed, died or hung.
    """
    out = Path(tempfile.mkdtemp(dir=folder))
    np.savez(out / "inputs.npz", **arrays)  # type: ignore[arg-type]
    if source.module is not None:  # its code may draw other weights in another process
        save_weights(source.module, out)
    job = {
        "target": item.target,
        "way": asdict(item.way),
        "conditions": asdict(item.conditions),
        "inputs": [asdict(spec) for spec in source.inputs],
        "outputs": list(source.outputs),
        "path": None if source.path is None else str(source.path),
        "folder": str(out),
    }
    said = run_module(__spec__.name, given=json.dumps(job), seconds=SECONDS)
    answer = json.loads(said.strip().splitlines()[-1])
    with np.load(out / "outputs.npz", allow_pickle=False) as stored:
        return ColdStart(**answer, outputs=dict(stored))


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """What the child does."""
    from rnnbench.benchmarking.measuring.inference_mode import inference_mode

    way, conditions, folder = job["way"], job["conditions"], Path(job["folder"])
    timing = timing_of(way["runtime"])
    device, threads = conditions["device"], conditions["threads"]
    for needed in get(way["runtime"]).requires.keys() & {*_BEFORE}:
        import_module(needed)
    with np.load(folder / "inputs.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    specs = tuple(TensorSpec(**spec) for spec in job["inputs"])
    with _conditions(timing, inference_mode, threads):
        before = peak_memory()
        start = perf_counter()
        module = None if job["path"] else _module(job["target"], way["form"], conditions, folder)
        path = Path(job["path"]) if job["path"] else None
        source = Source(specs, tuple(job["outputs"]), module, path)
        subject = timing.prepare(source, arrays, device, threads, way["mode"])
        loaded = perf_counter()
        returned = subject.run()
        called = perf_counter()
        outputs = subject.read(returned)
        for _ in range(3):
            subject.run()
        peak = peak_memory()
    np.savez(folder / "outputs.npz", **outputs)  # type: ignore[arg-type]
    return {
        "load_s": loaded - start,
        "first_call_s": called - loaded,
        "peak_memory_bytes": peak,
        "baseline_memory_bytes": before,
    }


def peak_memory() -> int:
    """The most bytes that this process had in memory; 0 where the system does not say.

    Linux hands `ru_maxrss` on from the process that started this one, so its own mark is read.
    """
    try:
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    except OSError:
        found = None
    if found:
        return 1024 * int(found[1])
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _conditions(timing: Timing, inference: Any, threads: int) -> Any:
    """PyTorch is not loaded for a runtime that does without it."""
    from contextlib import nullcontext

    return inference(threads) if timing.format != "onnx" else nullcontext()


def _module(target: str, form: str, conditions: dict[str, Any], folder: Path) -> Any:
    from rnnbench.benchmarking.measuring.networks import build_network

    network = build_network(target, form, conditions["hidden"], conditions["layers"])
    network.model.module.load_state_dict(read_weights(folder))
    return network.model.module


if __name__ == "__main__":
    end_with_parent()
    ending_at_once()
    print(json.dumps(run_job(json.load(sys.stdin))))

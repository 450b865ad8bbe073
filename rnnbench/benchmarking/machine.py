"""What a measurement depends on: the hardware, the software, and how busy the machine was."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import rnnbench
from rnnbench import runtimes
from rnnbench.benchmarking.results import SCHEMA
from rnnbench.core.hardware import cpu_name, gpu, usable_cores

_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "numpy")
_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "KMP_BLOCKTIME",
    "KMP_AFFINITY",
)
KIND = ("schema", "cpu", "caches", "cores", "governor", "gpu", "versions")
"""The facts that machines share whose numbers belong together."""

_CPU = Path("/sys/devices/system/cpu/cpu0")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def describe_machine() -> dict[str, Any]:
    """What `machine_info["rnnbench"]` holds, but for the limits; None for what cannot be known."""
    card, driver = gpu()
    return {
        "schema": SCHEMA,
        "rnnbench": rnnbench.__version__,
        "cpu": cpu_name(),
        "caches": _caches(),
        "cores": usable_cores(),
        "governor": _read(_CPU / "cpufreq" / "scaling_governor"),
        "load": _load(),
        "gpu": card,
        "driver": driver,
        "threads": {name: os.environ.get(name) for name in _VARIABLES},
        "versions": _versions(),
    }


def same_machine(facts: dict[str, Any], others: dict[str, Any]) -> str:
    """Why the numbers of two machines do not belong together; empty where they do."""
    for name in KIND:
        if facts.get(name) != others.get(name):
            return f"{name} was {others.get(name)} and is {facts.get(name)}"
    return ""


def _caches() -> dict[str, int]:
    """Bytes of each level as one core sees it: `L1d`, `L2`, `L3`."""
    found: dict[str, int] = {}
    for index in sorted(_CPU.glob("cache/index*")):
        kind, level, size = (_read(index / name) for name in ("type", "level", "size"))
        match = re.fullmatch(r"(\d+)([KMG]?)", size or "")
        if match and kind != "Instruction":
            name = f"L{level}" + ("d" if kind == "Data" else "")
            found[name] = int(match[1]) * _UNITS[match[2]]
    return found


def _load() -> list[float] | None:
    """Processes that want to run, over 1, 5 and 15 minutes."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (OSError, AttributeError):  # not on Windows
        return None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    theirs = [name for runtime in runtimes.every().values() for name in runtime.packages]
    for name in dict.fromkeys([*_PACKAGES, *theirs]):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return None

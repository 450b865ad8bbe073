"""What a machine is made of, as far as it says so."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess


def usable_cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """The processor's name, or its architecture's where it has none."""
    from cpuinfo import get_cpu_info  # which pytest-benchmark needs: of Linux, macOS and Windows

    name = str(get_cpu_info().get("brand_raw") or "").strip()
    return name or platform.processor() or platform.machine()


def gpu() -> tuple[str | None, str | None]:
    """Name and driver of the first NVIDIA GPU."""
    if not shutil.which("nvidia-smi"):
        return None, None
    text = _output("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    name, _, driver = text.partition("\n")[0].partition(",")
    return name.strip() or None, driver.strip() or None


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()

"""One of our modules, run in a process of its own that answers once; limits of a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from rnnbench.core.errors import RnnbenchError


def run_module(
    module: str,
    *words: str,
    given: str = "",
    seconds: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What `python -m module words` prints; it finds the same packages as this process.

    Args:
        module: its name, `__spec__.name` where a module runs itself.
        words: its arguments.
        given: what it reads on stdin.
        seconds: how long it may take; for ever where it is None.
        environment: variables that it gets besides.

    Raises:
        RnnbenchError: it failed, died or gave no answer in time; the message says only which.
    """
    path = os.pathsep.join(p or os.curdir for p in sys.path)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", module, *words],
            input=given,
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RnnbenchError(f"no answer of its process in {seconds:g} s") from None
    if done.returncode:
        raise RnnbenchError(f"its process failed: {_why(done)}")
    return done.stdout


def _why(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def limit_memory(size: int) -> None:
    """Limits what this process may allocate, in bytes, where the system can."""
    try:
        import resource
    except ImportError:  # Windows has no such limit for a process itself
        return
    # Linux counts what a process may write to; elsewhere only the address space is counted.
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    try:
        resource.setrlimit(kind, (size, size))
    except (ValueError, OSError):  # macOS refuses some sizes; the time limit remains
        return

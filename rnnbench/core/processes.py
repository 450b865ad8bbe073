"""One of our modules, run in a process of its own that answers once; limits of a process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rnnbench.core.cpu_clock import Limit
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


def run_limited(module: str, *words: str, seconds: float) -> str:
    """`run_module` of what a foreign program does: it is ended with all that it has started.

    Its memory the module limits itself, with `limit_memory`, once our own modules are imported.

    Args:
        module: its name.
        words: its arguments.
        seconds: of CPU that it may take; see `Limit`.

    Raises:
        RnnbenchError: it failed, died or gave no answer in time; the message says only which.
    """
    late = threading.Event()
    path = os.pathsep.join(p or os.curdir for p in sys.path)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", module, *words],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:

        def give_up() -> None:
            late.set()
            _end(process)

        try:
            with Limit(process.pid, seconds, give_up):
                out, err = process.communicate()
        finally:
            _end(process)
    if late.is_set():
        raise RnnbenchError(f"no answer in {seconds:g} s")
    done = subprocess.CompletedProcess([module], process.returncode, out, err)
    if done.returncode:
        raise RnnbenchError(f"its process failed: {_why(done)}")
    return out


def _end(process: subprocess.Popen[str]) -> None:
    end_group(process.pid)
    if process.poll() is None:  # where there are no groups
        process.kill()


def run_apart(
    words: Sequence[str], folder: Path, seconds: float, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs somebody's program, which ends with all that it has started, whatever ends this.

    Raises:
        OSError: there is no such program.
        subprocess.TimeoutExpired: it took too long.
    """
    with subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=end_with_parent,
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        finally:
            end_group(process.pid)
    return subprocess.CompletedProcess(list(words), process.returncode, out, err)


def end_group(pid: int) -> None:
    """Ends a process that leads a session, and what it has started there."""
    with contextlib.suppress(AttributeError, ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def _prctl() -> Callable[..., int] | None:
    try:
        return ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    except (OSError, AttributeError):
        return None


_PRCTL = _prctl()


def end_with_parent() -> None:
    """This process is killed when the thread that started it ends, however that comes about.

    Linux alone can do that; elsewhere a process that is asked through a pipe reads its end.
    """
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)


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

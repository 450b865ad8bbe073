"""Processes that have torch already: each is a fork of a server that has imported it, and no more.

Importing torch takes a worker longer than all the rest. The server is `python -m
rnnbench.runtimes.forking`; it starts with the first job that needs torch, starts no thread, and
ends with the process that asked for it. A process that imports torch itself can fork the server
from itself, as long as it has one thread (`imports_torch`). A fork takes over that process's
environment, folder and import path, so that it loads what a process of its own would.

    parent                                      server                        fork
    {"words", "environment", ...}, 4 pipes  ->  fork()                    ->  main(words)
    pid                                     <-
    exit code (the fourth pipe)             <-  waitpid(pid)              <-  ends
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

from rnnbench.core.collector import importing
from rnnbench.core.threads import NUMPYS_THREADS
from rnnbench.runtimes import forking

_MODULE = forking.__spec__.name
# format -> what torch imports to load it. Tried on torch 2.13 and 2.14.
_PRELOADED = {"pt2": ("torch.export._unlift",)}
# Libraries read these when they are loaded: a server that has others is of no use.
_READ_EARLY = ("LD_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "ATEN_", "PYTORCH_", "TORCH")
_READ_LATE = ("TORCHINDUCTOR_CACHE_DIR",)  # which torch sets itself when it traces
_SECONDS = 120.0  # for importing torch from a cold disk


def serves(requires: Iterable[str], device: str) -> bool:
    """Whether a job's process may be a fork.

    Args:
        requires: the modules that the job's runtime needs.
        device: the job's. A driver does not outlive a fork.
    """
    return sys.platform == "linux" and device == "cpu" and "torch" in requires


class Fork:
    """A process that the server forked; what `subprocess.Popen` has of it is called the same."""

    def __init__(self, pid: int, stdin: int, stdout: int, ended: int) -> None:
        self.pid = pid
        self.stdin: BinaryIO = os.fdopen(stdin, "wb")
        self.stdout: BinaryIO = os.fdopen(stdout, "rb")
        self._ended = ended
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended; that of a signal is negative.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if self._code is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._ended, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired(_MODULE, timeout or 0.0)
            said = os.read(self._ended, 16)
            os.close(self._ended)
            self._code = int(said) if said else -signal.SIGKILL  # the server is gone, too
        return self._code

    def kill(self) -> None:
        """Ends it at once, with all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


class _Process(Protocol):
    pid: int

    def kill(self) -> None: ...

    def wait(self) -> int: ...


class _Child:
    """A child of this process that it forked itself."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def kill(self) -> None:
        """Ends it at once."""
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """The exit code, once it has ended."""
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code


class _Server:
    """The server, at the other end of a channel.

    Args:
        start: starts the process; gets both ends, of which the second is the process's.
    """

    def __init__(self, start: Callable[[socket.socket, socket.socket], _Process]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = start(ours, theirs)
        self._channel = ours
        self._channel.settimeout(_SECONDS)

    def fork(self, words: list[str], format: str, stderr: int) -> Fork:
        """A new process; raises OSError where the server has died."""
        request = {
            "words": words,
            "preload": _PRELOADED.get(format, ()),
            "environment": _environment(),
            "folder": str(Path.cwd()),
            "path": sys.path,
        }
        text = json.dumps(request).encode()
        pipes = [os.pipe() for _ in range(3)]  # stdin, stdout, the exit code
        (stdin, to), (read, stdout), (ended, code) = pipes
        try:
            head = len(text).to_bytes(8, "little")
            socket.send_fds(self._channel, [head], [stdin, stdout, stderr, code])
            self._channel.sendall(text)
            pid = int.from_bytes(forking.received(self._channel, 8), "little")
        except BaseException:
            for fd in (to, read, ended):
                os.close(fd)
            raise
        finally:
            for fd in (stdin, stdout, code):
                os.close(fd)
        return Fork(pid, to, read, ended)

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


def _of_its_own(_ours: socket.socket, theirs: socket.socket) -> _Process:
    """Starts a server that imports torch."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={NUMPYS_THREADS: "1", **_environment()},
        start_new_session=True,  # Ctrl-C in a terminal is for the process that asked
    )


def _of_this_one(ours: socket.socket, theirs: socket.socket) -> _Process:
    """Forks a server from this process, which has torch and one thread."""
    pid = os.fork()
    if pid:
        return _Child(pid)
    code = 1
    try:
        os.setsid()
        ours.close()
        nobody = os.open(os.devnull, os.O_RDWR)
        for here in range(3):
            os.dup2(nobody, here)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        forking.serve(theirs)
        code = 0
    finally:
        os._exit(code)


def imports_torch() -> None:
    """Imports torch, and has the server forked from this process, where that can be.

    For a command that needs both, at its beginning: what was opened and begun until then, a fork
    has as well. It can be where this process has one thread; see `numpy_without_threads`.
    """
    global _server
    early, first = _early(), "torch" not in sys.modules
    with importing():
        import torch  # noqa: F401

    with _lock:
        if _server is None and first and sys.platform == "linux" and _threads() == 1:
            _server = os.getpid(), early, _Server(_of_this_one)


def _threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def _early() -> dict[str, str]:
    every = os.environ.items()
    return {k: v for k, v in every if k.startswith(_READ_EARLY) and k not in _READ_LATE}


_lock = threading.Lock()
_server: tuple[int, dict[str, str], _Server] | None = None


def fork(words: list[str], format: str, stderr: int) -> Fork | None:
    """A process that runs a worker; None where there is no server to be had.

    Args:
        words: the worker's arguments.
        format: of the job.
        stderr: the file that gets what it prints.
    """
    global _server
    early = _early()
    with _lock:  # a question and its answer are one
        if _server is not None and _server[:2] != (os.getpid(), early):
            _stop()
        try:
            if _server is None:
                _server = os.getpid(), early, _Server(_of_its_own)
            return _server[2].fork(words, format, stderr)
        except OSError:
            _stop()
            return None


@atexit.register
def _stop() -> None:
    global _server
    before, _server = _server, None
    if before is not None and before[0] == os.getpid():
        before[2].close()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.curdir for p in sys.path)}

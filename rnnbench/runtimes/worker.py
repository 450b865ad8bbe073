"""One artifact in one runtime, in a process of its own: an abort or a hang stays in it.

The child (`answering.py`) is a process of its own, or, where it needs torch, a fork of one that has
it (`forkserver.py`). Some runtimes abort the process on an empty batch (onnxruntime),
panic (tract) or never return; and a foreign TorchScript or .pt2 file is a program.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rnnbench import runtimes
from rnnbench.core.cpu_clock import Limit
from rnnbench.core.errors import RnnbenchError, Unavailable, lacks_memory
from rnnbench.core.model import Arrays
from rnnbench.core.signature import Signature
from rnnbench.core.threads import NUMPYS_THREADS
from rnnbench.runtimes import answering, forkserver
from rnnbench.runtimes.accounting import Account, Uses, uses_from_message, uses_to_message
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.messages import Answer, receive, send

__all__ = ["Job", "Worker", "WorkerError"]

_MODULE = answering.__spec__.name  # what a process of its own runs
_FAREWELL = 5.0  # seconds that a child has to remove its temporary files and end


class WorkerError(RnnbenchError):
    """The process died, hung or ran out of memory.

    Attributes:
        reason: `SIGABRT`, `no answer in 60 s`, `out of memory (limit 4.0 GB)`.
    """

    def __init__(self, reason: str, said: str = "") -> None:
        super().__init__(f"{reason}: {said}" if said else reason)
        self.reason = reason


class Worker:
    """Outputs by name from inputs by name, computed in another process.

    The process starts with the `with` block or the first call; after a `WorkerError` the next call
    starts a new one. Not to be shared between threads.

    Args:
        job: what to load.
        seconds: of CPU that loading, and each call, may take; see `Limit`.
        needs_torch: whether what it will be asked needs torch, though the runtime does not.
        memory: bytes that the process may allocate (Linux, macOS where its kernel honours it).
    """

    def __init__(
        self,
        job: Job,
        *,
        seconds: float = 60.0,
        memory: int = 4 * 2**30,
        needs_torch: bool = False,
    ) -> None:
        self.job = job
        self._needs_torch = needs_torch
        self._seconds = seconds
        self._memory = memory
        self._process: subprocess.Popen[bytes] | forkserver.Fork | None = None
        self._dead = False
        self._said: Any = None  # what the runtime prints, in a file that needs no reader

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __call__(self, inputs: Arrays) -> Arrays:
        """Runs the artifact.

        Raises:
            RnnbenchError: the runtime refused; the process lives on.
            WorkerError: the process died, hung or ran out of memory.
        """
        return self._ask({"do": "run"}, inputs)[1]

    def signature(self) -> Signature:
        """The inputs and outputs as the file itself declares them."""
        return Signature.from_json(self._ask({"do": "signature"})[0])

    def cases(self, wanted: dict[str, Any]) -> Answer:
        """Cases of the module that the process has; see `rnnbench.cases.making`."""
        return self._ask({"do": "cases", "wanted": wanted})

    def account(self, uses: Uses | None = None) -> Account:
        """Where each weight of the bundle is in the file."""
        header, arrays = uses_to_message(uses or {})
        said = self._ask({"do": "account", **header}, arrays)[0]
        return Account(**said | {"missing": tuple(said["missing"])})

    def effects(self, names: Sequence[str], *, every: bool = False) -> dict[str, bool]:
        """Weight of the module that the process has -> whether it matters to the outputs."""
        return dict(self._ask({"do": "effects", "names": [*names], "every": every})[0])

    def uses(self, names: Sequence[str]) -> Uses:
        """What the module that the process has makes of its weights."""
        return uses_from_message(*self._ask({"do": "uses", "names": [*names]}))

    def close(self) -> None:
        """Ends the process; it may be started again."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
            self._said.close()

    def kill(self) -> None:
        """Ends the process at once, for good, also while another thread waits for its answer."""
        self._dead = True
        process = self._process
        if process is not None:
            _kill(process)

    def _ask(self, header: dict[str, Any], arrays: Arrays | None = None) -> Answer:
        if self._process is None:
            self._start()
        return self._exchange(header, arrays)

    def _start(self) -> None:
        if self._process is not None:
            return
        if self._dead:
            raise WorkerError("stopped")
        job = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self.job).items()}
        words = [json.dumps(job), str(self._memory)]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        self._process = self._forked(words) or subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=self._environment(),
            start_new_session=True,  # so that what it starts itself (compilers) ends with it
        )
        try:
            if self._dead:  # killed by another thread between the two
                raise WorkerError("stopped")
            self._exchange(None)
        except BaseException:
            self.close()
            raise

    def _environment(self) -> dict[str, str]:
        """That of a process of its own, in which numpy starts no more threads than the job has."""
        path = os.pathsep.join(p or os.curdir for p in sys.path)
        threads = {} if self.job.threads is None else {NUMPYS_THREADS: str(self.job.threads)}
        return {**threads, **os.environ, "PYTHONPATH": path}

    def _forked(self, words: list[str]) -> forkserver.Fork | None:
        """The process as a fork of one that has torch, where it needs torch and there is one."""
        requires = runtimes.get(self.job.runtime).requires
        requires = {**requires, "torch": "torch"} if self._needs_torch else requires
        if not forkserver.serves(requires, self.job.device):
            return None
        return forkserver.fork(words, self.job.format, self._said.fileno())

    def _exchange(self, header: dict[str, Any] | None, arrays: Arrays | None = None) -> Answer:
        """Sends a request, unless it is the first answer that is waited for, and reads."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            _kill(process)

        try:
            with Limit(process.pid, self._seconds, give_up):
                if header is not None:
                    send(process.stdin, header, arrays)  # type: ignore[arg-type]
                answer, results = receive(process.stdout)  # type: ignore[arg-type]
        except (EOFError, OSError):
            raise self._died(late.is_set()) from None
        except BaseException:  # Ctrl-C in the middle of a message: the rest of it is of no use
            self.close()
            raise
        if "error" in answer:
            raise self._error(answer)
        return answer, results

    def _error(self, answer: dict[str, Any]) -> RnnbenchError:
        if answer["error"] == "memory":
            self.close()
            return self._out_of_memory()
        kind = Unavailable if answer["error"] == "unavailable" else RnnbenchError
        return kind(answer["message"])

    def _died(self, late: bool) -> WorkerError:
        assert self._process is not None
        _kill(self._process)
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        self.close()
        if late:
            return WorkerError(f"no answer in {self._seconds:g} s")
        if any(map(lacks_memory, lines[-5:])):
            return self._out_of_memory()
        return WorkerError(_name_of(code), lines[-1].strip()[:200] if lines else "")

    def _out_of_memory(self) -> WorkerError:
        limit = f" (limit {self._memory / 2**30:.1f} GB)" if self.job.device == "cpu" else ""
        return WorkerError(f"out of memory{limit}")


def _name_of(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"


def _kill(process: subprocess.Popen[bytes] | forkserver.Fork) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, PermissionError):  # Windows; a group that is being taken down
        process.kill()
    except ProcessLookupError:
        pass


def _end(process: subprocess.Popen[bytes] | forkserver.Fork) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()  # the child reads the end, and leaves
    try:
        process.wait(_FAREWELL)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _kill(process)
        process.wait()
        process.stdout.close()

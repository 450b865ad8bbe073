"""Declarations on trial: exported and checked in a process of their own, which may be ended.

text of a FILE.py   ->   export(build(), ("onnx",)), check   ->   None, or why it is refused
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rnnbench.core.cpu_clock import Limit
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.processes import end_with_parent, limit_memory
from rnnbench.core.temporary import temporary_folder
from rnnbench.models.sources import importing_from, load

_FORMATS = ("onnx",)
_MEMORY = 6 * 2**30  # bytes: a loop that is traced step by step may take all there is


class Trials:
    """A process that exports one declaration after the other.

    It starts at once, so that it has imported what it needs when the first one is asked for.

    Args:
        folder: where the declaration will be; its neighbours can be imported.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def __call__(self, text: str, seconds: float) -> str | None:
        """Exports the declaration in a Python file's text, and checks what came out.

        Args:
            text: of the file.
            seconds: of CPU that it may take; see `Limit`.

        Returns:
            Why it was refused; None where it was exported and computes the same.

        Raises:
            TimeoutError: there was no answer in time.
        """
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        try:
            with Limit(process.pid, seconds, give_up):
                process.stdin.write(json.dumps(text) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
        except OSError:
            answer = ""
        if late.is_set():
            self._end()
            raise TimeoutError(f"no answer in {seconds:.0f} s")
        if not answer:
            self._end()
            return "its process died"
        why = json.loads(answer)
        return None if why is None else str(why)

    def _start(self) -> None:
        path = os.pathsep.join(p or os.curdir for p in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()


def tried(text: str) -> str | None:
    """Why a declaration is not exported, or computes something else; None where all is well."""
    from rnnbench.checking.check import check
    from rnnbench.core.verdicts import Verdict
    from rnnbench.exporting import export

    with temporary_folder() as folder:
        file = Path(folder) / "draft.py"
        file.write_text(text, encoding="utf-8")
        try:
            report = check(export(load(str(file)), _FORMATS, folder), isolate=False, model=None)
        except RnnbenchError as error:
            return one_line(error)
        except Exception as error:  # a user's module, and torch, may raise anything
            return f"{type(error).__name__}: {one_line(error)}"
    if report.ok:
        return None
    gravest = max(report.rows, key=lambda row: row.verdict.severity)
    same = gravest.verdict == Verdict.SAME
    return "nothing could be compared" if same else f"{gravest.verdict}: {gravest.reason}"


def main() -> None:
    """Answers each line of stdin, a JSON string, with a line: null, or why it is refused."""
    end_with_parent()
    limit_memory(_MEMORY)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a user's module prints is no answer
    import rnnbench.capture.pipeline
    import rnnbench.formats.onnx  # noqa: F401  (while nothing is asked for yet)

    with importing_from(Path(sys.argv[1]), Path()):
        for line in sys.stdin:
            why: Any = tried(json.loads(line))
            answers.write(json.dumps(why) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()

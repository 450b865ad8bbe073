"""C that is compiled here, by the compiler that is here: `CC`, or `cc`."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rnnbench.core.errors import RnnbenchError, one_line

_SECONDS = 300.0


def compiler() -> list[str]:
    """The C compiler, with the flags that `CC` has."""
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


def no_compiler() -> str | None:
    """Why there is no C compiler; None where there is."""
    if shutil.which(compiler()[0]) is None:
        return f"there is no C compiler {compiler()[0]!r}: install one, or name it in CC"
    return None


def compile_library(sources: Sequence[Path], library: Path, flags: Sequence[str]) -> None:
    """Makes a shared library of C files.

    Raises:
        RnnbenchError: the compiler refuses them, or takes too long; with its first error.
    """
    command = [*compiler(), *flags, *map(str, sources), "-o", str(library), "-lm"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RnnbenchError(f"{command[0]} did not compile the C ({one_line(error)})") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        said = (errors or done.stderr.splitlines() or ["it said nothing"])[0]
        raise RnnbenchError(f"{command[0]} did not compile {sources[0].name}: {said}")

"""Temporary folders that the next one clears away, where the run that made one was killed.

They are `rnnbench-<user>-XXXXXXXX` in the system's folder for such things. Each is locked by the
process that made it, so that nobody's work is taken from under him.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.whole import lock, unlock

_PREFIX = "rnnbench-"


@contextmanager
def temporary_folder(within: Path | None = None, failed: str = "") -> Iterator[Path]:
    """A new folder that is removed with all that is in it when the block ends.

    Args:
        within: where; the system's folder for temporary files, unless given.
        failed: how the line begins where it cannot be made: what it is for.

    Raises:
        RnnbenchError: nothing can be written there.
    """
    place = Path(tempfile.gettempdir()) if within is None else within
    prefix = f"{'.' if within else ''}{_PREFIX}{_user()}-"
    try:
        _clear(place, prefix)
        folder, held = _made(place, prefix)
    except OSError as error:
        remedy = "give another path" if within else "make room there, or set TMPDIR to another"
        raise RnnbenchError(
            f"{failed or f'cannot write to {place}'} ({error.strerror or one_line(error)}): "
            f"{remedy}"
        ) from None
    inside = folder / "files"  # which whoever writes there may lock
    try:
        inside.mkdir()
        yield inside
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        unlock(held)


def _made(place: Path, prefix: str) -> tuple[Path, int | None]:
    """A new folder and its lock."""
    while True:
        folder = place / f"{prefix}{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        held = lock(folder, wait=True)
        # Whoever clears up may have taken it for a dead run's between the two.
        if folder.is_dir():
            return folder, held
        unlock(held)


def _clear(place: Path, prefix: str) -> None:
    for left in place.glob(f"{prefix}*"):
        held = lock(left)
        if held is not None:  # nobody holds it: its run is gone
            shutil.rmtree(left, ignore_errors=True)
            unlock(held)


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0

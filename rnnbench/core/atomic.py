"""A bundle's folder, or one file, appears whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnbench.core.bundle import is_bundle
from rnnbench.core.errors import RnnbenchError, one_line

try:
    import fcntl
except ImportError:  # Windows: no locks between processes there, so leftovers stay
    fcntl = None  # type: ignore[assignment]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PARTIAL, _OLD = ".partial", ".old"


@contextmanager
def writing(out: str | Path, name: str) -> Iterator[Path]:
    """Yields a new folder in `out` that becomes `out/name` when the block ends well.

    Until then, and on any error, a bundle that was there before stays as it is. What a killed run
    left behind is cleared up.

    Raises:
        RnnbenchError: the name leads outside `out`, or something that is no bundle has it.
    """
    out = Path(out)
    target = _target(out, name)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _locked(out):
            _clear(out, target)
            temporary = out / f".{name}.{secrets.token_hex(4)}{_PARTIAL}"
            temporary.mkdir()
            lock = _lock(temporary)
    except OSError as error:
        raise RnnbenchError(
            f"cannot write to {out} ({error.strerror or one_line(error)}): choose another --out"
        ) from None
    try:
        yield temporary
        with _locked(out):
            _swap(temporary, _target(out, name))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _unlock(lock)


def write_file(path: Path, data: bytes) -> None:
    """Writes a file; one that was there stays as it is until the new one is whole.

    Raises:
        RnnbenchError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PARTIAL}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise RnnbenchError(
            f"cannot write {path} ({error.strerror or one_line(error)}): give another path"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def _target(out: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise RnnbenchError(
            f"bundle name {name!r}: use letters, digits, '.', '_' and '-' "
            "(it becomes a folder inside --out)"
        )
    target = out / name
    if target.is_symlink():
        raise RnnbenchError(f"{target} is a link: remove it, or choose another --out")
    empty = target.is_dir() and not any(target.iterdir())
    if target.exists() and not empty and not is_bundle(target):
        raise RnnbenchError(
            f"{target} is there and is not a bundle: move it away, or choose another --out"
        )
    return target


def _swap(temporary: Path, target: Path) -> None:
    old = temporary.with_suffix(_OLD)
    if target.exists():
        target.rename(old)
    try:
        temporary.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _clear(out: Path, target: Path) -> None:
    """Removes what killed runs left, and brings back a bundle that one had moved aside."""
    for left in sorted(out.glob(f".{target.name}.????????{_OLD}")):
        if target.exists():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.rename(target)
    for left in out.glob(f".{target.name}.????????{_PARTIAL}"):
        lock = _lock(left)
        if lock is not None:  # nobody holds it: its run is gone
            shutil.rmtree(left, ignore_errors=True)
            _unlock(lock)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = _lock(folder, wait=True)
    try:
        yield
    finally:
        _unlock(lock)


def _lock(folder: Path, *, wait: bool = False) -> int | None:
    """A lock on a folder that ends with the process; None where another process holds it."""
    if fcntl is None:
        return None
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by another, or a file system without locks
        os.close(handle)
        return None
    return handle


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)

"""A folder or a file appears whole or not at all, and what was there stays until then.

    .name.1f0c33aa.partial   is written; locked by its run, so that a run that was killed is known
    name                     is exchanged with it in one step, where the system can (Linux)

Elsewhere the old one is moved aside (`.name.1f0c33aa.old`), and the new one to its place. A run
that is killed between the two leaves none; `recover` brings the old one back, and every reader
calls it. What else killed runs left is removed by the next that writes there.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from rnnbench.core.errors import RnnbenchError, one_line

LOCKS = os.name != "nt"
"""Whether `lock` can lock anything here: Windows keeps everybody from reading what is locked."""

_PARTIAL, _OLD = ".partial", ".old"
_RANDOM = 4  # bytes
_POLL = 0.01  # seconds between two looks at a lock that another holds
_ASIDE = re.compile(rf"\.(.+)\.[0-9a-f]{{{2 * _RANDOM}}}{re.escape(_OLD)}")
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EIO)
# What torch's writer of archives says, at the first byte without room, or as it ends (torch 2.13).
_SAID = re.compile(
    r"PytorchStreamWriter|file write failed|failed writing|iostream error|unexpected pos \d+ vs",
    re.IGNORECASE,
)
_OPEN = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/[^/]+/fd/\d+")
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of <linux/fs.h>


@contextmanager
def whole_folder(target: Path, *, still_allowed: Callable[[], object] = bool) -> Iterator[Path]:
    """Yields a new folder that takes the place of another when the block ends well.

    Args:
        target: its place; whatever is there is replaced.
        still_allowed: raises where it must not be, asked again before that.

    Raises:
        RnnbenchError: nothing can be written there.
    """
    out = target.parent
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _locked(out):
            _clear(target)
            temporary = _beside(target, _PARTIAL)
            temporary.mkdir()
            held = lock(temporary)
    except OSError as error:
        raise cannot_write(out, error) from None
    try:
        yield temporary
        with _locked(out):
            still_allowed()
            _swap(temporary, target)
    except Exception as error:
        why = full(error)
        if why is None:
            raise
        raise RnnbenchError(
            f"cannot write {_last_written(temporary, target)} ({why}): make room, or choose "
            "another --out"
        ) from error
    finally:
        _remove(temporary)
        unlock(held)


@contextmanager
def whole_file(path: Path, remedy: str = "give another path") -> Iterator[IO[bytes]]:
    """Yields an open file that takes the place of another when the block ends well.

    A link stays, and what it leads to is written. What is there and is no file (a pipe, a device)
    stays as well, and gets the bytes when the block has ended well.

    Args:
        path: its place.
        remedy: the end of the line where it cannot be written.

    Raises:
        RnnbenchError: it cannot be written.
    """
    try:
        with _into(path) if _is_special(path) else _in_place_of(path.resolve()) as file:
            yield file
    except Exception as error:
        why = error.strerror or one_line(error) if isinstance(error, OSError) else full(error)
        if why is None and not isinstance(error, _NoPathError):
            raise
        raise RnnbenchError(f"cannot write {path} ({why or one_line(error)}): {remedy}") from None


class _NoPathError(ValueError):
    """A name that no file can have."""


def _is_special(path: Path) -> bool:
    """Whether bytes go straight into what is there.

    That is anything but a file; and a file that this process holds open already, as `/dev/stdout`.
    """
    try:
        path.resolve()
        is_open = _OPEN.fullmatch(path.absolute().as_posix()) is not None
        return path.exists() and (is_open or not path.is_file())
    except (ValueError, RuntimeError) as error:  # a NUL, a loop of links
        raise _NoPathError(one_line(error)) from None


@contextmanager
def _into(path: Path) -> Iterator[IO[bytes]]:
    """A file in memory, whose bytes go to the end of what is there."""
    whole = io.BytesIO()  # so that an archive can go back to its start, which a pipe cannot
    yield whole
    with path.open("ab") as file:
        file.write(whole.getbuffer())


@contextmanager
def _in_place_of(path: Path) -> Iterator[IO[bytes]]:
    partial = _beside(path, _PARTIAL)
    try:
        with contextlib.ExitStack() as open_file:
            with _locked(path.parent):
                _clear_partial(path)
                file = open_file.enter_context(partial.open("wb"))
                _lock_file(file.fileno())
            yield file
            file.flush()
            with contextlib.suppress(OSError):  # what is no file on a disk
                os.fsync(file.fileno())
            # Still locked: else whoever clears up here might remove it before it is in its place.
            partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_file(path: Path, data: bytes, remedy: str = "give another path") -> None:
    """Writes a file; one that was there stays as it is until the new one is whole.

    Raises:
        RnnbenchError: it cannot be written.
    """
    with whole_file(path, remedy) as file:
        file.write(data)


def recover(target: Path) -> None:
    """Brings a folder back that a run which was killed then had moved aside."""
    if target.exists() or not target.name:
        return
    with contextlib.suppress(OSError):  # it cannot be written there: nothing can be done
        if _aside(target):
            with _locked(target.parent):
                _bring_back(target)


def recover_all(out: Path) -> None:
    """`recover` for every folder that is missing in `out`."""
    found = (_ASIDE.fullmatch(path.name) for path in out.glob(f".*{_OLD}"))
    for name in {match[1] for match in found if match}:
        recover(out / name)


def full(error: BaseException) -> str | None:
    """Why something could not be written, where the disk or a limit is the reason."""
    if isinstance(error, OSError):
        return error.strerror if error.errno in _FULL else None
    # torch's own writer of archives says it in words, and leaves the reason to the system's.
    said = one_line(error)
    return f"the disk is full, or a limit is reached: {said}" if _SAID.search(said) else None


def _last_written(temporary: Path, target: Path) -> Path:
    """The file at whose writing the room ended, in its final place."""
    files = [path for path in temporary.rglob("*") if path.is_file()]
    if not files:
        return target
    last = max(files, key=lambda path: path.stat().st_mtime_ns)
    return target / last.relative_to(temporary)


def cannot_write(path: Path, error: OSError) -> RnnbenchError:
    """The line of a bundle's folder that cannot be written."""
    why = error.strerror or one_line(error)
    return RnnbenchError(f"cannot write to {path} ({why}): choose another --out")


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(_RANDOM)}{suffix}")


def _swap(temporary: Path, target: Path) -> None:
    """The new folder is in the place of the old one, which is removed."""
    if not os.path.lexists(target):
        temporary.rename(target)
        return
    if _exchanged(temporary, target):  # what is removed in the end is the old one
        return
    old = temporary.with_suffix(_OLD)
    target.rename(old)
    try:
        temporary.rename(target)
    except BaseException:
        old.rename(target)
        raise
    _remove(old)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two names were exchanged in one step; this file system may not be able to."""
    rename = _renameat2()
    if rename is None:
        return False
    done: int = rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    return done == 0


@cache
def _renameat2() -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):  # a C library that does not have it
        return None


def _aside(target: Path) -> list[Path]:
    found = ((path, _ASIDE.fullmatch(path.name)) for path in target.parent.glob(f".*{_OLD}"))
    return sorted(path for path, match in found if match and match[1] == target.name)


def _bring_back(target: Path) -> None:
    for left in _aside(target):
        if os.path.lexists(target):
            _remove(left)
        else:
            left.rename(target)


def _clear(target: Path) -> None:
    """Removes what killed runs left, and brings back what one had moved aside."""
    _bring_back(target)
    _clear_partial(target)


def _clear_partial(target: Path) -> None:
    start, end = f".{target.name}.", _PARTIAL
    for name in os.listdir(target.parent):  # noqa: PTH208  (a name may hold what glob reads)
        if len(name) != len(start) + 2 * _RANDOM + len(end):
            continue
        if name.startswith(start) and name.endswith(end):
            left = target.with_name(name)
            held = lock(left)
            if held is not None:  # nobody holds it: its run is gone
                _remove(left)
                unlock(held)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    held = lock(folder, wait=True)
    try:
        yield
    finally:
        unlock(held)


def lock(path: Path, *, wait: bool = False) -> int | None:
    """A lock on what is there that ends with the process; None where another process holds it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    if _lock_file(handle, wait=wait):
        return handle
    os.close(handle)
    return None


def _lock_file(handle: int, *, wait: bool = False) -> bool:
    """Whether it is locked: another may hold it, or the file system has no locks."""
    from filelock import lock_descriptor

    try:
        return LOCKS and lock_descriptor(handle, blocking=wait, poll_interval=_POLL)
    except OSError:
        return False


def unlock(held: int | None) -> None:
    """Gives up what `lock` gave."""
    if held is not None:
        os.close(held)

"""Whose code runs: a record, outside of every bundle, of what this user exported on this machine.

A bundle may come from anywhere, and names the Python file of its model or holds machine code. Such
code runs where the record has it: this user exported from this path, with this content. The record
is a folder with a small file for each of them, so that two exports at once do not meet.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import platformdirs

from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.core.whole import write_file

FOLDER = "RNNBENCH_STATE_DIR"
"""The variable that puts the record elsewhere."""

FLAG = "--trust-code"
_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class Code:
    """Python code that this user exported from.

    Attributes:
        folders: that were first on the path while it was imported.
        root: the file of the module, or of the package that it is in.
        files: file -> sha256 of its content, of all local files that were imported with it.
    """

    folders: tuple[Path, ...]
    root: str
    files: Mapping[str, str]


def folder() -> Path:
    """Where the record lies, whether or not it is there."""
    given = os.environ.get(FOLDER)
    return Path(given) if given else platformdirs.user_state_path("rnnbench", appauthor=False)


def digest(file: Path) -> str:
    """The sha256 of a file's content; empty where it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def remember_code(spec: str, main: Path) -> None:
    """Records that this user exported from code which is imported now, where that can be written.

    Args:
        spec: `FILE.py[:function]` or `package.module:function`, as it was given.
        main: the file that holds the function.
    """
    beside = [main.resolve().parent] if _is_file(spec) else []
    folders = list(dict.fromkeys([*beside, Path.cwd()]))
    files = {str(file): digest(file) for file in {main.resolve(), *_local(folders)}}
    record_code(spec, digest(main), Code(tuple(folders), str(_root(spec, main)), files))


def record_code(spec: str, sha256: str, code: Code) -> None:
    """Records code, where that can be written.

    Args:
        spec: as `remember_code` has it.
        sha256: of the file that holds the function.
        code: all that is imported with it.
    """
    said = {"folders": [*map(str, code.folders)], "root": code.root, "files": dict(code.files)}
    _remember("code", _key(spec, sha256), said)


def not_recorded(source: Mapping[str, Any]) -> str:
    """What is to be known where an export's code could not be recorded, in one line; else nothing.

    Args:
        source: of the bundle that was exported now.
    """
    if "sha256" not in source or _place("code", _key(source["spec"], source["sha256"])).is_file():
        return ""
    return (
        f"{folder()} cannot be written, so that nothing records that you exported this: a later "
        f"check of it needs {FLAG}, or set {FOLDER} to another folder and export again"
    )


def find_code(spec: str, sha256: str) -> Code:
    """What the record says of the code that a bundle names.

    Raises:
        Unavailable: this user did not export from it here, or it has changed since.
    """
    try:
        said = json.loads(_place("code", _key(spec, sha256)).read_text(encoding="utf-8"))
        code = Code(tuple(map(Path, said["folders"])), str(said["root"]), dict(said["files"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise Unavailable(
            f"the code that the bundle names ({spec}) is not run: it was not exported from there "
            f"by you on this machine, or has changed since; export it again, or give {FLAG}"
        ) from None
    for file, known in code.files.items():
        if digest(Path(file)) != known:
            raise Unavailable(
                f"the code that the bundle names ({spec}) is not run: {file} has changed since "
                f"you exported it; export it again, or give {FLAG}"
            )
    return code


def remember_machine_code(file: Path) -> None:
    """Records that a package of machine code was compiled here, where that can be written."""
    _remember("compiled", digest(file), {"file": str(file.resolve())})


def is_own_machine_code(file: Path) -> bool:
    """Whether a package of machine code was compiled here by this user."""
    return _place("compiled", digest(file)).is_file()


def refuse_machine_code(file: Path, done: str = "compiled") -> None:
    """Refuses machine code, or what becomes it, that this user did not make on this machine.

    Args:
        file: that holds it.
        done: what makes it: `compiled`, or `written`, of C.

    Raises:
        Unavailable: there is no record of it.
    """
    if not is_own_machine_code(file):
        what = "machine code" if done == "compiled" else "C, which becomes machine code"
        raise Unavailable(
            f"{file.name} is {what}, and is not run: it was not {done} by you on this "
            f"machine; export it again, or give {FLAG}"
        )


def _key(spec: str, sha256: str) -> str:
    """A file counts by its path, a module by its name, and both by what is in them."""
    file, colon, function = spec.rpartition(":")
    if _is_file(spec):
        file, function = (file, function) if colon and file.endswith(".py") else (spec, "")
        spec = f"{Path(file).resolve()}:{function}"
    return hashlib.sha256(f"{spec}\n{sha256}".encode()).hexdigest()


def _is_file(spec: str) -> bool:
    return spec.endswith(".py") or spec.rpartition(":")[0].endswith(".py")


def _root(spec: str, main: Path) -> Path:
    """The file that `import package` reads, of `package.module:function`."""
    found = main.resolve()
    if not _is_file(spec):
        top = sys.modules.get(spec.partition(":")[0].partition(".")[0])
        found = Path(getattr(top, "__file__", None) or found).resolve()
    return found


def _local(folders: list[Path]) -> Iterator[Path]:
    """The files of imported modules that lie in these folders, or are linked to from there.

    Of thousands; few folders have them all, each of which is judged once.
    """
    resolved = cache(Path.resolve)
    is_in = cache(partial(_is_in, folders=folders))
    for module in list(sys.modules.values()):
        # What is imported when it is asked for anything may fail then.
        file = getattr(module, "__dict__", {}).get("__file__")
        if not isinstance(file, str):
            continue
        path = Path(file)
        real = resolved(path.parent) / path.name
        real = real.resolve() if real.is_symlink() else real
        # torch.ops claims a file that is none.
        if (is_in(path.parent) or is_in(real.parent)) and path.is_file():
            yield real


def is_local(file: Path, folders: Sequence[Path]) -> bool:
    """Whether a file is somebody's code in these folders: no package that was installed there."""
    return any(_is_in(path, folders) for path in {file, file.resolve()})


def _is_in(path: Path, folders: Sequence[Path]) -> bool:
    inside = any(path.is_relative_to(folder) for folder in folders)
    own = path.is_relative_to(Path(__file__).resolve().parents[1])
    return inside and not own and not _INSTALLED & {*path.parts} and not _in_python(path)


def _in_python(path: Path) -> bool:
    return any(path.is_relative_to(Path(p) / "lib") for p in {sys.prefix, sys.base_prefix})


def _place(kind: str, key: str) -> Path:
    return folder() / kind / f"{key or 'none'}.json"


def _remember(kind: str, key: str, said: Mapping[str, Any]) -> None:
    place = _place(kind, key)
    with contextlib.suppress(OSError, RnnbenchError):  # whoever runs the code says what to do
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(place, json.dumps(said, indent=1).encode())

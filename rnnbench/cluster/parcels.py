"""Files that travel to the nodes, by their content: each node gets each once.

    driver                                        node
    pack(folder) ─▶ Parcel(name, digest, ref) ─▶ unpack ─▶ CACHE/<digest>/<name>

The bytes are one object of Ray's, which it brings to a node where they are asked for; they are
asked for where the node's cache has no folder of that content. What is there is read again, so
that nothing that somebody changed is taken for it.

The Python code of a bundle's model goes along where this user exported from it, with the record of
that (`core/trust.py`), in which the files have other places there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs

from rnnbench.core import trust
from rnnbench.core.bundle import MANIFEST, Bundle, is_bundle
from rnnbench.core.errors import RnnbenchError, Unavailable, one_line
from rnnbench.core.inside import leads_outside
from rnnbench.core.whole import lock, unlock, whole_folder

_KEPT_DAYS = 30  # what nobody has used for so long is removed
_DAY = 86_400


@dataclass(frozen=True)
class Parcel:
    """A folder or a file on its way.

    Attributes:
        name: of it.
        digest: the sha256 of names and contents.
        content: Ray's reference to the files: their names, below that of the folder -> bytes.
        code: of the bundle's model, where this user exported from it.
        compiled: names of machine code in it that this user compiled.
    """

    name: str
    digest: str
    content: Any
    code: Code | None = None
    compiled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """What a bundle's model is made by.

    Attributes:
        spec: as the manifest has it.
        sha256: of the file that holds the function.
        folders: that were first on the path.
        root: the file of the module, or of the package that it is in.
        parcel: all of the files, by their paths.
    """

    spec: str
    sha256: str
    folders: tuple[str, ...]
    root: str
    parcel: Parcel


def pack(path: Path, put: Callable[[Any], Any]) -> Parcel:
    """A bundle, or a file of code, as it is sent.

    Args:
        path: the folder or the file.
        put: keeps an object for the nodes, and returns a reference.

    Raises:
        RnnbenchError: it cannot be read.
    """
    name = path.absolute().name
    files = _read({name: path} if path.is_file() else _files(path, name))
    parcel = Parcel(name, _digest(files), put(files))
    if not is_bundle(path):
        return parcel
    bundle = Bundle.open(path)
    own = (a.path for a in bundle.artifacts.values() if trust.is_own_machine_code(a.path))
    compiled = tuple(file.relative_to(path).as_posix() for file in own)
    return replace(parcel, code=_code_of(bundle, put), compiled=compiled)


def unpack(parcel: Parcel, folder: Path, get: Callable[[Any], Any]) -> Path:
    """Where the files are on this node; what they need to run is in its record then.

    Args:
        parcel: what was sent.
        folder: of this process, for what is not kept.
        get: the object of a reference.

    Raises:
        RnnbenchError: nothing can be written here.
    """
    path = _cached(parcel, get) / parcel.name
    for name in parcel.compiled:
        trust.remember_machine_code(path / name)
    return path if parcel.code is None else _with_code(path, parcel.code, folder, get)


def cache_folder() -> Path:
    """Where a node keeps what it got."""
    return platformdirs.user_cache_path("rnnbench", appauthor=False) / "parcels"


def _cached(parcel: Parcel, get: Callable[[Any], Any]) -> Path:
    """The folder of that content, which is made where there is none."""
    there = cache_folder() / parcel.digest
    there.parent.mkdir(parents=True, exist_ok=True)
    held = lock(there.parent.parent, wait=True)  # nodes of one machine get it once together
    try:
        if there.is_dir() and _digest(_read(_files(there))) == parcel.digest:
            os.utime(there)
            return there
        _remove_old()
        with whole_folder(there) as made:
            for name, content in get(parcel.content).items():
                if leads_outside(name):
                    raise RnnbenchError(f"{name!r} leads out of the folder that was sent")
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_bytes(content)
    finally:
        unlock(held)
    return there


def _remove_old() -> None:
    with suppress(OSError):
        for left in cache_folder().iterdir():
            if time.time() - left.stat().st_mtime > _KEPT_DAYS * _DAY:
                shutil.rmtree(left, ignore_errors=True)


def _code_of(bundle: Bundle, put: Callable[[Any], Any]) -> Code | None:
    """The code that a bundle names, where this user exported from it and it is as it was."""
    source = bundle.source
    spec, sha256 = source.get("spec"), str(source.get("sha256") or "")
    if source.get("kind") not in ("file", "import") or not isinstance(spec, str):
        return None
    try:
        code = trust.find_code(spec, sha256)
    except Unavailable:
        return None
    folders = tuple(str(folder.resolve()) for folder in code.folders)
    files = _read({f"code/{_placed(Path(file), folders)}": Path(file) for file in code.files})
    parcel = Parcel("code", _digest(files), put(files))
    return Code(spec, sha256, folders, str(Path(code.root).resolve()), parcel)


def _placed(file: Path, folders: tuple[str, ...]) -> str:
    """Where a file of code lies in its parcel: below the number of the folder that it is in."""
    for n, folder in sorted(enumerate(folders), key=lambda pair: -len(pair[1])):
        if file.is_relative_to(folder):
            return f"{n}/{file.relative_to(folder).as_posix()}"
    return f"other/{hashlib.sha256(str(file.parent).encode()).hexdigest()[:16]}/{file.name}"


def _with_code(bundle: Path, code: Code, folder: Path, get: Callable[[Any], Any]) -> Path:
    """The bundle, whose code is found and recorded here."""
    there = _cached(code.parcel, get) / code.parcel.name
    files = {str(file): trust.digest(file) for file in _files(there).values()}
    root = str(there / _placed(Path(code.root), code.folders))
    folders = tuple(there / str(n) for n in range(len(code.folders)))
    file, colon, function = code.spec.rpartition(":")
    if not colon or function.endswith(".py"):
        file, function = code.spec, ""
    spec = code.spec
    if file.endswith(".py"):
        spec = root + (f":{function}" if function else "")
        bundle = _renamed(bundle, spec, folder)
    trust.record_code(spec, code.sha256, trust.Code(folders, root, files))
    return bundle


def _renamed(bundle: Path, spec: str, folder: Path) -> Path:
    """A copy of a bundle whose manifest says where the code is on this node."""
    copy = folder / hashlib.sha256(str(bundle).encode()).hexdigest()[:16] / bundle.name
    if not copy.is_dir():
        shutil.copytree(bundle, copy)
        manifest = json.loads((copy / MANIFEST).read_text("utf-8"))
        manifest["source"]["spec"] = spec
        (copy / MANIFEST).write_text(json.dumps(manifest, indent=2), "utf-8")
    return copy


def _files(folder: Path, name: str = "") -> dict[str, Path]:
    """Every file of a folder, by its path below it, behind a name for the folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {(Path(name) / path.relative_to(folder)).as_posix(): path for path in found}


def _read(files: Mapping[str, Path]) -> dict[str, bytes]:
    try:
        return {name: path.read_bytes() for name, path in files.items()}
    except OSError as error:
        raise RnnbenchError(
            f"{error.filename} cannot be read ({error.strerror or one_line(error)}): it has to "
            "travel to the nodes"
        ) from None


def _digest(files: Mapping[str, bytes]) -> str:
    """Of names and contents, in the order of the names."""
    whole = hashlib.sha256()
    for name, content in sorted(files.items()):
        whole.update(f"{len(name.encode())} {name} {len(content)}\n".encode())
        whole.update(content)
    return whole.hexdigest()

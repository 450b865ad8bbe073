"""Imports while recorded code is imported: only files that the record has, from their source.

Python loads more than the sources that an export has imported: a `tabulate.py` that has come beside
`mine.py` since would go before the package of that name, and `__pycache__/mine.cpython-311.pyc`
instead of `mine.py` itself. So a finder goes before all others, for the thread that imports:

    in a folder of the code, recorded      its content is compared once more; no cache is read
    in a folder of the code, not recorded  as if it were not there
    elsewhere (installed, Python's own)    as ever
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader, all_suffixes
from importlib.util import spec_from_file_location
from pathlib import Path
from threading import get_ident
from types import CodeType, ModuleType

from rnnbench.core.trust import Code, digest, is_local


@contextmanager
def importing_recorded(code: Code) -> Iterator[None]:
    """While it lasts, this thread imports what the record has; below its packages, later as well.

    Args:
        code: that is imported.
    """
    finder = _OfThisThread(code)
    if _BELOW not in sys.meta_path:
        sys.meta_path.insert(0, _BELOW)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # somebody has taken it away
            sys.meta_path.remove(finder)


def loader_of(code: Code, name: str, file: Path) -> Loader | None:
    """What loads a recorded file; None where Python's own loader does: it is no source.

    Raises:
        ImportError: it is not as it was recorded.
    """
    known = code.files.get(str(file.resolve()))
    if file.suffix == ".py":
        return _FromSource(name, str(file), code)
    if digest(file) != known:
        raise _changed(name, file)
    return None


class _FromSource(SourceFileLoader):
    """Compiles the source, whatever lies in `__pycache__`, and writes nothing there."""

    def __init__(self, name: str, path: str, code: Code) -> None:
        super().__init__(name, path)
        self.recorded = code

    def get_code(self, fullname: str) -> CodeType | None:
        path = Path(self.get_filename(fullname))
        data = self.get_data(str(path))
        if hashlib.sha256(data).hexdigest() != self.recorded.files.get(str(path.resolve())):
            raise _changed(fullname, path)
        return self.source_to_code(data, str(path))


class _OfThisThread(MetaPathFinder):
    def __init__(self, code: Code) -> None:
        self._thread, self._code = get_ident(), code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self._thread != get_ident():
            return None
        return _find(self._code, fullname, path, target)


class _BelowRecorded(MetaPathFinder):
    """Modules of packages that were loaded from the record: functions import some when they run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = sys.modules.get(fullname.rpartition(".")[0])
        loader = getattr(getattr(package, "__spec__", None), "loader", None)
        if path is None or not isinstance(loader, _FromSource):
            return None
        return _find(loader.recorded, fullname, path, target)


_BELOW = _BelowRecorded()


def _find(
    code: Code, name: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    """What all other finders find, without files of the code's folders that the record lacks.

    Raises:
        ModuleNotFoundError: there is nothing but such a file.
    """
    skipped: list[Path] = []
    for finder in list(sys.meta_path):
        if isinstance(finder, _OfThisThread | _BelowRecorded):
            continue
        if finder is PathFinder:
            spec = _on_the_path(code, name, sys.path if path is None else path, target, skipped)
        else:
            look = getattr(finder, "find_spec", None)
            spec = _allowed(code, look(name, path, target) if look else None, skipped)
        if spec is not None:
            return spec
    if skipped:
        raise ModuleNotFoundError(
            f"{skipped[0]} is not run: it was not there when you exported", name=name
        )
    return None


def _on_the_path(
    code: Code,
    name: str,
    path: Sequence[str],
    target: ModuleType | None,
    skipped: list[Path],
) -> ModuleSpec | None:
    """As `PathFinder` looks, folder by folder: the first that has it, else a namespace."""
    parts: list[str] = []
    for entry in path:
        if not isinstance(entry, str):
            continue
        if not is_local(Path(entry).resolve() / "_", code.folders):
            spec = PathFinder.find_spec(name, [entry], target)
        else:
            spec = _in_folder(code, name, Path(entry), skipped)
        if spec is not None and (spec.loader is not None or spec.origin is not None):
            return spec
        parts += (spec.submodule_search_locations or []) if spec is not None else []
    if not parts:
        return None
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = parts
    return namespace


def _in_folder(code: Code, name: str, folder: Path, skipped: list[Path]) -> ModuleSpec | None:
    """The module in a folder of the code, which the record has; a namespace where there is none."""
    inside = folder.resolve() / name.rpartition(".")[2]
    stems = (inside / "__init__", inside)
    for file in (s.with_name(s.name + suffix) for s in stems for suffix in all_suffixes()):
        if not file.is_file():
            continue
        if str(file.resolve()) not in code.files:
            skipped.append(file)
            continue
        below = [str(inside)] if file.parent == inside else None
        return spec_from_file_location(
            name, file, loader=loader_of(code, name, file), submodule_search_locations=below
        )
    if not inside.is_dir():
        return None
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = [str(inside)]
    return namespace


def _allowed(code: Code, spec: ModuleSpec | None, skipped: list[Path]) -> ModuleSpec | None:
    """What another finder found (of packages that are installed to be edited), where it may run."""
    if spec is None or not spec.has_location or spec.origin is None:
        return spec
    file = Path(spec.origin)
    if str(file.resolve()) in code.files:
        loader = loader_of(code, spec.name, file)
        spec.loader = loader or spec.loader
    elif is_local(file, code.folders):
        skipped.append(file)
        return None
    return spec


def _changed(name: str, file: Path) -> ImportError:
    return ImportError(f"{file} has changed since you exported it", name=name, path=str(file))

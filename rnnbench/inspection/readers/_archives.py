"""Reads the zip archives that PyTorch writes, within limits; nothing in them is run."""

from __future__ import annotations

import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.nans import chunks_of, count_nans

_MAGIC = b"PK\x03\x04"
_FEW = 64
_DAMAGE = (
    *(KeyError, ValueError, RuntimeError, OSError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)
_LIMIT = 2**28  # bytes of one text; a small archive could unfold to any size


class Archive:
    """A zip archive whose entries lie in one folder, as PyTorch writes them.

    Attributes:
        names: the entries, without that folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._nans: dict[tuple[str, str], int] = {}
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            raise RnnbenchError(f"{path} is a truncated archive: copy it again") from None
        full = self._zip.namelist()
        folders = {name.split("/", 1)[0] for name in full if "/" in name}
        loose = any("/" not in name for name in full)
        self._prefix = f"{folders.pop()}/" if len(folders) == 1 and not loose else ""
        self.names = tuple(name.removeprefix(self._prefix) for name in full)

    def read(self, name: str) -> bytes:
        """One entry.

        Raises:
            RnnbenchError: it is not there, is damaged, or is too large to be text.
        """
        try:
            size = self._zip.getinfo(self._prefix + name).file_size
            if size > _LIMIT:
                raise RnnbenchError(f"{self.path}: {name} has {size} bytes, too many to inspect")
            return self._zip.read(self._prefix + name)
        except KeyError:
            raise RnnbenchError(f"{self.path} has no {name}: it is damaged") from None
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError):
            raise RnnbenchError(f"{self.path}: {name} is damaged: copy it again") from None
        except RuntimeError:  # zipfile's word for an encrypted entry
            raise RnnbenchError(
                f"{self.path}: {name} is encrypted: PyTorch never does so"
            ) from None

    def nans(self, name: str, dtype: str) -> int:
        """How many numbers of a weight are NaN; 0 where it is not there or is damaged."""
        if (name, dtype) not in self._nans:
            self._nans[name, dtype] = 0
            with suppress(*_DAMAGE):
                size = self._zip.getinfo(self._prefix + name).file_size
                with self._zip.open(self._prefix + name) as file:
                    self._nans[name, dtype] = count_nans(chunks_of(file, size), dtype)
        return self._nans[name, dtype]

    def whole_numbers(
        self, name: str, dtype: str, offset: int, count: int
    ) -> tuple[float, ...] | None:
        """The numbers of a small tensor of whole ones: lengths, places; None of others.

        Args:
            name: the entry with its storage.
            dtype: of its numbers.
            offset: how many numbers of the storage come before it.
            count: how many it has.
        """
        import numpy as np

        if dtype not in ("int64", "int32") or not 0 < count <= _FEW or name not in self.names:
            return None
        kind = np.dtype(dtype).newbyteorder("<")
        data = self.read(name)[offset * kind.itemsize :][: count * kind.itemsize]
        if len(data) < count * kind.itemsize:
            return None
        return tuple(float(n) for n in np.frombuffer(data, kind))

    def text(self, name: str, default: str | None = None) -> str:
        """One entry as text; `default` where it is not there."""
        if default is not None and name not in self.names:
            return default
        try:
            return self.read(name).decode("utf-8")
        except UnicodeDecodeError:
            raise RnnbenchError(f"{self.path}: {name} is not text: it is damaged") from None


def is_archive(path: Path) -> bool:
    """Whether a file begins as a zip archive does."""
    with path.open("rb") as file:
        return file.read(4) == _MAGIC


def entries(path: Path) -> tuple[str, ...]:
    """The names in an archive; none where the file is no archive or is damaged."""
    if is_archive(path):
        with suppress(RnnbenchError):
            return Archive(path).names
    return ()

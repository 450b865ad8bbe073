"""The folder of a store: files are written whole, never changed, and small ones merged.

    records-20261130T042115-1f0c33aa.parquet          what one run added
    records-20261130T050102-77ab0912-merged.parquet   what several files held; it names them
    .lock                                             held by who writes: one at a time

A merged file is in its place before those that it replaces go. A writer that is killed in between
leaves both: readers leave the old ones out, and the next writer removes them. What is left of a
file that was cut short has another name, and is removed then too.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.benchmarking.store.columns import MARK, VERSION, dictionaries, require, schema
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.whole import lock, unlock, whole_file

if TYPE_CHECKING:
    import pyarrow as pa

    from rnnbench.benchmarking.store.rows import Row

FILES = "records-*.parquet"
MERGED = "-merged"
FANOUT = 16
"""Files of about one size that are merged into one."""
SMALLEST, WHOLE = 2**16, 2**24
"""Bytes below which files are of one size, and from which one is merged no more."""
_REPLACES = b"rnnbench.replaces"
_LOCK = ".lock"
_PARTIAL = re.compile(r"\.records-.+\.partial")
_GROUP = 2**25  # bytes in memory that are written as one row group
_BATCH = 1024  # rows that are read at once
_REMEDY = "make room, or choose another folder"


def is_store(folder: Path) -> bool:
    """Whether a folder holds a store."""
    return folder.is_dir() and any(folder.glob(FILES))


def live_files(folder: Path) -> list[Path]:
    """The files of a store, by name; those that a merged one replaces are left out.

    Raises:
        RnnbenchError: a file is damaged, or of another version.
    """
    found = sorted(folder.glob(FILES))
    replaced = {name for path in found if path.stem.endswith(MERGED) for name in _replaced(path)}
    return [path for path in found if path.name not in replaced]


def append(folder: Path, rows: Sequence[Row]) -> int:
    """Adds rows to a store, all of them or none; those that it has already are left out.

    Args:
        folder: of the store; it is made where it is not there.
        rows: of `rows_of`.

    Returns:
        How many were added.

    Raises:
        RnnbenchError: it cannot be written, what is there is damaged, or the extra is missing.
    """
    require()
    with _writing(folder):
        ids = {row["id"]: row for row in rows}
        for known in _known(live_files(folder), list(ids)):
            del ids[known]
        if ids:
            _write(folder, [_batch(list(ids.values()))])
            _merge_small(folder)
        return len(ids)


def compact(folder: Path) -> tuple[int, int]:
    """Merges all files that are not large, and removes what killed writers left.

    Returns:
        How many files there were, and how many there are.

    Raises:
        RnnbenchError: there is no store, it cannot be written, or a file is damaged.
    """
    require()
    if not is_store(folder):
        raise RnnbenchError(
            f"{folder} is no store: make one with `rnnbench bench --store {folder}`"
        )
    with _writing(folder):
        before = live_files(folder)
        small = [path for path in before if _size(path) < WHOLE]
        if len(small) > 1:
            _merge(folder, small)
        return len(before), len(live_files(folder))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Alone, with what killed writers left removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _LOCK).touch()
    except OSError as error:
        why = error.strerror or one_line(error)
        raise RnnbenchError(f"cannot write to {folder} ({why}): choose another folder") from None
    held = lock(folder / _LOCK, wait=True)
    try:
        _clear(folder)
        yield
    finally:
        unlock(held)


def _clear(folder: Path) -> None:
    """Removes what was written in part, and files that a merged one replaces."""
    for name in os.listdir(folder):  # noqa: PTH208  (names that glob leaves out)
        held = lock(folder / name) if _PARTIAL.fullmatch(name) else None
        if held is not None:  # its writer is gone
            (folder / name).unlink(missing_ok=True)
            unlock(held)
    live = set(live_files(folder))
    for path in folder.glob(FILES):
        if path not in live:
            path.unlink(missing_ok=True)


def _merge_small(folder: Path) -> None:
    """Merges files of about one size, until nowhere are as many as `FANOUT`.

    With so many of each size, and as many of `WHOLE` as it takes, a store of n rows has some
    log n + n / (rows of a whole file) files, and a row is written again log n times.
    """
    while True:
        sizes: dict[int, list[Path]] = {}
        for path in live_files(folder):
            size = _size(path)
            if size < WHOLE:
                sizes.setdefault(_tier(size), []).append(path)
        full = next((paths for _, paths in sorted(sizes.items()) if len(paths) >= FANOUT), None)
        if full is None:
            return
        _merge(folder, full)


def _tier(size: int) -> int:
    """0 for the smallest, and one more for each `FANOUT` times as large."""
    tier = 0
    while size >= SMALLEST * FANOUT**tier:
        tier += 1
    return tier


def _merge(folder: Path, paths: Sequence[Path]) -> None:
    """One file in the place of several; each id is in it once."""
    replaces = "\n".join(path.name for path in paths).encode()
    _write(folder, _once(paths), {_REPLACES: replaces}, MERGED)
    for path in paths:
        path.unlink(missing_ok=True)


def _once(paths: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    """The rows of files, as today's columns, each id once."""
    import pyarrow as pa

    seen: set[str] = set()
    for path in paths:
        with _reading(path) as file:
            for batch in file.iter_batches(_BATCH):
                ids = batch.column("id").to_pylist()
                new = [i for i, one in enumerate(ids) if one not in seen]
                seen.update(ids)
                found = batch if len(new) == len(ids) else batch.take(pa.array(new, pa.int64()))
                yield _as_today(found)


def _as_today(batch: pa.RecordBatch) -> pa.RecordBatch:
    """With the columns that an older file lacks, empty."""
    import pyarrow as pa

    wanted = schema()
    given = set(batch.schema.names)
    arrays = [
        batch.column(field.name) if field.name in given else pa.nulls(len(batch), field.type)
        for field in wanted
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _batch(rows: Sequence[Row]) -> pa.RecordBatch:
    import pyarrow as pa

    try:
        return pa.RecordBatch.from_pylist(list(rows), schema=schema())
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise RnnbenchError(f"a measurement is damaged ({one_line(error)})") from None


def _write(
    folder: Path,
    batches: Sequence[pa.RecordBatch] | Iterator[pa.RecordBatch],
    more: dict[bytes, bytes] | None = None,
    suffix: str = "",
) -> None:
    """One file, on the disk with its name when this returns."""
    import pyarrow.parquet as pq

    when = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path = folder / f"records-{when}-{secrets.token_hex(4)}{suffix}.parquet"
    columns = schema()
    columns = columns.with_metadata({**columns.metadata, **(more or {})})
    with (
        whole_file(path, _REMEDY) as file,
        pq.ParquetWriter(
            *(file, columns), compression="zstd", use_dictionary=dictionaries()
        ) as writer,
    ):
        for group in _groups(batches):
            writer.write_table(group)
    _settle(folder)


def _groups(batches: Sequence[pa.RecordBatch] | Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """As many rows as fit a row group."""
    import pyarrow as pa

    held: list[Any] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size >= _GROUP:
            yield pa.Table.from_batches(held)
            held, size = [], 0
    if held:
        yield pa.Table.from_batches(held)


def _settle(folder: Path) -> None:
    """The names in a folder are on the disk too, where the system can say so."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _known(paths: Sequence[Path], ids: Sequence[str]) -> set[str]:
    """Those of the ids that are in the files."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(ids, pa.string())
    found: set[str] = set()
    for path in paths:
        with _reading(path) as file:
            for batch in file.iter_batches(2**16, columns=["id"]):
                column = batch.column("id")
                found.update(column.filter(pc.is_in(column, wanted)).to_pylist())
    return found


def _replaced(path: Path) -> list[str]:
    """The names of the files that a merged one stands for; none where it has just gone itself."""
    try:
        with _reading(path) as file:
            text: bytes = (file.schema_arrow.metadata or {}).get(_REPLACES, b"")
    except FileNotFoundError:
        return []
    return text.decode().splitlines()


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """A Parquet file of a store.

    Raises:
        RnnbenchError: it is damaged, or of another version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            said = (file.schema_arrow.metadata or {}).get(MARK)
            if said != VERSION.encode():
                raise RnnbenchError(
                    f"{path} is no file of a store of version {VERSION}: move it elsewhere, or use "
                    "the rnnbench that wrote it"
                )
            yield file
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise RnnbenchError(
            f"{path} is damaged ({one_line(error)}): move it elsewhere, and add its results again"
        ) from None


def _size(path: Path) -> int:
    return path.stat().st_size

"""Results files, and runs that have just ended, into a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rnnbench.benchmarking.plan import short_name
from rnnbench.benchmarking.results import read_data, read_results
from rnnbench.benchmarking.store.columns import require
from rnnbench.benchmarking.store.folder import append
from rnnbench.benchmarking.store.rows import rows_of
from rnnbench.core.bundle import Bundle, is_bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.trust import digest
from rnnbench.models.sources import file_of


def check_place(folder: Path) -> None:
    """Refuses what could not be written to after a long run.

    Raises:
        RnnbenchError: the extra is missing, or there can be no store.
    """
    require()
    if folder.exists() and not folder.is_dir():
        raise RnnbenchError(f"--store {folder} is no folder: give another")
    append(folder, [])


def add_run(folder: Path, results: Path, targets: Sequence[str]) -> int:
    """Adds the results of a run that has ended here, whose models are still what was measured.

    Args:
        folder: of the store.
        results: the file.
        targets: of its plan.

    Returns:
        How many rows are new.

    Raises:
        RnnbenchError: they cannot be added; the line says how to add them later.
    """
    try:
        return add_file(folder, results, hashes_of(targets))
    except RnnbenchError as error:
        raise RnnbenchError(
            f"{one_line(error)}; what was measured is in {results}: "
            f"rnnbench store add {folder} {results}"
        ) from None


def add_files(folder: Path, paths: Sequence[str | Path]) -> tuple[int, int]:
    """Adds results files, or folders of them.

    Returns:
        How many measurements there are in them, and how many were new.

    Raises:
        RnnbenchError: one is damaged, foreign, or cannot be added; those before it are added.
    """
    found = read_results(paths)
    counts = [
        sum(map(len, (each.latencies, each.ratios, each.costs, each.streams))) for each in found
    ]
    return sum(counts), sum(add_file(folder, each.path) for each in found)


def add_file(folder: Path, path: Path, hashes: Mapping[str, str] | None = None) -> int:
    """Adds one results file.

    Args:
        folder: of the store.
        path: the file.
        hashes: as in `rows_of`.

    Returns:
        How many rows are new.

    Raises:
        RnnbenchError: it is damaged or foreign, or cannot be added.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
        read_data(path, data)
        rows = rows_of(data, hashes)
    except (OSError, ValueError, RecursionError) as error:
        raise RnnbenchError(f"{path} cannot be read ({one_line(error)}): measure again") from None
    return append(folder, rows)


def hashes_of(targets: Sequence[str]) -> dict[str, str]:
    """The name of each target in the ids of its items -> sha256 of what it is.

    That of a bundle is of its artifacts and weights, wherever it was made; that of a FILE.py is the
    file's. A built-in variant has none: the version and the commit say what it is.
    """
    found = {}
    for target in targets:
        if is_bundle(Path(target)):
            found[short_name(target)] = hash_of_bundle(Bundle.open(target))
        elif Path(file_of(target)).is_file():
            found[short_name(target)] = digest(Path(file_of(target)))
    return found


def hash_of_bundle(bundle: Bundle) -> str:
    """Of the contents of its artifacts, as its manifest has them."""
    parts = [
        f"{name} {artifact.details.get('sha256')}"
        for name, artifact in sorted(bundle.artifacts.items())
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()

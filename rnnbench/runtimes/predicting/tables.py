"""CSV files: a header, and rows of text below it."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnbench.core.errors import RnnbenchError, choices, one_line
from rnnbench.runtimes.predicting.signals import Layout

_MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none"})  # where there is no value
_MEND = "fill it in, or leave the row out"


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header and the rows, each as wide as the header: cells that are missing are empty.

    Raises:
        RnnbenchError: it cannot be read, has no rows, or a wider row.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RnnbenchError(
            f"cannot read {path} ({one_line(error)}): give a CSV with a header"
        ) from None
    if len(rows) < 2:
        raise RnnbenchError(f"{path} has no rows: give a CSV with a header and rows below it")
    header, *table = rows
    other = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), None)
    if other is not None:
        raise RnnbenchError(
            f"{path} has one column, {header[0]!r}: separate its cells with commas, not {other!r}"
        )
    for line, row in enumerate(table, 1):
        if len(row) > len(header):
            raise RnnbenchError(
                f"{path}: row {line} has {len(row)} cells, and the header {len(header)}: "
                "give each column a cell, and quote cells with commas"
            )
    return header, [row + [""] * (len(header) - len(row)) for row in table]


def numbers(name: str, cells: Sequence[str]) -> NDArray[np.float64]:
    """A column as finite numbers.

    A cell that holds none is not handed on as NaN: runtimes answer it with ordinary numbers
    (findings/onnxruntime_rnn_swallows_nan.sh).

    Raises:
        RnnbenchError: a cell is empty, no number or not finite; the message names its row.
    """
    found = [number_of(cell) for cell in cells]
    for line, (cell, value) in enumerate(zip(cells, found, strict=True), 1):
        if value is None or not math.isfinite(value):
            what = f"{cell!r} is not {'a number' if value is None else 'finite'}"
            what = what if cell.strip() else "the cell is empty"
            raise RnnbenchError(f"row {line}, column {name!r}: {what}: {_MEND}")
    return np.array(found, dtype=np.float64)


def number_of(cell: str) -> float | None:
    """What a cell says as a number, which may be NaN or infinite; None where it is none."""
    try:
        return float(cell)
    except ValueError:
        return None


def _holds_numbers(cells: Sequence[str]) -> bool:
    """Whether a column is one of numbers: some cells are, and the others are missing."""
    found = [number_of(cell) for cell in cells if cell.strip().lower() not in _MISSING]
    return bool(found) and all(value is not None for value in found)


def column_of(header: list[str], rows: list[list[str]], name: str) -> NDArray[np.float64]:
    """The numbers of a column [row]."""
    i = header.index(name)
    return numbers(name, [row[i] for row in rows])


def chosen_columns(
    layout: Layout, header: list[str], rows: list[list[str]], given: str | None
) -> list[str]:
    """The columns that fill a step of the input: those that are named, or all that hold numbers.

    Raises:
        RnnbenchError: there is no such column, or several of one name, they are more or fewer than
            a step holds, or their names are numbers, as where a file has no header.
    """
    if given is not None:
        found = [name.strip() for name in given.split(",") if name.strip()]
        for name in found:
            if name not in header:
                raise choices("column", name, header)
    else:
        found = [n for i, n in enumerate(header) if _holds_numbers([row[i] for row in rows])]
    twice = next((name for name in found if header.count(name) > 1), None)
    if twice is not None:
        raise RnnbenchError(f"{header.count(twice)} columns are called {twice!r}: rename them")
    if len(found) != layout.features:
        what = "are named" if given is not None else "hold numbers"
        raise RnnbenchError(
            f"{len(found)} columns {what} ({', '.join(found) or 'none'}), and a step of "
            f"{layout.spec.name!r} has {layout.features}: "
            + (_nearly(header, rows) if given is None else "")
            + "choose with --columns, in their order"
        )
    if given is None and _is_data(found):
        raise RnnbenchError(
            f"the header names the columns {', '.join(found)}, which looks like a row of numbers: "
            "put names above it, or choose with --columns"
        )
    return found


def _is_data(names: list[str]) -> bool:
    """Whether a header is a row of numbers; columns may be counted: 0, 1, 2."""
    counted = [[str(i + first) for i in range(len(names))] for first in (0, 1)]
    return all(number_of(name) is not None for name in names) and names not in counted


def _nearly(header: list[str], rows: list[list[str]]) -> str:
    """The first cell that keeps a column of numbers from being one, as the start of a remedy."""
    for i, name in enumerate(header):
        cells = [row[i] for row in rows]
        wrong = [line for line, cell in enumerate(cells) if number_of(cell) is None]
        if 0 < len(wrong) < len(cells) / 2:
            cell = cells[wrong[0]]
            return f"row {wrong[0] + 1}, column {name!r} holds {cell!r}, which is no number; "
    return ""

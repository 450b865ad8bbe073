"""CSV files: a header, and rows of text below it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnbench.core.errors import RnnbenchError, choices, one_line
from rnnbench.runtimes.predicting.signals import Layout


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
    for line, row in enumerate(table, 1):
        if len(row) > len(header):
            raise RnnbenchError(
                f"{path}: row {line} has {len(row)} cells, and the header {len(header)}: "
                "give each column a cell, and quote cells with commas"
            )
    return header, [row + [""] * (len(header) - len(row)) for row in table]


def numbers(name: str, cells: Sequence[str]) -> NDArray[np.float64]:
    """A column as numbers.

    Raises:
        RnnbenchError: a cell is none; the message names its row.
    """
    values = []
    for line, cell in enumerate(cells, 1):
        try:
            values.append(float(cell))
        except (TypeError, ValueError):
            raise RnnbenchError(f"row {line}, column {name!r}: {cell!r} is not a number") from None
    return np.array(values)


def column_of(header: list[str], rows: list[list[str]], name: str) -> NDArray[np.float64]:
    """The numbers of a column [row]."""
    i = header.index(name)
    return numbers(name, [row[i] for row in rows])


def chosen_columns(
    layout: Layout, header: list[str], rows: list[list[str]], given: str | None
) -> list[str]:
    """The columns that fill a step of the input: those that are named, or all that hold numbers.

    Raises:
        RnnbenchError: there is no such column, or they are more or fewer than a step holds.
    """
    if given is not None:
        found = [name.strip() for name in given.split(",") if name.strip()]
        for name in found:
            if name not in header:
                raise choices("column", name, header)
    else:
        found = [n for i, n in enumerate(header) if all(_is_number(row[i]) for row in rows)]
    if len(found) != layout.features:
        what = "are named" if given is not None else "hold numbers"
        raise RnnbenchError(
            f"{len(found)} columns {what} ({', '.join(found) or 'none'}), and a step of "
            f"{layout.spec.name!r} has {layout.features}: choose with --columns, in their order"
        )
    return found


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

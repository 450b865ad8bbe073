"""A table of cells that are text already: what is the same in every row moves to its title."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rnnbench.core.tables import Style, format_table

_LEAST = (
    *("of it recompiling (ms)", "warm-up (ms)", "samples", "CUDA events (us)", "rounds", "note"),
    *("p99 (us)", "limit (us)", "throughput (steps/ms)", "times the limit", "how"),
    *("of it before loading (MB)", "export (ms)", "artifact (MB)"),
    *("versions", "remedy", "direction", "layers", "where", "allowed"),
)
_FOLDED = ("model", "form", "device", "batch", "time (steps)", "hidden", "layers", "threads")
WIDTH = 120
"""Characters of a line: a matrix that is wider is continued below."""


@dataclass(frozen=True)
class Table:
    """Cells that are text already.

    Attributes:
        title: what it shows, with what is the same in every row.
        headers: with units.
        rows: as wide as the headers.
        key: the header of the number that a reader wants first; a page keeps it in sight.
        names: the headers that say together what a row is of; a page makes one column of them.
        is_matrix: whether the columns behind the names are of one kind, as one for each model.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    key: str = ""
    names: tuple[str, ...] = ()
    is_matrix: bool = False


def format_report_table(table: Table, style: Style) -> str:
    """A table as text or Markdown, without its title."""
    return format_table(table.headers, table.rows, style=style, least=_LEAST)


def blocks(table: Table, *, fold: int | None = None) -> list[Table]:
    """A matrix as several tables, each no wider than `WIDTH` as text; any other as it is.

    Args:
        table: a matrix, or not.
        fold: the characters at which headers are folded; they are not where it is None.
    """
    if not table.is_matrix:
        return [table]
    widths = [
        2 + max(map(len, (head[:fold], *(row[i] for row in table.rows))))
        for i, head in enumerate(table.headers)
    ]
    fixed = range(len(table.names))
    found: list[list[int]] = []
    room = 0
    for i in range(len(fixed), len(table.headers)):
        if not found or widths[i] > room:
            found.append([])
            room = WIDTH - sum(widths[j] for j in fixed)
        found[-1].append(i)
        room -= widths[i]
    parts = [_of_columns(table, [*fixed, *some]) for some in found]
    if len(parts) == 1:
        return parts
    titles = [f"{table.title} ({n} of {len(parts)})" for n in range(1, len(parts) + 1)]
    return [replace(part, title=title) for part, title in zip(parts, titles, strict=True)]


def make_table(
    title: str, columns: dict[str, Iterable[str]], key: str = "", names: Sequence[str] = ()
) -> Table:
    """A table of named columns: empty ones are left out, constant conditions go to the title."""
    filled = {name: list(cells) for name, cells in columns.items()}
    count = max((len(cells) for cells in filled.values()), default=0)
    said = []
    for name, cells in list(filled.items()):
        if not any(cells):
            del filled[name]
        elif name in _FOLDED and count > 1 and len(set(cells)) == 1:
            said.append(_folded(name, cells[0]))
            del filled[name]
    rows = tuple(zip(*filled.values(), strict=True))
    title = "; ".join([title, ", ".join(said)]) if said else title
    return Table(title, tuple(filled), rows, key, tuple(names))


def _of_columns(table: Table, columns: Sequence[int]) -> Table:
    heads = tuple(table.headers[i] for i in columns)
    rows = tuple(tuple(row[i] for i in columns) for row in table.rows)
    return replace(table, headers=heads, rows=rows)


def _folded(name: str, value: str) -> str:
    """A constant column, said in the title."""
    if name in ("model", "form", "device"):
        return value if name != "form" else f"{value} form"
    if name in ("batch", "hidden"):
        return f"{name} {value}"
    noun = name.removesuffix(" (steps)").rstrip("s") if name != "time (steps)" else "step"
    return f"{value} {noun}{'' if value == '1' else 's'}"

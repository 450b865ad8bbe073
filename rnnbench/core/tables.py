"""The one writer of tables: rows of words and formatted numbers, as text, Markdown or HTML."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from textwrap import wrap
from typing import Literal

from rnnbench.core.text import harmless, harmless_lines, in_markdown

Style = Literal["text", "markdown", "html"]

_FORMATS = {"text": "simple", "markdown": "github", "html": "html"}


_LONG = 12  # letters of a cell that stays in one line


def format_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    words: Collection[str] | None = None,
    style: Style = "text",
    header_width: int = 0,
) -> str:
    """A table without its title.

    Args:
        headers: of the columns; a line break in one is kept.
        rows: cells, formatted already: nothing is taken for a number.
        words: the headers of the columns that are aligned left; the others are right, as numbers
            are. All are left where it is None.
        style: for a terminal, a pull request or a page.
        header_width: the characters at which headers are folded; 0 for never.
    """
    from tabulate import tabulate

    table = [[_cell(cell, style) for cell in row] for row in rows]
    shown = [*headers]
    if header_width:
        shown = ["\n".join(wrap(header, header_width)) for header in shown]
    sides = None if words is None else _sides(headers, words)
    return str(
        tabulate(
            table, headers=shown, tablefmt=_FORMATS[style], disable_numparse=True, colalign=sides
        )
    )


def format_tight_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    words: Collection[str] | None = None,
    fold: bool = False,
) -> str:
    """A table as narrow as its cells: text alone; columns that are empty are left out.

    Args:
        headers: of the columns.
        rows: cells, formatted already.
        words: as in `format_table`.
        fold: a word of a header a line; and of a cell with commas, a part a line.
    """
    given = [[harmless(cell) for cell in row] for row in rows]
    table = [line for row in given for line in (_folded(row) if fold else [row])]
    kept = [i for i in range(len(headers)) if any(row[i] for row in table)]
    heads = [headers[i].split() if fold else [headers[i]] for i in kept]
    columns = [[row[i] for row in table] for i in kept]
    widths = [max(map(len, (*h, *column))) for h, column in zip(heads, columns, strict=True)]
    height = max((len(head) for head in heads), default=0)
    lines = [[(head[k : k + 1] or [""])[0] for head in heads] for k in range(height)]
    lines.append(["-" * width for width in widths])
    lines += [list(cells) for cells in zip(*columns, strict=True)]
    named = [headers[i] for i in kept]
    sides = ["left"] * len(kept) if words is None else _sides(named, words)
    return "\n".join(_line(line, widths, sides) for line in lines)


def _cell(cell: str, style: Style) -> str:
    """A cell that does nothing; a word on a terminal may have its colour."""
    if style == "markdown":
        return in_markdown(cell)
    return harmless_lines(cell).replace("\n", "\\n") if style == "text" else harmless(cell)


def _sides(headers: Sequence[str], words: Collection[str]) -> list[str]:
    return ["left" if header in words else "right" for header in headers]


def _line(cells: Sequence[str], widths: Sequence[int], sides: Sequence[str]) -> str:
    padded = [
        cell.ljust(width) if side == "left" else cell.rjust(width)
        for cell, width, side in zip(cells, widths, sides, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _folded(row: Sequence[str]) -> list[list[str]]:
    """A row as several, where a cell is long and has commas: `time=65,` above `batch=2`."""
    parts = [
        re.findall(r"[^,]+,?", cell) if len(cell) > _LONG and "," in cell else [cell]
        for cell in row
    ]
    height = max(map(len, parts))
    return [[(cell[i : i + 1] or [""])[0] for cell in parts] for i in range(height)]

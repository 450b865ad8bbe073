"""The one writer of tables: words and formatted numbers, as text, Markdown or HTML.

On a terminal a table fits: words are folded, and what still has no room is said in lines below it.
Elsewhere nothing is folded or left out, so that scripts find the same at any width.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rnnbench.core.text import harmless, in_markdown
from rnnbench.core.verdicts import Verdict

Style = Literal["text", "markdown", "html"]

_FORMATS = {"markdown": "pipe", "html": "html"}
_GAP = 2
_WORD = 20  # characters of a word that are not broken, where it has any room
_WHOLE = (_WORD, 8)  # ... and of one with `/`, `_`, `.` in it: as wide as there is room for
_PROSE = 28  # a column with such a cell is prose, which needs _READ characters to be read
_READ = 18
_VERDICT = 12  # `cannot tell` in one line
_KEPT = ("verdict", "severity", "ratio", "new/old", "p50")  # columns that stay in the table

_COLOURED = (*_KEPT, "what it is", "here")

# `1.5e-07`, `< 0.1`, `22,108`, `12 %`, `3.1 to 3.2`, `4.21 (4.21 to 4.22)`, `x 2`, `inf`
_NUMBER = re.compile(
    r"[<>~x]? ?(inf|nan|[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?)"
    r"( ?(%|[a-zA-Z]{1,3}))?( to [-+]?\d[\d.]*| \([-+\d. to]+\))?"
)
_PARTS = re.compile(r"\S+?(?:[/,_:.\-=](?=[^\s\d>])|(?=\s|$))\s*")
_WORDS = re.compile(r"\S+\s*")
_COLOURS = {
    **{verdict.value: verdict.colour for verdict in Verdict},
    **{"faster": "green", "better": "green", "slower": "red", "worse": "red", "error": "red"},
    **{"cannot tell": "yellow", "warning": "yellow", "not available": "yellow"},
}


def terminal_width() -> int | None:
    """The columns of the terminal that stdout is; None where it is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def format_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    style: Style = "text",
    least: Sequence[str] = (),
    width: int | None = None,
) -> str:
    """A table without its title; columns of numbers are aligned right, all others left.

    Args:
        headers: of the columns.
        rows: cells, formatted already: nothing is taken for a number and written otherwise.
        style: for a terminal, a pull request or a page.
        least: the headers of the columns that go first into lines below, where there is no room.
        width: the characters that a line may have; that of the terminal unless given, where
            stdout is one. Text alone has a width.
    """
    clean = in_markdown if style == "markdown" else harmless
    cells = [[clean(cell) for cell in row] for row in rows]
    columns = [
        _Column("\n".join(map(clean, header.split("\n"))), [row[i] for row in cells])
        for i, header in enumerate(headers)
    ]
    if style != "text":
        return _tabulated(columns, len(cells), style)
    width = width or terminal_width()
    if not width:
        return "\n".join(_lines(columns, len(cells)))
    return "\n".join(_fitted([c for c in columns if c.is_filled] or columns, width, least))


def folded(text: str, width: int | None = None) -> str:
    """A sentence in lines that fit the terminal, all but the first indented; as it is elsewhere."""
    width = width or terminal_width()
    if not width or len(text) <= width:
        return text
    indent = " " * min(len(text) - len(text.lstrip()), width // 2)
    first = _fold(text.strip(), width - len(indent)).split("\n")[0]
    indented = indent + " " * _GAP
    rest = _fold(text.strip()[len(first) :].lstrip(), width - len(indented)).split("\n")
    return "\n".join([indent + first, *(indented + line for line in rest)])


def without_empty(
    headers: Sequence[str], rows: Iterable[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """The columns in which there is anything."""
    table = [*rows]
    kept = [i for i in range(len(headers)) if any(row[i] for row in table)]
    return [headers[i] for i in kept], [[row[i] for i in kept] for row in table]


@dataclass(frozen=True)
class _Column:
    """A header and its cells, top down."""

    header: str
    cells: list[str]

    @property
    def name(self) -> str:
        """Its header without a unit."""
        return self.header.partition(" (")[0]

    @property
    def is_filled(self) -> bool:
        return any(self.cells)

    @property
    def is_constant(self) -> bool:
        return len(self.cells) > 1 and len(set(self.cells)) == 1

    @property
    def is_of_numbers(self) -> bool:
        return self.is_filled and all(
            not line or _NUMBER.fullmatch(line) for cell in self.cells for line in cell.split("\n")
        )

    @property
    def natural(self) -> int:
        """The width at which nothing is folded."""
        lines = [line for cell in (self.header, *self.cells) for line in cell.split("\n")]
        return max(map(len, lines))

    def least(self, whole: int) -> int:
        """The width below which it cannot be read.

        Args:
            whole: the characters up to which a word is not broken at a `/` or the like.
        """
        words = [_longest(text, whole) for text in (self.header, *self.cells)]
        if self.is_of_numbers:
            return max([words[0], *map(len, self.cells)])
        if self.name in _KEPT:
            return max([*words, min(self.natural, _VERDICT)])
        prose = any(len(cell) > _PROSE for cell in self.cells)
        return max([*words, _READ if prose else 0])

    def folded(self, width: int) -> _Column:
        return _Column(_fold(self.header, width), [_fold(cell, width) for cell in self.cells])


def _fitted(columns: list[_Column], width: int, least: Sequence[str]) -> list[str]:
    """The lines of a table that is at most so wide, and of what it has no room for."""
    said: list[_Column] = []
    order = columns
    count = len(columns[0].cells)
    number = _Column("#", [str(i + 1) for i in range(count)])
    unique = len(set(columns[0].cells)) == count and columns[0].natural <= _PROSE

    def shown() -> list[_Column]:
        needs_number = not unique and any(not column.is_constant for column in said)
        return [number, *columns] if needs_number else columns

    def whole() -> int | None:
        """How much of a word stays in one line, where everything has room then."""
        fits = (n for n in _WHOLE if _room(shown(), [c.least(n) for c in shown()]) <= width)
        return next(fits, None)

    while whole() is None and len(columns) > 1:
        taken = _least(columns, least)
        columns = [column for column in columns if column is not taken]
        said.append(taken)
    table = shown()
    widths = _widths(table, width, whole() or 1)
    lines = _lines([c.folded(w) for c, w in zip(table, widths, strict=True)], count)
    said.sort(key=order.index)
    return lines + _notes(said, columns[0] if unique else number, width)


def _least(columns: list[_Column], least: Sequence[str]) -> _Column:
    """What goes next: what is the same in every row, then as the caller says, then the last."""
    others = [c for c in columns[1:] if c.name not in _KEPT] or columns[1:]
    same = [column for column in others if column.is_constant]
    if same:
        return same[-1]
    by_name = {column.header: column for column in others}
    return next((by_name[name] for name in least if name in by_name), others[-1])


def _notes(said: list[_Column], label: _Column, width: int) -> list[str]:
    """A line for what is the same in every row, and one for each row with the rest."""
    lines = [f"{c.header}: {c.cells[0]}" for c in said if c.is_constant]
    others = [column for column in said if not column.is_constant]
    for i, name in enumerate(label.cells):
        parts = "; ".join(f"{c.header}: {c.cells[i]}" for c in others if c.cells[i])
        if parts:
            lines.append(parts if len(label.cells) == 1 else f"{name}: {parts}")
    return [folded(line, width) for line in lines]


def _room(columns: Sequence[_Column], widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(columns) - 1)


def _widths(columns: Sequence[_Column], width: int, whole: int) -> list[int]:
    """As much as each wants, up to a limit that is the same for all that are folded."""
    least, natural = [c.least(whole) for c in columns], [c.natural for c in columns]
    for limit in range(width, 0, -1):
        widths = [min(n, max(m, limit)) for m, n in zip(least, natural, strict=True)]
        if _room(columns, widths) <= width:
            return widths
    return [min(m, width) for m in least]


def _longest(text: str, whole: int) -> int:
    """The longest word in it, up to what is broken anywhere; of a longer one, the longest part."""
    return max((min(len(part.rstrip()), _WORD) for part in _parts(text, whole)), default=0)


def _parts(text: str, width: int) -> list[str]:
    """Words, with the space behind them; those that have no room in a line, at `/`, `_`, `.` ..."""
    return [
        part
        for word in _WORDS.findall(text)
        for part in (_PARTS.findall(word) if len(word.rstrip()) > width else [word])
    ]


def _fold(text: str, width: int) -> str:
    """The text in lines of at most so many characters, broken between words where that goes."""
    lines: list[str] = []
    for given in text.split("\n"):
        lines.append("")
        for part in _parts(given, width):
            if lines[-1] and len((lines[-1] + part).rstrip()) > width:
                lines.append("")
            lines[-1] += part
            while len(lines[-1].rstrip()) > width:
                lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return "\n".join(line.rstrip() for line in lines)


def _lines(columns: Sequence[_Column], count: int) -> list[str]:
    """The header, a rule and the rows, each cell in as many lines as it has."""
    widths = [column.natural for column in columns]
    right = [column.is_of_numbers for column in columns]
    heads = [column.header.split("\n") for column in columns]
    height = max(map(len, heads))
    heads = [[""] * (height - len(head)) + head for head in heads]  # above the rule
    lines = [_line(cells, widths, right) for cells in zip(*heads, strict=True)]
    lines.append(_line(["-" * width for width in widths], widths, right))
    for i in range(count):
        cells = [column.cells[i].split("\n") for column in columns]
        tall = max(map(len, cells))
        colours = [
            _colour(column) if column[0] else None
            for column in ([c.header, c.cells[i]] for c in columns)
        ]
        for k in range(tall):
            parts = [(cell[k : k + 1] or [""])[0] for cell in cells]
            lines.append(_line(parts, widths, right, colours))
    return lines


def _line(
    cells: Sequence[str],
    widths: Sequence[int],
    right: Sequence[bool],
    colours: Sequence[str | None] = (),
) -> str:
    padded = [
        cell.rjust(width) if side else cell.ljust(width)
        for cell, width, side in zip(cells, widths, right, strict=True)
    ]
    last = max((i for i, cell in enumerate(cells) if cell), default=-1)
    padded = [*padded[:last], *(cell.rstrip() for cell in padded[last : last + 1])]
    if any(colours):
        import click

        padded = [
            click.style(cell, fg=colour) if colour and cell.strip() else cell
            for cell, colour in zip(padded, colours, strict=False)
        ]
    return (" " * _GAP).join(padded)


def _colour(column: Sequence[str]) -> str | None:
    """Of a verdict, on a terminal where colours are wanted."""
    header, cell = column
    if (
        header.strip() not in (*_KEPT, "what it is", "here")
        or os.environ.get("NO_COLOR")
        or terminal_width() is None
    ):
        return None
    cell = cell.replace("\n", " ")
    return next((c for word, c in _COLOURS.items() if cell.startswith(word)), None)


def _tabulated(columns: Sequence[_Column], count: int, style: Style) -> str:
    from tabulate import tabulate

    rows = [[column.cells[i] for column in columns] for i in range(count)]
    sides = ["right" if column.is_of_numbers else "left" for column in columns]
    headers = [column.header for column in columns]
    return str(
        tabulate(
            rows,
            headers=headers,
            tablefmt=_FORMATS[style],
            disable_numparse=True,
            colalign=sides if rows else None,
        )
    )

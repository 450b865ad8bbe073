"""Results that show themselves: as a table in a terminal, in a notebook and in a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rnnbench.core.tables import Style, format_table
from rnnbench.core.text import harmless, in_html, in_markdown


@dataclass(frozen=True)
class Table:
    """Cells that are text already.

    Attributes:
        headers: of the columns.
        rows: as wide as the headers.
        least: the columns that have no room first.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    least: Sequence[str] = ()


Part = str | Table
"""A line, or a table."""


class Shown:
    """What a verb found: `print` shows its tables, a notebook shows them as HTML."""

    def parts(self) -> Iterable[Part]:
        """Lines and tables, top down."""
        raise NotImplementedError

    def __str__(self) -> str:
        return format_parts(self.parts())

    def to_markdown(self) -> str:
        """The same as GitHub shows it, for a pull request."""
        return format_parts(self.parts(), "markdown")

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return format_parts(self.parts(), "html")


def format_parts(parts: Iterable[Part], style: Style = "text") -> str:
    """Lines and tables one below the other; what is data in them is neither markup nor HTML."""
    shown = []
    for part in parts:
        if isinstance(part, Table):
            text = format_table(part.headers, part.rows, style=style, least=part.least)
            shown.append(f"\n{text}\n" if style == "markdown" else text)
        elif style == "markdown":
            shown.append(f"{in_markdown(part)}  " if part else "")
        else:
            shown.append(f"<p>{in_html(part)}</p>" if style == "html" else harmless(part))
    return "\n".join(shown).strip("\n")

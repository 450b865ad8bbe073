"""Names, tables and paragraphs in Markdown; a name is shown as it is, and is never markup."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence

_SPAN = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)")
_MARK = re.compile(r" (?=(?:[-+*>#=]+|\d+[.)])(?: |$))")
_TIE = "\0"  # in no text: `code` escapes it, `plain` leaves it out


def plain(text: object) -> str:
    """A name in the midst of code or prose: nothing in it is markup."""
    return "".join(c for c in str(text) if c.isalnum() or c in "._+- ").strip() or "model"


def code(text: object) -> str:
    """A name as Markdown shows it: a code span, quoted and escaped where it is not plain."""
    text = str(text)
    if not text or re.search(r"[^\w.:/+%°, \[\]()-]|^\s|\s$", text):
        text = json.dumps(text, ensure_ascii=not text.replace("\n", "").isprintable())
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a cell is one line."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[" ".join(cell.splitlines()).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def paragraph(text: str) -> str:
    """A text in lines that a terminal shows whole; a name with a run of spaces stays as it is.

    No line ends within a code span, and none but the first begins with what would be a list's or
    heading's mark.
    """
    tied = _SPAN.sub(lambda span: span[0].replace(" ", _TIE), text)
    if "  " in tied:
        return text
    tied = _MARK.sub(_TIE, tied)
    filled = textwrap.fill(tied, 100, break_long_words=False, break_on_hyphens=False)
    return filled.replace(_TIE, " ")

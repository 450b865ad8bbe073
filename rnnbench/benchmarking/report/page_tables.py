"""Tables of a page: names stay in sight at the left, the key number too; a heading sorts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rnnbench.benchmarking.report.table import Table
from rnnbench.core.text import in_html
from rnnbench.core.verdicts import Verdict

_NUMBER = re.compile(r"[-+]?(\d[\d.,]*(e[-+]?\d+)?|inf|nan)( \(.*\))?")
_SLASH = re.compile(r"(?<=\w)/(?=\w)")  # of a path, which may be wider than a phone
OPEN_ROWS = 60
"""A table with more rows is folded until the reader opens it."""
SORT_SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("span");
    button.append(...head.childNodes);
    button.role = "button";
    button.tabIndex = 0;
    head.append(button);
    button.onkeydown = (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      button.click();
    };
    button.onclick = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].textContent.trim();
      const number = (text) => text === "inf" ? Infinity : parseFloat(text);
      const numbers = [...table.tBodies[0].rows].every((row) =>
        value(row) === "" || !Number.isNaN(number(value(row))));
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = numbers ? number(x) - number(y) || 0 : x.localeCompare(y);
        return down ? -order : order;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    };
  });
}
"""
"""The only script of a page: without it nothing is missing but the sorting.

A span stands for a button, since Chromium prints none in headings that a page repeats.
"""

_COLOURED = {"right": "good", "WRONG": "bad", "error": "bad", "warning": "warn"} | {
    str(verdict): {"red": "bad", "green": "good", "yellow": "warn"}[verdict.colour]
    for verdict in Verdict
    if verdict.colour
}


def html_table(table: Table, anchor: str, most: int) -> str:
    """A table with its title, which folds it.

    Args:
        table: to be shown.
        anchor: its id in the page.
        most: rows; that there are more is said.
    """
    table = _named(table)
    rows = table.rows[:most]
    left = len(table.rows) - len(rows)
    kinds = [_class(table, column) for column in range(len(table.headers))]
    folded = "" if len(rows) > OPEN_ROWS else " open"
    count = f"{len(table.rows)} row{'' if len(table.rows) == 1 else 's'}"
    more = f'<p class="quiet">{left} more: <code>rnnbench report --csv</code> has them.</p>'
    return "\n".join(
        [
            f'<details id="{anchor}"{folded}><summary>{in_html(table.title)} ({count})</summary>',
            '<div class="wide" tabindex="0" role="region" '
            f'aria-label="{in_html(table.title)}"><table>',
            f"<thead><tr>{''.join(_heads(table, kinds))}</thead><tbody>",
            *(f"<tr>{''.join(_cells(row, kinds))}" for row in rows),
            f"</tbody></table></div>{more if left else ''}</details>",
        ]
    )


def _named(table: Table) -> Table:
    """What says together what a row is of, in one column: it stays in sight as a whole."""
    names = [table.headers.index(name) for name in table.names if name in table.headers]
    if not names:
        return table
    rest = [column for column in range(len(table.headers)) if column not in names]
    heads = (", ".join(table.headers[i] for i in names),)
    rows = [
        (", ".join(row[i] for i in names if row[i]), *(row[i] for i in rest)) for row in table.rows
    ]
    return replace(
        table, headers=heads + tuple(table.headers[i] for i in rest), rows=tuple(rows), names=()
    )


def _heads(table: Table, kinds: Sequence[str]) -> Iterator[str]:
    for name, kind in zip(table.headers, kinds, strict=True):
        yield f"<th scope=col{kind}>{in_html(name)}"


def _cells(row: Sequence[str], kinds: Sequence[str]) -> Iterator[str]:
    """The end tags of cells and rows may be left out in HTML: that is a fifth of the bytes."""
    for column, cell in enumerate(row):
        text = in_html(cell)
        if column == 0:
            yield f"<th scope=row>{_SLASH.sub('/<wbr>', text)}"
            continue
        colour = _COLOURED.get(cell)
        if colour:
            text = f"<b class={colour}>{text}</b>"
        yield f"<td{kinds[column]}>{text}"


def _class(table: Table, column: int) -> str:
    """The number in sight, or words, which are aligned left; numbers are aligned right."""
    if column and table.headers[column] == table.key:
        return " class=k"
    cells = [row[column] for row in table.rows]
    return "" if all(not cell or _NUMBER.fullmatch(cell) for cell in cells) else " class=l"

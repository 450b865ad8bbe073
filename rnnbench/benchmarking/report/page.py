"""A report as one HTML file: offline, light and dark, any width, printed, at most 300 kB.

Everything can be read without scripts. The one script sorts tables; a Content-Security-Policy names
it and the style sheet by their hashes, so that nothing else runs and nothing is loaded, whatever
the names in the material are. Without matplotlib there are the cards and tables, and a word on how
to get plots.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import rnnbench
from rnnbench.benchmarking.report import Report
from rnnbench.benchmarking.report.cards import Card
from rnnbench.benchmarking.report.drawing import has_matplotlib, to_svg
from rnnbench.benchmarking.report.page_style import STYLE
from rnnbench.benchmarking.report.page_tables import SORT_SCRIPT, html_table
from rnnbench.benchmarking.report.plots import Plot, Section, sections
from rnnbench.benchmarking.report.svg import shared
from rnnbench.benchmarking.report.table import Table, blocks, make_table
from rnnbench.benchmarking.report.tables import tables
from rnnbench.core.text import in_html

LIMIT = 300_000
"""Bytes of a page: what is more is left out, and said."""
FIGURES = 180_000
"""Of those, for the pictures."""
_ROWS = (1000, 400, 200, 100, 50, 20, 5)
_LONG = 400  # characters of a cell or line
_CARDS = 60  # with those that are folded
GET_PLOTS = "pip install 'rnnbench[plot]'"


@dataclass(frozen=True)
class _Part:
    """A part of a page that the list of contents names."""

    title: str
    anchor: str
    html: str


def make_page(report: Report, command: str = "") -> str:
    """The whole file.

    Args:
        report: what is shown.
        command: the command line that wrote it, to be shown; none where it is empty.
    """
    figures, style = _figures(report)
    every = [p for table in tables(report.material, report.advices) for p in blocks(table, fold=10)]
    every.append(_took_part(report))
    page = ""
    for most in _ROWS:
        shown = [_table(table, f"table{n}", most) for n, table in enumerate(every)]
        page = _page(report, command, [*_answers(report), *figures, *shown], style)
        if len(page.encode()) <= LIMIT:
            break
    return page


def _page(report: Report, command: str, found: Sequence[_Part], style: str) -> str:
    parts = [*found, _how_to_read()]
    css, script = f"\n{STYLE}{style}\n", SORT_SCRIPT
    policy = (
        f"default-src 'none'; style-src '{_hash(css)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    contents = "".join(map(_entry, parts))
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>rnnbench report</title><style>{css}</style></head><body>",
        "<header><h1>rnnbench report</h1>",
        *_origin(report, command),
        f'</header><nav aria-label="Contents"><ul>{contents}</ul></nav><main>',
        *(part.html for part in parts),
        f"</main><script>{script}</script></body></html>",
    ]
    return "\n".join(lines) + "\n"


def _entry(part: _Part) -> str:
    """A line of the contents."""
    return f'<li><a href="#{part.anchor}">{in_html(part.title)}</a></li>'


def _hash(text: str) -> str:
    """As a Content-Security-Policy names what is written in the page itself."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _origin(report: Report, command: str) -> Iterator[str]:
    for machine in report.material.machines:
        newest = machine.results[-1]
        when = newest.created[:19].replace("T", " ")
        yield f'<p class="quiet">{in_html(f"{machine.name}, measured {when} UTC")}</p>'
    if command:
        yield f'<p class="quiet">Written by <code>{in_html(_short(command))}</code></p>'


def _answers(report: Report) -> Iterator[_Part]:
    """The cards, what has no answer, and the doubts."""
    shown = [card for card in report.cards if card.first]
    rest = [card for card in report.cards if not card.first][: _CARDS - len(shown)]
    lines = [f'<div class="cards">{"".join(map(_card, shown))}</div>'] if shown else []
    if rest:
        lines.append(f"<details><summary>{len(rest)} other conditions</summary>")
        lines.append(f'<div class="cards">{"".join(map(_card, rest))}</div></details>')
    lines += _list(report.unanswered)
    if lines:
        head = '<section id="answers"><h2>Answers</h2>'
        yield _Part("Answers", "answers", "\n".join([head, *lines, "</section>"]))
    if report.doubts:
        head = '<section class="doubts" id="doubts"><h2>Doubts</h2>'
        yield _Part("Doubts", "doubts", "\n".join([head, *_list(report.doubts), "</section>"]))


def _card(card: Card) -> str:
    grave = " wrong" if card.wrong else " provisional" if card.provisional else ""
    facts = "".join(f"<li>{in_html(_short(fact))}</li>" for fact in card.facts)
    return (
        f'<article class="card{grave}"><h3><span>{in_html(_short(card.where))}</span> '
        f"<b>{in_html(_short(card.answer))}</b></h3>"
        f'<p class="key">{in_html(card.numbers)}</p><ul>{facts}</ul></article>'
    )


def _list(lines: Sequence[str]) -> list[str]:
    found = [f"<li>{in_html(_short(line))}</li>" for line in lines]
    return ["<ul>", *found, "</ul>"] if found else []


def _figures(report: Report) -> tuple[list[_Part], str]:
    """The plots by kind, as many as there is room for, and the style that they share."""
    found = sections(report.material)
    if not found:
        return [], ""
    if not has_matplotlib():
        said = (
            '<section id="plots"><h2>Plots</h2><p>matplotlib is not installed, so that there are '
            f"no plots here: <code>{in_html(GET_PLOTS)}</code>, then write this page again.</p>"
            "</section>"
        )
        return [_Part("Plots", "plots", said)], ""
    plots = [plot for section in found for plot in section.plots]
    style, pictures = shared([to_svg(plot) for plot in plots])
    fit = _that_fit(found, pictures, FIGURES - len(style))
    parts, done = [], 0
    for number, section in enumerate(found):
        mine = range(done, done + len(section.plots))
        done = mine.stop
        shown = [_figure(plots[i], pictures[i]) for i in mine if i in fit]
        left = len(mine) - len(shown)
        more = (
            f'<p class="quiet">{left} more: <code>rnnbench report --png DIR</code> writes them.</p>'
        )
        anchor = f"plots{number}"
        html = (
            f'<section id="{anchor}"><h2>{in_html(section.title)}</h2>'
            f'<div class="plots">{"".join(shown)}</div>{more if left else ""}</section>'
        )
        parts.append(_Part(section.title, anchor, html))
    return parts, style


def _that_fit(found: Sequence[Section], pictures: Sequence[str], room: int) -> set[int]:
    """The places of pictures that there is room for: the first of each kind, then the others."""
    starts = [0, *itertools.accumulate(len(section.plots) for section in found)][:-1]
    fit: set[int] = set()
    for place in (*starts, *(i for i in range(len(pictures)) if i not in starts)):
        if len(pictures[place]) <= room:
            fit.add(place)
            room -= len(pictures[place])
    return fit


def _figure(plot: Plot, picture: str) -> str:
    """The picture with its caption, and in words what it shows."""
    svg = picture.replace("<svg ", f'<svg aria-label="{in_html(_short(plot.alt))}" ', 1)
    caption = f"{in_html(_short(plot.title))}<span>{in_html(_short(plot.caption))}</span>"
    return f"<figure><figcaption>{caption}</figcaption>{svg}</figure>\n"


def _table(table: Table, anchor: str, most: int) -> _Part:
    title = re.split("[;,?]", table.title)[0]
    rows = tuple(tuple(map(_short, row)) for row in table.rows)
    short = replace(table, title=_short(table.title), rows=rows)
    return _Part(_short(f"Table: {title}"), anchor, html_table(short, anchor, most))


def _took_part(report: Report) -> Table:
    """Which files, commits and versions all is from; a row for each file, and for the engines."""
    rows = [
        (
            str(results.path),
            machine.name,
            f"{results.created[:19].replace('T', ' ')} UTC",
            _commit(results.commit),
            str(results.facts.get("rnnbench") or ""),
            _versions((results.facts.get("versions") or {}).items()),
        )
        for machine in report.material.machines
        for results in machine.results
    ]
    rows += [(str(path), "", "", "", "", "") for path in report.material.documents]
    engines = [pair for row in report.material.conformed for pair in row.versions]
    rows += [("engines", "", "", "", "", _versions(dict.fromkeys(engines)))] if engines else []
    rows.append(("this page", "", "", "", rnnbench.__version__, ""))
    heads = ("file", "machine", "measured", "commit", "rnnbench", "versions")
    columns: dict[str, Iterable[str]] = dict(zip(heads, zip(*rows, strict=True), strict=True))
    return make_table("What took part", columns, "rnnbench", ("file",))


def _versions(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {version}" for name, version in pairs)


def _commit(commit: dict[str, object]) -> str:
    name = str(commit.get("id") or "")[:12]
    return f"{name}, with uncommitted changes" if name and commit.get("dirty") else name


def _how_to_read() -> _Part:
    text = (
        '<section id="reading"><h2>How to read it</h2><p class="quiet">us: microseconds. Intervals '
        "hold the ratio in 95 of 100 runs: of a pair measured in turns, a bootstrap over its "
        "rounds; else a bootstrap over blocks of neighbouring samples. p50, p95, p99: so many "
        "percent of the calls take at most this. Provisional: a latency on which the answer rests "
        "is unstable; measure again on a quiet machine. A click on a heading sorts its table.</p>"
        "</section>"
    )
    return _Part("How to read it", "reading", text)


def _short(text: str) -> str:
    """What is longer than anything that is said here is somebody's file: its beginning."""
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."

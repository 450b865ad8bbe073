"""Results of `bench` and of `check --json` -> text; nothing is printed here.

`material` reads the files, `recommendation` draws the conclusion, `doubts` says what speaks against
it; `cards` are its answers; `tables`, `values`, `plots` and `page` show the same in their ways.
`comparison` sets two results against each other; `stored` sums up a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rnnbench.benchmarking.report.cards import Card, format_card, make_card
from rnnbench.benchmarking.report.doubts import doubts
from rnnbench.benchmarking.report.material import Machine, Material, read_material
from rnnbench.benchmarking.report.precision_cards import precision_cards
from rnnbench.benchmarking.report.recommendation import (
    Advice,
    Ratios,
    advise,
    first_lines,
    sentence,
)
from rnnbench.benchmarking.report.stream_cards import stream_cards
from rnnbench.benchmarking.report.table import blocks, format_report_table
from rnnbench.benchmarking.report.tables import tables
from rnnbench.core.documents import document
from rnnbench.core.shown import Part, Shown
from rnnbench.core.shown import Table as ShownTable
from rnnbench.core.tables import Style
from rnnbench.core.text import harmless, in_markdown


@dataclass(frozen=True, repr=False)
class Report(Shown):
    """What is said about the material.

    Attributes:
        material: what was measured and checked.
        advices: for each set of conditions, with the machine.
        sentences: the recommendation.
        cards: the answers, those that are shown first marked so.
        unanswered: the sentences where there is no answer.
        more: how much more there is; empty where that is all.
        doubts: what a reader should know first.
    """

    material: Material
    advices: tuple[tuple[Machine, Advice], ...]
    sentences: tuple[str, ...]
    cards: tuple[Card, ...]
    unanswered: tuple[str, ...]
    more: str
    doubts: tuple[str, ...]

    def parts(self) -> Iterable[Part]:
        """The answers, the doubts, and every table."""
        yield from format_first_lines(self).split("\n")
        for table in tables(self.material, self.advices):
            yield from ("", table.title, ShownTable(table.headers, table.rows))

    def to_markdown(self) -> str:
        """What `report --markdown` prints."""
        return format_report(self, "markdown")

    def to_json(self) -> dict[str, Any]:
        """What `report --json` prints."""
        from rnnbench.benchmarking.report.values import to_json

        found: dict[str, Any] = document("report", to_json(self))
        return found


def _other_cards(machine: Machine) -> Iterator[Card]:
    """Answers to other questions than which form is the fastest."""
    yield from stream_cards(machine.streams)
    yield from precision_cards(machine.latencies, machine.ratios, machine.costs)


def make_report(paths: Sequence[str | Path] = (), where: str | None = None) -> Report:
    """Reads files and draws the conclusions.

    Args:
        paths: results of `bench`, folders of them, stores, reports of `check --json`; the newest
            results of this machine where there are none.
        where: an SQL condition on the rows of stores.

    Raises:
        RnnbenchError: a file is damaged or something else, or nothing was measured.
    """
    material = read_material(paths, where)
    several = len(material.machines) > 1
    flat: list[tuple[Machine, Advice]] = []
    sentences: list[str] = []
    cards: list[Card] = []
    unanswered: list[str] = []
    for machine in material.machines:
        ratios = Ratios(machine)
        found = advise(machine, ratios)
        flat += [(machine, advice) for advice in found]
        first, where = first_lines(found), f"{machine.name}: " if several else ""
        others = {advice.conditions: advice for advice in found}
        for advice in (*first, *(a for a in found if a not in first)):
            card = make_card(advice, others, ratios, material.checks)
            if card is not None:
                cards.append(replace(card, where=where + card.where, first=advice in first))
            if advice in first:
                sentences.append(where + sentence(advice))
                unanswered += [] if card else [where + sentence(advice)]
        cards += [replace(c, where=where + c.where) for c in _other_cards(machine)]
    more = ""
    if len(flat) > len(sentences):
        more = f"{len(flat) - len(sentences)} other conditions are in the table of what is fastest"
        sentences.append(more)
    return Report(
        material,
        tuple(flat),
        tuple(sentences),
        tuple(cards),
        tuple(unanswered),
        more,
        doubts(material, flat),
    )


def format_report(report: Report, style: Style = "text") -> str:
    """The recommendation, the doubts and every table, as `text` or `markdown`."""
    lines = [format_first_lines(report, style)]
    for table in tables(report.material, report.advices):
        title = f"### {in_markdown(table.title)}" if style == "markdown" else harmless(table.title)
        gap = [""] if style == "markdown" else []
        parts = [table] if style == "markdown" else blocks(table)
        lines += ["", title, *gap, "\n\n".join(format_report_table(p, style) for p in parts)]
    return "\n".join(lines).strip("\n")


def format_first_lines(report: Report, style: Style = "text") -> str:
    """The cards, what has no answer, and the doubts."""
    bullet, strong = ("* ", "**") if style == "markdown" else ("", "")
    shown = in_markdown if style == "markdown" else harmless
    lines: list[str] = []
    for card in report.cards:
        if card.first:
            lines += [format_card(card, style), *([] if style == "markdown" else [""])]
    lines += [bullet + shown(line) for line in (*report.unanswered, report.more) if line]
    if lines and lines[-1] and report.doubts:
        lines.append("")
    lines += [f"{bullet}{strong}doubt:{strong} {shown(line)}" for line in report.doubts]
    return "\n".join(lines).rstrip("\n")

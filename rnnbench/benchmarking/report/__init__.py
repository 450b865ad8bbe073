"""Results of `bench` and of `check --json` -> text; nothing is printed here.

`material` reads the files, `recommendation` draws the conclusion, `doubts` says what speaks against
it; `tables`, `values`, `plots` and `page` show the same in their ways. `comparison` sets two
results against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rnnbench.benchmarking.report.doubts import doubts
from rnnbench.benchmarking.report.material import Machine, Material, read_material
from rnnbench.benchmarking.report.recommendation import Advice, advise, first_lines, sentence
from rnnbench.benchmarking.report.tables import format_report_table, tables
from rnnbench.core.tables import Style
from rnnbench.core.text import harmless, in_markdown


@dataclass(frozen=True)
class Report:
    """What is said about the material.

    Attributes:
        material: what was measured and checked.
        advices: for each set of conditions, with the machine.
        sentences: the recommendation.
        doubts: what a reader should know first.
    """

    material: Material
    advices: tuple[tuple[Machine, Advice], ...]
    sentences: tuple[str, ...]
    doubts: tuple[str, ...]


def make_report(paths: Sequence[str | Path] = ()) -> Report:
    """Reads files and draws the conclusions.

    Args:
        paths: results of `bench`, folders of them, reports of `check --json`; the newest results
            of this machine where there are none.

    Raises:
        RnnbenchError: a file is damaged or something else, or nothing was measured.
    """
    material = read_material(paths)
    advices = [(machine, advise(machine)) for machine in material.machines]
    several = len(material.machines) > 1
    sentences = [
        f"{machine.name}: {sentence(advice)}" if several else sentence(advice)
        for machine, found in advices
        for advice in first_lines(found)
    ]
    shown, total = len(sentences), sum(len(found) for _, found in advices)
    if total > shown:
        sentences.append(f"{total - shown} other conditions are in the table of what is fastest")
    flat = tuple((machine, advice) for machine, found in advices for advice in found)
    return Report(material, flat, tuple(sentences), doubts(material, flat))


def format_report(report: Report, style: Style = "text") -> str:
    """The recommendation, the doubts and every table, as `text` or `markdown`."""
    lines = [format_first_lines(report, style)]
    for table in tables(report.material, report.advices):
        title = f"### {in_markdown(table.title)}" if style == "markdown" else harmless(table.title)
        gap = [""] if style == "markdown" else []
        lines += ["", title, *gap, format_report_table(table, style)]
    return "\n".join(lines).strip("\n")


def format_first_lines(report: Report, style: Style = "text") -> str:
    """The recommendation and the doubts."""
    bullet, strong = ("* ", "**") if style == "markdown" else ("", "")
    shown = in_markdown if style == "markdown" else harmless
    lines = [bullet + shown(line) for line in report.sentences]
    if lines and report.doubts:
        lines.append("")
    lines += [f"{bullet}{strong}doubt:{strong} {shown(line)}" for line in report.doubts]
    return "\n".join(lines)

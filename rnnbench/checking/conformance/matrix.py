"""Models, and what runs them in which form, as a matrix; and everything in it that is not right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rnnbench.checking.conformance.rows import ConformanceRow, name_of, never_right, versions_of
from rnnbench.core.markdown import table
from rnnbench.core.tables import format_table, terminal_width
from rnnbench.core.verdicts import Verdict

WIDTH = 120
"""Characters of a line: a matrix that is wider is continued below."""

_SHOWN: dict[str, str] = {Verdict.SAME: "right", Verdict.DIFFERS: "WRONG"}
_NUMBERS = re.compile(r"[\d.]+(e-?\d+)?")

Column = tuple[str, str]
"""A target or an engine with its mode, and the profile."""


def format_matrix(rows: Sequence[ConformanceRow], *, markdown: bool = False) -> str:
    """A line a model and a column for each target, and for each engine under each profile.

    Below it is what is not right, silent errors first: results, and no error.
    """
    rows = [replace(row, model=_one_line(row.model), reason=_one_line(row.reason)) for row in rows]
    ran = [row for row in rows if row.verdict != Verdict.NOT_RUN]
    models = list(dict.fromkeys(row.model for row in rows))
    columns = list(dict.fromkeys((row.target, row.profile) for row in ran))
    cells = {(r.model, r.target, r.profile): _SHOWN.get(r.verdict, r.verdict) for r in rows}
    body = [[cells.get((model, *column), "") for column in columns] for model in models]
    shown = (_as_markdown if markdown else _as_text)(models, columns, body)
    silent: list[str] = []
    said: list[str] = []
    for row, line in _grouped(ran):
        (silent if row.verdict == Verdict.DIFFERS else said).append(line)
    never = "; ".join(f"{model} in {engine}" for model, engine in never_right(rows))
    idle = [row for row in rows if row.verdict == Verdict.NOT_RUN]
    reasons = dict.fromkeys(f"{name_of(row)}: {row.reason}" for row in idle)
    versions = ", ".join(versions_of(rows))
    lines = [
        *shown,
        "",
        *_section("Silent errors: results that are WRONG, and no error", silent, markdown),
        *_section("Not right, and said so", said, markdown),
        *(_section("Not run", list(reasons), markdown) if reasons else []),
        f"Right under no profile: {never or 'nothing'}.",
    ]
    if versions:
        lines += [*([""] if markdown else []), f"With {versions}."]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _grouped(rows: Sequence[ConformanceRow]) -> Iterator[tuple[ConformanceRow, str]]:
    """The first row, and a line, for what says the same: models first, then profiles together."""
    columns: dict[tuple[str, ...], list[ConformanceRow]] = {}
    for row in rows:
        if row.verdict == Verdict.SAME:
            continue
        # Of results that are wrong the numbers differ; the first is an example.
        reason = "" if row.verdict == Verdict.DIFFERS else _NUMBERS.sub("N", row.reason)
        columns.setdefault((row.target, row.profile, row.verdict, reason), []).append(row)
    groups: dict[tuple[str, ...], list[ConformanceRow]] = {}
    for (target, _, verdict, reason), found in columns.items():
        models = "; ".join(row.model for row in found)
        groups.setdefault((target, verdict, reason, models), []).append(found[0])
    for (target, verdict, _, models), found in groups.items():
        profiles = ", ".join(row.profile for row in found)
        name = f"{target} ({profiles})" if profiles else target
        yield found[0], f"{name}: {_SHOWN.get(verdict, verdict)} for {models}: {found[0].reason}"


def _section(title: str, lines: Sequence[str], markdown: bool) -> list[str]:
    if not markdown:
        return [f"{title}:", *(f"  {line}" for line in lines or ["none"]), ""]
    shown = [f"- {_bold(line.replace('|', '/'))}" for line in lines] or ["None."]
    return [f"## {title}", "", *shown, ""]


def _as_markdown(
    models: Sequence[str], columns: Sequence[Column], body: Sequence[Sequence[str]]
) -> list[str]:
    titles = [", ".join(filter(None, column)) for column in columns]
    rows = [[model, *map(_bold, cells)] for model, cells in zip(models, body, strict=True)]
    return table(["model", *titles], rows).split("\n")


def _as_text(
    models: Sequence[str], columns: Sequence[Column], body: Sequence[Sequence[str]]
) -> list[str]:
    """As many tables one below the other as it takes, each no wider than the terminal."""
    room = (terminal_width() or WIDTH) - 2 - max(map(len, ("model", *models)))
    blocks: list[list[int]] = [[]]
    left = room
    for i, column in enumerate(columns):
        wide = 2 + max(*map(len, column), *(len(row[i]) for row in body))
        if wide > left and blocks[-1]:
            blocks.append([])
            left = room
        blocks[-1].append(i)
        left -= wide
    lines: list[str] = []
    for block in blocks:
        cells = [[model, *(row[i] for i in block)] for model, row in zip(models, body, strict=True)]
        headers = ["model", *("\n".join(columns[i]) for i in block)]
        text = format_table(headers, cells)
        lines += ["", *text.splitlines()] if lines else text.splitlines()
    return [line.rstrip() for line in lines]


def _bold(text: str) -> str:
    """Words to be feared."""
    return re.sub(r"\b(WRONG|died)\b", r"**\1**", text, count=1)

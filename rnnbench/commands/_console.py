"""How the commands print: results on stdout, progress on stderr, colours on a terminal only."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

import click

from rnnbench.core.standing import as_given
from rnnbench.core.tables import folded, format_table, terminal_width, without_empty
from rnnbench.core.text import harmless, harmless_lines

if TYPE_CHECKING:
    from rnnbench.checking.report import CheckReport, OutputRow


def say(text: str, *, err: bool = False, nl: bool = True, whole: bool = False) -> None:
    """Lines on stdout, or on stderr: what names in them hold does nothing to a terminal.

    Args:
        text: the lines.
        err: on stderr, where nothing is folded.
        nl: with a line end.
        whole: what is to be copied (a command, CSV, Markdown) is not folded either.
    """
    text = as_given(text)
    if not err and not whole:
        fits = terminal_width() or sys.maxsize
        text = "\n".join(
            folded(line) if len(click.unstyle(line)) > fits else line for line in text.split("\n")
        )
    click.echo(harmless_lines(text), err=err, nl=nl)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout."""
    say(format_table(headers, rows))


def print_json(value: Any) -> None:
    """JSON on stdout."""
    click.echo(as_given(json.dumps(value, indent=2, ensure_ascii=False)))


def print_verdicts(rows: Iterable[OutputRow]) -> None:
    """The table that `export` and `check` end with, and below it the reasons."""
    from rnnbench.checking.report import reasons, verdict_table
    from rnnbench.core.shown import format_parts

    rows = list(rows)
    say(format_parts([verdict_table(rows), *reasons(rows)]))


def note(text: str, *, detail: bool = False) -> None:
    """A line on stderr, or a few.

    Args:
        text: the lines.
        detail: said with --verbose alone.
    """
    if _loudness.get() >= (1 if detail else 0):
        say(text, err=True)


def refuse(text: str) -> None:
    """The line about what went wrong, which is never left out."""
    say(text, err=True)


_loudness: ContextVar[int] = ContextVar("loudness", default=0)


def set_loudness(level: int) -> None:
    """-1: nothing on stderr but errors; 0: as usual; 1: more."""
    _loudness.set(level)


def loudness() -> int:
    """The level that was set."""
    return _loudness.get()


class Progress:
    """What happens to one model after the other, on stderr.

    On a terminal a model has one line, which is written over as it proceeds; elsewhere one that
    grows by each stage. With --verbose every step has a line of its own.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._name = ""
        self._title = ""
        self._last = ""
        self._start = 0.0
        self._grows = False  # a line that has no end yet
        self._verbose = loudness() > 0
        self.one_line = total > 1 and sys.stderr.isatty() and loudness() == 0

    def on_start(self, title: str) -> None:
        """A model's turn comes."""
        self._done += 1
        self._name = title
        self._title = f"[{self._done}/{self._total}] {title}" if self._total > 1 else title
        self._last, self._start = "", time.perf_counter()

    def on_progress(self, line: str) -> None:
        """What is done now."""
        line = line.removeprefix(f"{self._name}: ")
        if line.startswith("epoch"):
            self._last = line
        if self.one_line:
            text = f"{self._title}  {self._last if line == self._last else line}"
            click.echo(f"\r\x1b[K{harmless(as_given(text))[: _width()]}", err=True, nl=False)
        else:
            self._end_line()
            note(f"{self._title}  {line}")

    def on_stage(self, stage: str) -> None:
        """The next of a few stages, in a word."""
        if self.one_line or self._verbose:
            self.on_progress(stage)
        elif loudness() == 0:
            begun = f", {stage}" if self._grows else f"{self._title}: {stage}"
            click.echo(harmless(begun), err=True, nl=False)
            sys.stderr.flush()
            self._grows = True

    def on_detail(self, line: str) -> None:
        """What most readers need not know."""
        if self.one_line or self._verbose:
            self.on_progress(line)

    def on_end(self, outcome: str) -> None:
        """The model is done with."""
        seconds = f"{time.perf_counter() - self._start:.1f} s"
        if self._grows:
            self._grows = False
            note(f": {outcome}  {seconds}")
            return
        parts = [self._title, self._last if self.one_line else "", outcome, seconds]
        clear = "\r\x1b[K" if self.one_line else ""
        note(clear + "  ".join(part for part in parts if part))

    def stop(self) -> None:
        """What comes next begins a line."""
        self._end_line()

    def _end_line(self) -> None:
        if self._grows:
            self._grows = False
            click.echo("", err=True)


class RunsBar:
    """How many runs of one check are done, as a bar on a terminal; and each artifact as it is done.

    Args:
        title: of the bar.
        say: gets the line about an artifact where there is no terminal.
    """

    def __init__(self, title: str, say: Callable[[str], object]) -> None:
        self._title = title
        self._say = say
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def on_start(self, total: int) -> None:
        """So many runs there will be."""
        if sys.stderr.isatty() and loudness() >= 0:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=self._title, unit="run", leave=False)

    def on_progress(self, count: int) -> None:
        """So many more are done."""
        if self._bar is not None:
            self._bar.update(count)

    def on_rows(self, rows: Sequence[OutputRow]) -> None:
        """An artifact is done in a runtime."""
        worst = next((r for r in rows if r.verdict.is_wrong), rows[0])
        where = (
            worst.format if worst.format == worst.runtime else f"{worst.format} in {worst.runtime}"
        )
        line = f"{where}: {worst.verdict}" + (f": {worst.reason}" if worst.reason else "")
        if self._bar is None:
            self._say(line)
        else:
            self._bar.write(harmless(line), file=sys.stderr)


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns - 1


_LEAST = ("max rel", "noise floor", "same argmax", "first step off", "cases", "worst case")


def format_report(report: CheckReport) -> str:
    """The report as a table, then the reasons, and the cases that could not be compared."""
    from rnnbench.checking.report import reasons

    headers = ["model", "format", "runtime", "output", "cases", "max abs", "max rel"]
    headers += ["tolerance needed", "noise floor", "worst case", "first step off"]
    headers += ["same argmax", "verdict"]
    models = {row.model for row in report.rows}
    table = [
        [
            "" if len(models) == 1 else row.model,
            *(row.format, row.runtime + (" (pinned)" if row.pinned else "")),
            *("weights" if row.is_about_weights else row.output, str(row.cases)),
            *map(
                _shown,
                (row.worst_error, row.relative_error, row.tolerance_needed, row.noise_floor),
            ),
            row.worst_case,
            "" if row.first_step is None else str(row.first_step),
            "" if row.same_argmax is None else f"{100 * row.same_argmax:.3g} %",
            row.verdict,
        ]
        for row in report.rows
    ]
    title = [f"model {models.pop()}"] if len(models) == 1 else []
    notes = reasons(report.rows, fitting=0)
    notes += report.not_compared()
    text = format_table(*without_empty(headers, table), least=_LEAST)
    return "\n".join([*title, text, *notes, *report.notes])


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"

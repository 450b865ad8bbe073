"""One verb per file: each holds `command`, which prints and returns the exit code.

What several of them share is here. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rnnbench.commands._console import note, print_json, print_verdicts, say
from rnnbench.core.documents import document
from rnnbench.core.verdicts import Verdict

if TYPE_CHECKING:
    from rnnbench.checking.report import CheckReport

RUNS = "runs"
"""The folder of the checkpoints, unless another is given."""

FINE, DIFFERS, BAD_INPUT, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")

trust_code = click.option(
    "--trust-code", is_flag=True, help="Run code that a bundle names or holds, whoever made it."
)


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of the commands that train."""
    for option in reversed(
        [
            click.option("--task", default="hello", show_default=True, help="See: list tasks."),
            click.option("--hidden", type=int, help="Size of the state; the task's own default."),
            click.option("--layers", type=int, help="Recurrent layers; the variant's default."),
            click.option("--bidirectional", is_flag=True, help="Backwards in time too (fused)."),
            click.option("--dropout", type=float, default=0.0, help="Between layers."),
            click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
            click.option("--epochs", type=int, help="The task's own default unless given."),
            click.option("--device", default="cpu", show_default=True, help="Where to train."),
        ]
    ):
        command = option(command)
    return command


def finish(verb: str, report: CheckReport, as_json: bool, details: bool = False) -> int:
    """Prints a report; the code is 1 where something differs."""
    from rnnbench.checking.report import summarise
    from rnnbench.commands._console import format_report

    if as_json:
        print_json(document(verb, report.to_json(), ok=report.ok))
    elif details:
        say(format_report(report))
    else:
        print_verdicts(summarise(report.rows))
        unproved = [r for r in report.rows if r.is_about_weights and r.verdict == Verdict.SAME]
        unproved = [row for row in unproved if row.reason]
        limits = [row for row in report.rows if row.verdict == Verdict.LIMIT]
        for line in (
            *(f"{row.model}: {row.format} in {row.runtime} {row.reason}" for row in limits),
            *(f"{row.model}: {row.format}: {row.reason}" for row in unproved),
            *report.not_compared(),
            *report.notes,
        ):
            note(line)
    for command in _again(report):
        note(f"again: {command}")
    return FINE if report.ok else DIFFERS


def _again(report: CheckReport) -> list[str]:
    """The command for the first case that is wrong, of each artifact in each runtime."""
    first: dict[tuple[str, str, str], str] = {}
    for result in report.results:
        if result.repeat:
            first.setdefault((result.model, result.format, result.runtime), result.repeat)
    return [*first.values()]  # `list` is the verb here, once it has been imported

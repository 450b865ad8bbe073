"""One verb per file: each holds `command`, which prints and returns the exit code.

What several of them share is here. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
import cloup

from rnnbench.commands._console import note, print_json, print_verdicts, say, set_loudness
from rnnbench.core import plugins
from rnnbench.core.documents import document
from rnnbench.core.verdicts import Verdict

if TYPE_CHECKING:
    from rnnbench.checking.report import CheckReport

RUNS = "runs"
"""The folder of the checkpoints, unless another is given."""

FINE, DIFFERS, BAD_INPUT, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141

OUTPUT, TRAINING, LIMITS = "Output", "Training", "Limits"
"""Titles of groups of options that several verbs have."""


class _Option(cloup.Option):
    """An option with the title of its group in the help."""

    def __init__(self, *declarations: Any, title: str = "", **attributes: Any) -> None:
        super().__init__(*declarations, **attributes)
        self.title = title


class _Verb(cloup.Command):
    """A verb, whose help shows its options by group."""

    def __init__(self, *given: Any, params: list[click.Parameter], **attributes: Any) -> None:
        groups: dict[str, cloup.OptionGroup] = {}
        params = sorted(params, key=_rank)  # which keeps the order of those that are alike
        for param in params:
            if isinstance(param, _Option) and param.title:
                title = param.title
                param.group = groups.setdefault(title, cloup.OptionGroup(title))
        super().__init__(*given, params=params, **attributes)


def _rank(param: click.Parameter) -> int:
    """What is about one verb comes first, and of the output how much is said last."""
    if param.name in ("quiet", "verbose"):
        return 3
    title = param.title if isinstance(param, _Option) else ""
    return {LIMITS: 1, OUTPUT: 2}.get(title, 0)


def option(*declarations: str, group: str = "", **attributes: Any) -> Callable[[Any], Any]:
    """An option of a verb: click's arguments, and the title of its group in the help."""
    decorated: Callable[[Any], Any] = cloup.option(
        *declarations, cls=_Option, title=group, **attributes
    )
    return decorated


def completes(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Completes the names of plugins of a kind, behind the last comma too."""

    def complete(_context: click.Context, _param: click.Parameter, begun: str) -> list[str]:
        before, comma, name = begun.rpartition(",")
        if kind == "variants":
            from rnnbench.models import variants

            known = variants.names()
        elif kind == "targets":
            from rnnbench.embedding.target import targets

            known = tuple(targets())
        else:
            known = plugins.names(kind)
        return [before + comma + each for each in known if each.startswith(name)]

    return complete


def verb(line: str, *examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """The decorator of a verb.

    Args:
        line: about it, in the list of verbs.
        examples: command lines, with what each does behind a `#`; shown at the end of its help.
    """
    pairs = [[part.strip() for part in example.split("  #")] for example in examples]
    width = max((len(pair[0]) for pair in pairs if len(pair) > 1), default=0)
    lines = [f"  {pair[0]:{width}}  # {pair[1]}" if pair[1:] else f"  {pair[0]}" for pair in pairs]
    shown = "\n".join(("\b", "Examples:", *lines))

    def decorate(function: Callable[..., Any]) -> click.Command:
        for loudness in (_quiet, _verbose):
            function = loudness(function)
        made: click.Command = cloup.command(cls=_Verb, short_help=line, epilog=shown)(function)
        return made

    return decorate


def _set(level: int) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(_context: click.Context, _option: click.Parameter, wanted: bool) -> None:
        if wanted:
            set_loudness(level)

    return callback


_quiet = option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_set(-1),
    help="Nothing on stderr but errors.",
    group=OUTPUT,
)
_verbose = option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=_set(1),
    help="Say more of what is done.",
    group=OUTPUT,
)

as_markdown = option(
    "--markdown", is_flag=True, help="Print Markdown, for a pull request.", group=OUTPUT
)
as_json = option("--json", "as_json", is_flag=True, help="Print JSON, not a table.", group=OUTPUT)

trust_code = option(
    "--trust-code",
    is_flag=True,
    help="Run code that a bundle names or holds, whoever made it.",
    group=LIMITS,
)


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of the commands that train."""
    for each in reversed(
        [
            option(
                "--task",
                default="hello",
                show_default=True,
                help="See: list tasks.",
                group=TRAINING,
                shell_complete=completes("tasks"),
            ),
            option(
                "--hidden",
                type=int,
                help="Size of the state; the task's own default.",
                group=TRAINING,
            ),
            option(
                "--layers",
                type=int,
                help="Recurrent layers; the variant's default.",
                group=TRAINING,
            ),
            option(
                "--bidirectional",
                is_flag=True,
                help="Backwards in time too (fused).",
                group=TRAINING,
            ),
            option("--dropout", type=float, default=0.0, help="Between layers.", group=TRAINING),
            option("--seed", type=click.IntRange(0), default=0, show_default=True, group=TRAINING),
            option(
                "--epochs", type=int, help="The task's own default unless given.", group=TRAINING
            ),
            option(
                "--device", default="cpu", show_default=True, help="Where to train.", group=TRAINING
            ),
        ]
    ):
        command = each(command)
    return command


def split_names(given: Sequence[str], kind: str) -> tuple[str, ...]:
    """The names in options that may be repeated, and have commas between; each by its own name."""
    parts = (part.strip() for text in given for part in text.split(","))
    return tuple(dict.fromkeys(plugins.canonical(kind, part) for part in parts if part))


def finish(
    verb: str, report: CheckReport, as_json: bool, details: bool = False, markdown: bool = False
) -> int:
    """Prints a report; the code is 1 where something differs."""
    from rnnbench.checking.report import summarise
    from rnnbench.commands._console import format_report

    if as_json:
        print_json(document(verb, report.to_json(), ok=report.ok))
    elif markdown:
        say(report.to_markdown(), whole=True)
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

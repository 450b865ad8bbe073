"""`compare`: what changed between two results, and whether that is a regression."""

from __future__ import annotations

import click

from rnnbench.commands._console import print_json, say
from rnnbench.commands._options import DIFFERS, FINE, as_json, option, verb
from rnnbench.core.documents import document
from rnnbench.core.tables import Style


@verb(
    "Say which measurements changed.",
    "rnnbench compare old.json new.json --fail-on 5%",
    "rnnbench compare old.json new.json --markdown  # for a pull request",
)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@option(
    "--fail-on",
    default="5%",
    show_default=True,
    help="Exit with 1 where the whole interval of a stable row is slower by more.",
    group="Verdict",
)
@option(
    "--across-machines",
    is_flag=True,
    help="Also where the machines differ; never 1.",
    group="Verdict",
)
@option("--markdown", is_flag=True, help="Print Markdown, for a pull request.", group="Output")
@as_json
def command(
    old: str, new: str, fail_on: str, across_machines: bool, markdown: bool, as_json: bool
) -> int:
    """Say which rows changed from OLD to NEW, two results files of `bench`, with 95 % intervals."""
    from rnnbench.benchmarking.report.changes import format_comparison, to_json
    from rnnbench.benchmarking.report.comparison import compare_results, threshold
    from rnnbench.core.errors import RnnbenchError

    if as_json and markdown:
        raise RnnbenchError("--json and --markdown: give one of them")
    limit = threshold(fail_on)
    comparison = compare_results(old, new, across_machines=across_machines)
    fine = not comparison.regressions(limit)
    if as_json:
        print_json(document("compare", to_json(comparison, limit), ok=fine))
    else:
        style: Style = "markdown" if markdown else "text"
        say(format_comparison(comparison, limit, style), whole=markdown)
    return FINE if fine else DIFFERS

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
    "rnnbench compare results/ --commit 4f8ef5e --commit e072cf7",
)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="[NEW]", required=False)
@option(
    "--commit",
    "commits",
    multiple=True,
    metavar="ID",
    help="Of a store: the old one's, then the new one's.",
    group="Of a store",
)
@option(
    "--where", metavar="SQL", help="Of a store: a condition on its columns.", group="Of a store"
)
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
    old: str,
    new: str | None,
    commits: tuple[str, ...],
    where: str | None,
    fail_on: str,
    across_machines: bool,
    markdown: bool,
    as_json: bool,
) -> int:
    """Say which rows changed from OLD to NEW, two results files of `bench`, with 95 % intervals.

    Either may be a store: its newest run, or what was measured at a --commit; NEW is the same store
    unless given.
    """
    from rnnbench.benchmarking.report.changes import format_comparison, to_json
    from rnnbench.benchmarking.report.comparison import compare_results, threshold
    from rnnbench.core.errors import RnnbenchError

    if as_json and markdown:
        raise RnnbenchError("--json and --markdown: give one of them")
    limit = threshold(fail_on)
    if new is None and len(commits) != 2:
        raise RnnbenchError("there is nothing to compare with: give NEW, or --commit twice")
    comparison = compare_results(
        old, new or old, across_machines=across_machines, commits=commits, where=where
    )
    fine = not comparison.regressions(limit)
    if as_json:
        print_json(document("compare", to_json(comparison, limit), ok=fine))
    else:
        style: Style = "markdown" if markdown else "text"
        say(format_comparison(comparison, limit, style), whole=markdown)
    return FINE if fine else DIFFERS

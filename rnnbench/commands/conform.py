"""`conform`: every target of `embed`, built and run over the same golden cases."""

from __future__ import annotations

import click

from rnnbench.commands import DIFFERS, FINE, as_json
from rnnbench.console import note, print_json


@click.command(short_help="Build and run a bundle in other languages.")
@click.argument("bundle")
@click.option("--target", "names", multiple=True, help="Only these; with commas between.")
@click.option(
    "--result", "results", multiple=True, metavar="FILE", help="Of a runtime of your own."
)
@as_json
def command(bundle: str, names: tuple[str, ...], results: tuple[str, ...], as_json: bool) -> int:
    """Build and run every target that this machine can over the golden cases of BUNDLE.

    What it cannot is a row with its reason. See embed --list, and exports/README.md for the files.
    RNNBENCH_CACHE=DIR keeps there what builds download, for the next one.
    """
    from rnnbench.bundle import Bundle
    from rnnbench.conform import conform, format_conformed

    chosen = [part.strip() for name in names for part in name.split(",") if part.strip()]
    rows = conform(Bundle.open(bundle), chosen, results=results, tell=note)
    if as_json:
        print_json([row.to_json() for row in rows])
    else:
        click.echo(format_conformed(rows))
    verdicts = {row.verdict for row in rows}
    return FINE if "same" in verdicts and not verdicts & {"DIFFERS", "failed"} else DIFFERS

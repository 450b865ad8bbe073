"""`check`: do the artifacts of a bundle compute the same?"""

from __future__ import annotations

from pathlib import Path

import click

from rnnbench.commands import as_json, finish
from rnnbench.console import Progress
from rnnbench.errors import RnnbenchError


@click.command()
@click.argument("bundles", metavar="[BUNDLE]...", nargs=-1)
@click.option("--runtime", "runtimes", multiple=True, help="Only these; see: list runtimes.")
@click.option("--out", default="exports", show_default=True, help="Where bundles are looked for.")
@click.option("--details", is_flag=True, help="A row for each output, with its noise floor.")
@as_json
def command(
    bundles: tuple[str, ...], runtimes: tuple[str, ...], out: str, details: bool, as_json: bool
) -> int:
    """Compare what BUNDLEs (all in --out unless given) compute with the module in float64."""
    from rnnbench.check import check as check_bundle
    from rnnbench.check import merge
    from rnnbench.pipeline import failed, find_bundles

    paths = find_bundles(bundles, Path(out))
    progress = Progress(len(paths))
    reports = []
    for path in paths:
        progress.begin(path.name)
        try:
            reports.append(check_bundle(path, runtimes or None))
        except RnnbenchError as error:
            if len(paths) == 1:
                raise
            reports.append(failed(path.name, error))
        progress.end("checked")
    return finish(merge(reports), as_json, details)

"""`check`: do the artifacts of a bundle compute the same?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rnnbench.commands import DIFFERS, FINE, as_json, finish
from rnnbench.console import Progress, print_json
from rnnbench.errors import RnnbenchError
from rnnbench.proofs import bisect as bisect_bundle
from rnnbench.proofs import proof_options, prove


@click.command()
@click.argument("bundles", metavar="[BUNDLE]...", nargs=-1)
@click.option("--runtime", "runtimes", multiple=True, help="Only these; see: list runtimes.")
@click.option("--out", default="exports", show_default=True, help="Where bundles are looked for.")
@click.option("--details", is_flag=True, help="A row for each output, with its noise floor.")
@proof_options
@as_json
def command(
    bundles: tuple[str, ...],
    runtimes: tuple[str, ...],
    out: str,
    details: bool,
    as_json: bool,
    bisect: bool,
    **options: Any,
) -> int:
    """Compare what BUNDLEs (all in --out unless given) compute with the module in float64."""
    from rnnbench.check import check as check_bundle
    from rnnbench.check import merge
    from rnnbench.minimise import format_minimal
    from rnnbench.pipeline import failed, find_bundles

    code = prove(bundles, runtimes or None, as_json, options)
    if code is not None:
        return code
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
    report = merge(reports)
    smallest = [found for path in paths for found in bisect_bundle(path, report)] if bisect else []
    if as_json and bisect:
        print_json(report.to_json() | {"bisect": [found.to_json() for found in smallest]})
        return FINE if report.ok else DIFFERS
    code = finish(report, as_json, details)
    for found in smallest:
        click.echo("\n" + format_minimal(found))
    return code

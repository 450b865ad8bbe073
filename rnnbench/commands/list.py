"""`list`: what there is here."""

from __future__ import annotations

from dataclasses import asdict

import click

from rnnbench.commands._console import print_json, print_table
from rnnbench.commands._options import as_json


@click.command(short_help="Show variants, tasks, formats, runtimes.")
@click.argument("kinds", nargs=-1)
@as_json
def command(kinds: tuple[str, ...], as_json: bool) -> None:
    """Show variants, tasks, formats, runtimes and devices, and why one is not available.

    KINDS: variants, tasks, formats, runtimes, devices; all unless given.
    """
    from rnnbench.commands._listing import KINDS, items
    from rnnbench.core.errors import choices

    for kind in kinds:
        if kind not in KINDS:
            raise choices("kind", kind, KINDS)
    found = items(kinds or KINDS)
    if as_json:
        print_json([asdict(item) | {"available": item.reason is None} for item in found])
        return
    rows = []
    for item in found:
        missing = click.style("not available", fg="yellow") + f": {item.reason}"
        rows.append((item.kind, item.name, missing if item.reason else item.description))
    print_table(["kind", "name", "what it is"], rows)

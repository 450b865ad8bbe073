"""`init`: the draft of a declaration."""

from __future__ import annotations

from pathlib import Path

import click

from rnnbench.commands._console import note


@click.command(short_help="Draft the declaration of a module.")
@click.argument("file", metavar="FILE.py")
@click.option("--from", "source", required=True, metavar="package.module:Class", help="The model.")
@click.option("--force", is_flag=True, help="Overwrite FILE.py.")
def command(file: str, source: str, force: bool) -> None:
    """Write FILE.py, a first draft of a declaration, from the class of a module."""
    from rnnbench.models.declaration.draft import draft, write

    drafted = draft(source, Path(file).parent)
    path = write(drafted, file, force=force)
    for line in drafted.notes:
        note(line)
    click.echo(f"{path}: look it over, then: rnnbench export {path}")

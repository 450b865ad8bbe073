"""`store`: results files into a store, and its small files into large ones."""

from __future__ import annotations

from pathlib import Path

import click

from rnnbench.commands._console import note
from rnnbench.commands._options import verb
from rnnbench.core.errors import RnnbenchError, choices

ACTIONS = ("add", "compact")


@verb(
    "Add results files to a store.",
    "rnnbench store add results/ old.json new.json  # each once, however often",
    "rnnbench store compact results/                # merge its small files",
)
@click.argument("action", metavar="add | compact")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.argument("results", metavar="[RESULTS]...", nargs=-1)
def command(action: str, folder: Path, results: tuple[str, ...]) -> None:
    """Keep measurements of many runs and machines in a folder of Parquet files.

    add: takes in RESULTS, files of `bench` or folders of them. compact: merges small files, as
    adding does when they pile up. `bench --store FOLDER` adds what it measures; `report FOLDER`,
    `compare` and SQL read it. Needs the extra `store`.
    """
    if action not in ACTIONS:
        raise choices("action", action, ACTIONS)
    if action == "add":
        from rnnbench.benchmarking.store.adding import add_files, check_place

        if not results:
            raise RnnbenchError("store add: give results of `rnnbench bench` behind the folder")
        check_place(folder)
        total, new = add_files(folder, results)
        note(f"{new} of {total} measurements are new in {folder}")
        return
    from rnnbench.benchmarking.store.folder import compact

    if results:
        raise RnnbenchError("store compact takes a folder alone")
    before, after = compact(folder)
    note(f"{before} files of {folder} are {after} now")

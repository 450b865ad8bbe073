"""`embed`: a project in another language that runs a bundle and verifies itself."""

from __future__ import annotations

from typing import Any

import click

from rnnbench.commands._console import note, print_json, say
from rnnbench.commands._files import bundles, file_options
from rnnbench.commands._options import as_json, completes, option, verb
from rnnbench.core.documents import document
from rnnbench.core.tables import format_table


@verb(
    "Write a project in another language.",
    "rnnbench embed --list                        # the targets, and what each needs",
    "rnnbench embed exports/Net --target cpp-onnxruntime --out net-cpp",
)
@click.argument("bundle", required=False)
@option(
    "--target",
    metavar="NAME",
    help="See --list.",
    group="What",
    shell_complete=completes("targets"),
)
@option(
    "--out", metavar="DIR", help="The project's folder.  [default: BUNDLE-TARGET]", group="Output"
)
@option("--force", is_flag=True, help="Replace a folder that is there.", group="Output")
@option("--list", "listed", is_flag=True, help="The targets, and what each needs.", group="What")
@file_options
@as_json
def command(
    bundle: str | None,
    target: str | None,
    out: str | None,
    force: bool,
    listed: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Write a small project that loads the artifact of a BUNDLE (or of a file), runs it, streams it
    step by step, and verifies itself against the bundle's golden cases.
    """
    import shlex
    from pathlib import Path

    from rnnbench.core.bundle import Bundle
    from rnnbench.core.errors import RnnbenchError
    from rnnbench.embedding.project import embed
    from rnnbench.embedding.target import find_target

    if listed:
        return _list(as_json)
    if bundle is None or target is None:
        raise RnnbenchError("give a bundle and --target NAME, or --list to see the targets")
    chosen = find_target(target)
    with bundles((bundle,), options) as (found,):
        opened = Bundle.open(found)
        path = embed(opened, chosen, Path(out or f"{opened.name}-{target}"), force=force)
    steps = [
        f"cd {shlex.quote(str(path))}",
        *(" ".join(c) for c in (*chosen.build, (*chosen.run, "--verify"))),
    ]
    if as_json:
        commands = [list(c) for c in (*chosen.build, (*chosen.run, "--verify"))]
        print_json(document("embed", {"path": str(path), "commands": commands}))
    else:
        missing = chosen.missing()
        if missing:
            note(f"first of all: {missing}")
        say(" && ".join(steps), whole=True)
    return 0


def _list(as_json: bool) -> int:
    from rnnbench.embedding.target import targets

    rows = [
        {
            "target": t.name,
            "what": t.title,
            "format": t.format,
            "needs": t.needs,
            "here": t.missing() or "can be built and run",
        }
        for t in targets().values()
    ]
    if as_json:
        print_json(document("embed", {"targets": rows}))
    else:
        say(format_table([*rows[0]], [[*row.values()] for row in rows], least=("needs",)))
    return 0

"""`init`: the draft of a declaration."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from rnnbench.commands._console import note, print_json, say
from rnnbench.commands._options import as_json, option, verb
from rnnbench.core.documents import document
from rnnbench.core.errors import RnnbenchError

_QUIET = 3.0  # seconds without a word on progress
_BETWEEN = 5.0


@verb(
    "Draft the declaration of a module.",
    "rnnbench init my_model.py --from net:Net --arg hidden_size=64",
    "rnnbench init my_model.py --from net.py:Net --weights weights.pt",
)
@click.argument("file", metavar="FILE.py")
@option(
    "--from",
    "source",
    required=True,
    metavar="MODULE:Class",
    help="The model; FILE.py:Class.",
    group="The model",
)
@option(
    "--arg",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of the constructor, as Python writes it: hidden_size=64; repeat.",
    group="The model",
)
@option(
    "--weights",
    metavar="FILE.pt",
    help="A checkpoint: loaded, and sizes taken of it.",
    group="The model",
)
@option("--force", is_flag=True, help="Overwrite FILE.py.", group="Output")
@as_json
def command(
    file: str,
    source: str,
    given: tuple[str, ...],
    weights: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write FILE.py, a first draft of a declaration, from the class of a module.

    The module is run to find out what it takes, and which sizes are the batch and time. Arguments
    of its constructor that have no default and are not given are chosen, and marked # CHOSEN. The
    draft is exported before it is written; where that fails, others are tried in its place.
    """
    from rnnbench.checking.trial import Trials
    from rnnbench.models.declaration.draft import draft, write

    source = _importable(source, Path(file).parent)
    top = source.partition(":")[0].partition(".")[0]
    if Path(file).stem == top:
        raise RnnbenchError(
            f"{file}: Python would import it in the place of {top}: choose another name"
        )
    with Trials(Path(file).parent) as trials:
        drafted = draft(
            source,
            Path(file).parent,
            arguments=_literals(given),
            weights=weights,
            on_run=_progress(source),
            on_trial=trials,
        )
    path = write(drafted, file, force=force)
    if as_json:
        print_json(document("init", {"path": str(path), "notes": list(drafted.notes)}))
        return
    for line in drafted.notes:
        note(line)
    say(f"{path}: look it over, then: rnnbench export {shlex.quote(str(path))}", whole=True)


def _importable(source: str, folder: Path) -> str:
    """`FILE.py:Class` as `module:Class`, as it is imported from the draft's or this folder."""
    where, colon, name = source.rpartition(":")
    if not where.endswith(".py"):
        return source
    path = Path(where)
    if not path.is_file():
        raise RnnbenchError(f"there is no file {path}: give FILE.py:Class or package.module:Class")
    for root in (folder, Path()):
        inside = path.resolve().with_suffix("")
        if inside.is_relative_to(root.resolve()):
            parts = inside.relative_to(root.resolve()).parts
            if all(part.isidentifier() for part in parts):
                return ".".join(parts) + colon + name
    raise RnnbenchError(
        f"{path} cannot be imported from here: draft into its folder, {path.parent}, or give "
        "package.module:Class"
    )


def _literals(given: Sequence[str]) -> dict[str, Any]:
    """`hidden_size=64` by name; what is no Python literal is a str."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise RnnbenchError(f"--arg {text!r}: give NAME=VALUE, such as hidden_size=64")
        try:
            found[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            found[name.strip()] = value
    return found


def _progress(source: str) -> Callable[[int, float], None]:
    """Says now and then how far it is, where it takes its time."""
    said = _QUIET - _BETWEEN

    def tell(runs: int, seconds: float) -> None:
        nonlocal said
        if seconds >= said + _BETWEEN:
            said = seconds
            note(f"{source}  {runs} trial runs, {seconds:.0f} s")

    return tell

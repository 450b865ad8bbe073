"""`conform`: every target of `embed` and every engine over the same golden cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnbench.commands._cluster import cluster_options, on_each_bundle, refuse_with_cluster
from rnnbench.commands._console import note, print_json, say
from rnnbench.commands._files import bundles as bundles_of
from rnnbench.commands._files import file_options
from rnnbench.commands._options import (
    DIFFERS,
    FINE,
    as_json,
    completes,
    option,
    split_names,
    trust_code,
    verb,
)
from rnnbench.core.documents import document
from rnnbench.core.errors import RnnbenchError

if TYPE_CHECKING:
    from rnnbench.checking.conformance.rows import ConformanceRow


@verb(
    "Run bundles in other languages and engines.",
    "rnnbench conform exports/hello-gru           # all that this machine can run",
    "rnnbench conform exports/hello-gru --target web --engine tract",
    "rnnbench conform exports/*/ --engine all     # a matrix",
    "rnnbench conform model.onnx                  # a file that somebody wrote",
    "rnnbench conform exports/*/ --cluster auto   # on the cores of a cluster",
)
@click.argument("bundles", metavar="[BUNDLE | FILE]...", nargs=-1, required=True)
@option(
    "--target",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only these of embed.",
    group="What",
    shell_complete=completes("targets"),
)
@option(
    "--engine",
    "engines",
    multiple=True,
    metavar="NAME[:MODE]",
    help="Only these, as tract,tract:pinned; all: every one in every mode.",
    group="What",
    shell_complete=completes("runtimes"),
)
@option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="NAME",
    help="Of engines, only these forms: plain, portable, an engine's own as tract, pt2 ...",
    group="What",
)
@option(
    "--result", "results", multiple=True, metavar="FILE", help="Of your own runtime.", group="What"
)
@option(
    "--matrix",
    is_flag=True,
    help="Of one bundle too: models by runtimes and profiles.",
    group="Output",
)
@option("--markdown", is_flag=True, help="Print the matrix as Markdown.", group="Output")
@option(
    "--all", "every", is_flag=True, help="Also what cannot be run here, and why.", group="Output"
)
@trust_code
@cluster_options
@file_options
@as_json
def command(
    bundles: Sequence[str],
    as_json: bool,
    **options: Any,
) -> int:
    """Run each BUNDLE over its golden cases in every target of embed and in every engine.

    Targets are built first (see embed --list). Engines get the ONNX file as it is (plain), in the
    form of export --for ENGINE, and portable; those that read other files get these. What cannot
    be run here is named below the table, and has a row with its reason with --all. With --target,
    --engine, --profile or --result only what they name is run; commas may stand between names.
    Several bundles make a matrix.

    The exit code is 1 where a result is wrong without an error (DIFFERS, in the matrix WRONG), or a
    target fails. That an engine refuses one form of a file or dies of it is fine (0) where it runs
    another form of the same bundle right, and 1 where it runs none.
    """
    if as_json and options["markdown"]:
        raise RnnbenchError("--json and --markdown: give one of them")
    of_here = {"--result": "a result is read here"} if options["results"] else {}
    refuse_with_cluster(options["cluster"], options["on"], of_here)
    if options["results"] and len(bundles) > 1:
        raise RnnbenchError(f"--result is of one bundle: {len(bundles)} given")
    with bundles_of(tuple(dict.fromkeys(bundles)), options) as found:
        return _conform(found, as_json, **options)


def _conform(
    bundles: Sequence[str],
    as_json: bool,
    *,
    names: Sequence[str],
    engines: Sequence[str],
    profiles: Sequence[str],
    results: Sequence[str],
    matrix: bool,
    markdown: bool,
    every: bool,
    trust_code: bool,
    cluster: str | None,
    on: Sequence[str],
) -> int:
    """Runs them, and prints what was found; the exit code."""
    from rnnbench.checking.conformance.matrix import format_matrix
    from rnnbench.checking.conformance.rows import format_conformed, is_fine, that_ran
    from rnnbench.core.bundle import Bundle

    opened = [Bundle.open(path, trust_code=trust_code) for path in bundles]
    given = [bundle.name for bundle in opened]
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice is not None:
        raise RnnbenchError(f"two bundles have the name {twice!r}: give one of them")
    function = partial(
        _rows_of,
        trust_code=trust_code,
        names=split_names(names, "targets"),
        engines=split_names(engines, "runtimes"),
        profiles=split_names(profiles, "runtimes"),
    )
    rows: list[ConformanceRow] = []
    if cluster is not None:
        for said in on_each_bundle([bundle.path for bundle in opened], function, cluster, on):
            if isinstance(said, RnnbenchError):
                raise said
            rows += said
    else:
        for bundle in opened:
            about = f"{bundle.name}: " if len(opened) > 1 else ""
            rows += function(bundle.path, results=results, about=about, on_line=note)
    named = names or engines or profiles
    shown, left = (rows, "") if every or named else that_ran(rows)
    if as_json:
        print_json(document("conform", {"rows": [r.to_json() for r in rows]}, ok=is_fine(rows)))
    elif matrix or markdown or len(opened) > 1:
        say(format_matrix(shown, markdown=markdown), whole=markdown)
    else:
        say(format_conformed(shown))
    if left:
        note(left)
    return FINE if is_fine(rows) else DIFFERS


def _rows_of(
    path: Path,
    *,
    trust_code: bool,
    names: Sequence[str],
    engines: Sequence[str],
    profiles: Sequence[str],
    results: Sequence[str] = (),
    about: str = "",
    on_line: Callable[[str], None] = lambda _: None,
) -> list[ConformanceRow]:
    """Of one bundle; here, or on a node."""
    from rnnbench.core.bundle import Bundle
    from rnnbench.embedding.conform import conform

    return conform(
        Bundle.open(path, trust_code=trust_code),
        names,
        results=results,
        engines=engines,
        profiles=profiles,
        on_progress=lambda line: on_line(about + line),
    )

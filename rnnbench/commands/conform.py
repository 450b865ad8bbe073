"""`conform`: every target of `embed` and every engine over the same golden cases."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rnnbench.commands._console import note, print_json, say
from rnnbench.commands._options import DIFFERS, FINE, as_json, trust_code
from rnnbench.core.documents import document
from rnnbench.core.errors import RnnbenchError


@click.command(short_help="Run bundles in other languages and engines.")
@click.argument("bundles", metavar="BUNDLE...", nargs=-1, required=True)
@click.option("--target", "names", multiple=True, metavar="NAME", help="Only these of embed.")
@click.option(
    "--engine",
    "engines",
    multiple=True,
    metavar="NAME[:MODE]",
    help="Only these, as tract,tract:pinned; all: every one in every mode.",
)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="NAME",
    help="Of engines, only these forms: plain, portable, an engine's own as tract, pt2 ...",
)
@click.option("--result", "results", multiple=True, metavar="FILE", help="Of your own runtime.")
@click.option("--matrix", is_flag=True, help="Of one bundle too: models by runtimes and profiles.")
@click.option("--markdown", is_flag=True, help="Print the matrix as Markdown.")
@trust_code
@as_json
def command(
    bundles: Sequence[str],
    names: Sequence[str],
    engines: Sequence[str],
    profiles: Sequence[str],
    results: Sequence[str],
    matrix: bool,
    markdown: bool,
    trust_code: bool,
    as_json: bool,
) -> int:
    """Run each BUNDLE over its golden cases in every target of embed and in every engine.

    Targets are built first (see embed --list). Engines get the ONNX file as it is (plain), in the
    form of export --for ENGINE, and portable; those that read other files get these. What cannot
    be run here is a row with its reason. With --target, --engine, --profile or --result only what
    they name is run; commas may stand between names. Several bundles make a matrix.

    The exit code is 1 where a result is wrong without an error (DIFFERS, in the matrix WRONG), or a
    target fails. That an engine refuses one form of a file or dies of it is fine (0) where it runs
    another form of the same bundle right, and 1 where it runs none.
    """
    from rnnbench.checking.conformance.matrix import format_matrix
    from rnnbench.checking.conformance.rows import format_conformed, is_fine
    from rnnbench.core.bundle import Bundle
    from rnnbench.embedding.conform import conform

    if as_json and markdown:
        raise RnnbenchError("--json and --markdown: give one of them")
    if results and len(bundles) > 1:
        raise RnnbenchError(f"--result is of one bundle: {len(bundles)} given")
    opened = [Bundle.open(path, trust_code=trust_code) for path in dict.fromkeys(bundles)]
    given = [bundle.name for bundle in opened]
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice is not None:
        raise RnnbenchError(f"two bundles have the name {twice!r}: give one of them")
    rows = []
    for bundle in opened:
        about = f"{bundle.name}: " if len(opened) > 1 else ""
        rows += conform(
            bundle,
            _split(names),
            results=results,
            engines=_split(engines),
            profiles=_split(profiles),
            on_progress=lambda line, about=about: note(about + line),  # type: ignore[misc]
        )
    if as_json:
        print_json(document("conform", {"rows": [r.to_json() for r in rows]}, ok=is_fine(rows)))
    elif matrix or markdown or len(opened) > 1:
        say(format_matrix(rows, markdown=markdown), whole=markdown)
    else:
        say(format_conformed(rows))
    return FINE if is_fine(rows) else DIFFERS


def _split(names: Sequence[str]) -> list[str]:
    return [part.strip() for name in names for part in name.split(",") if part.strip()]

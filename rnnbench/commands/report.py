"""`report`: what the measurements say, and how sure that is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnbench.commands._console import note, print_json, say
from rnnbench.commands._options import as_json, option, verb
from rnnbench.core.documents import document

if TYPE_CHECKING:
    from rnnbench.benchmarking.report.material import Material


@verb(
    "Say what was fastest; tables and plots.",
    "rnnbench report                              # the newest results of this machine",
    "rnnbench report results.json --html report.html",
    "rnnbench report results/ --by machine        # of a store: machines side by side",
    "rnnbench report results/ --where \"model='gru' and hidden=128\"",
)
@click.argument("results", metavar="[RESULTS]...", nargs=-1)
@option(
    "--by",
    type=click.Choice(("machine", "commit")),
    help="Of a store: machines side by side with what is fastest on each, or history.",
    group="Of a store",
)
@option(
    "--where",
    metavar="SQL",
    help="Of a store: a condition on its columns, as \"model='gru' and hidden=128\".",
    group="Of a store",
)
@option("--markdown", "style", flag_value="markdown", help="Print Markdown.", group="Output")
@option("--csv", "style", flag_value="csv", help="Print every measured row as CSV.", group="Output")
@as_json
@option(
    "--html", metavar="FILE", help="Write one page; with plots where matplotlib is.", group="Output"
)
@option("--png", metavar="DIR", help="Write the plots alone; needs matplotlib.", group="Output")
def command(
    results: tuple[str, ...],
    by: str | None,
    where: str | None,
    style: str | None,
    as_json: bool,
    html: str | None,
    png: str | None,
) -> None:
    """Say which form and runtime is fastest, and show what was measured.

    RESULTS: files of `bench`, folders of them, stores of `bench --store`, and what `check --json`,
    `inspect --json` and `conform --json` printed; the newest results of this machine unless given.
    With --html or --png alone, only the answers and doubts are printed.
    """
    from rnnbench.benchmarking.report import format_first_lines, format_report, make_report
    from rnnbench.core.errors import RnnbenchError

    if as_json and style:
        raise RnnbenchError(f"--json and --{style}: give one of them")
    store = _store_to_sum_up(results, by, where)
    if store is not None:
        if style == "csv" or html is not None or png is not None:
            raise RnnbenchError(_NO_PAGE)
        _sum_up(store, by, where, style, as_json)
        return
    report = make_report(results, where)
    if html is not None:
        from rnnbench.benchmarking.report.drawing import has_matplotlib
        from rnnbench.benchmarking.report.page import GET_PLOTS, make_page
        from rnnbench.core.whole import write_file

        chosen = [] if where is None else ["--where", where]
        written_by = shlex.join(["rnnbench", "report", *results, *chosen, "--html", html])
        write_file(Path(html), make_page(report, written_by).encode())
        plots = "" if has_matplotlib() else f", without plots: {GET_PLOTS} for these"
        note(f"written to {html}{plots}")
    if png is not None:
        _write_plots(Path(png), report.material)
    if as_json:
        from rnnbench.benchmarking.report.values import to_json

        print_json(document("report", to_json(report)))
    elif style == "csv":
        from rnnbench.benchmarking.report.values import to_csv

        say(to_csv(report.material), nl=False, whole=True)
    elif style == "markdown" or (html is None and png is None):
        say(format_report(report, "markdown" if style else "text"), whole=bool(style))
    else:
        say(format_first_lines(report))


_NO_PAGE = (
    "--csv, --html and --png show a store row by row: choose some rows with --where, without --by"
)


def _store_to_sum_up(results: tuple[str, ...], by: str | None, where: str | None) -> Path | None:
    """The store whose rows are summed up; None where they are shown one by one.

    Raises:
        RnnbenchError: something is asked of a store, and none is given.
    """
    from rnnbench.benchmarking.store.folder import is_store
    from rnnbench.core.errors import RnnbenchError

    stores = [Path(path) for path in results if is_store(Path(path))]
    if not stores and (by or where is not None):
        option_ = "--by" if by else "--where"
        raise RnnbenchError(
            f"{option_} asks a store: give the folder of one, as `rnnbench bench --store FOLDER` "
            "makes it"
        )
    if by and (len(results) > 1 or len(stores) > 1):
        raise RnnbenchError(f"--by {by}: give one store alone, and nothing beside it")
    if not by and len(results) == len(stores) == 1:
        from rnnbench.benchmarking.store.runs import too_many

        return stores[0] if too_many(stores[0], where) else None
    return stores[0] if by else None


def _sum_up(
    store: Path, by: str | None, where: str | None, style: str | None, as_json: bool
) -> None:
    """The tables of a store."""
    from rnnbench.benchmarking.report.stored import make_store_report

    report = make_store_report(store, by=by, where=where, whole=as_json)
    if by is None:
        note("the newest runs have too many rows to show each: choose some with --where")
    if as_json:
        print_json(report.to_json())
    else:
        say(report.to_markdown() if style else str(report), whole=bool(style))


def _write_plots(folder: Path, material: Material) -> None:
    """All are drawn before the first is written."""
    from rnnbench.benchmarking.report.drawing import file_names, to_png
    from rnnbench.benchmarking.report.plots import sections
    from rnnbench.core.errors import RnnbenchError, one_line
    from rnnbench.core.whole import write_file

    plots = [plot for section in sections(material) for plot in section.plots]
    drawn = dict(zip(file_names(plots), map(to_png, plots), strict=True))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RnnbenchError(f"cannot write to {folder} ({one_line(error)}): give another") from None
    for name, data in drawn.items():
        write_file(folder / name, data)
    note(f"{len(drawn)} plots written to {folder}")

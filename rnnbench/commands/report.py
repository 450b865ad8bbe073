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
)
@click.argument("results", metavar="[RESULTS]...", nargs=-1)
@option("--markdown", "style", flag_value="markdown", help="Print Markdown.", group="Output")
@option("--csv", "style", flag_value="csv", help="Print every measured row as CSV.", group="Output")
@as_json
@option(
    "--html", metavar="FILE", help="Write one page; with plots where matplotlib is.", group="Output"
)
@option("--png", metavar="DIR", help="Write the plots alone; needs matplotlib.", group="Output")
def command(
    results: tuple[str, ...], style: str | None, as_json: bool, html: str | None, png: str | None
) -> None:
    """Say which form and runtime is fastest, and show what was measured.

    RESULTS: files of `bench`, folders of them, and what `check --json`, `inspect --json` and
    `conform --json` printed; the newest results of this machine unless given. With --html or --png
    alone, only the answers and doubts are printed.
    """
    from rnnbench.benchmarking.report import format_first_lines, format_report, make_report
    from rnnbench.core.errors import RnnbenchError

    if as_json and style:
        raise RnnbenchError(f"--json and --{style}: give one of them")
    report = make_report(results)
    if html is not None:
        from rnnbench.benchmarking.report.drawing import has_matplotlib
        from rnnbench.benchmarking.report.page import GET_PLOTS, make_page
        from rnnbench.core.whole import write_file

        written_by = shlex.join(["rnnbench", "report", *results, "--html", html])
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

"""A report as one HTML file: no script, nothing from elsewhere, light and dark, any width."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.benchmarking.report import Report
from rnnbench.benchmarking.report.drawing import to_svg
from rnnbench.benchmarking.report.plots import PALETTE, Plot, sections
from rnnbench.benchmarking.report.tables import Table, format_report_table, tables
from rnnbench.core.text import in_html

OPEN_ROWS = 24
"""A table with more rows is folded until the reader opens it."""
_DARK = (
    *("#4da3e0", "#ff8a3d", "#2fc99a", "#e79bc8", "#8fd0f5"),
    *("#e0b23e", "#b39ae0", "#a8a8a8", "#ff7d66", "#6fd6d6"),
)
_SERIES = "; ".join(f"--series{n}: {colour}" for n, colour in enumerate(PALETTE))
_SERIES_DARK = "; ".join(f"--series{n}: {colour}" for n, colour in enumerate(_DARK))

_CSS = f"""
:root {{ color-scheme: light dark; --paper: #ffffff; --ink: #1d1f21; --quiet: #5a5f64;
  --faint: #d7d8d9; --panel: #f6f7f8; --warn: #8a4b00; {_SERIES} }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #15171a; --ink: #e6e7e8; --quiet: #a3a8ad;
  --faint: #3a3e43; --panel: #1e2125; --warn: #f0b060; {_SERIES_DARK} }} }}
* {{ box-sizing: border-box }}
body {{ margin: 0 auto; max-width: 84rem; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }}
h1 {{ font-size: 1.5rem; margin: 0 0 .25rem }}
h2 {{ font-size: 1.15rem; margin: 2rem 0 .5rem }}
p, li {{ max-width: 60rem }}
ul {{ padding-left: 1.2rem }}
.answer li {{ margin-bottom: .4rem; font-weight: 600 }}
.quiet, figcaption span {{ color: var(--quiet); font-size: .85rem }}
.doubts {{ border-left: 4px solid var(--warn); background: var(--panel); padding: .5rem 1rem }}
.doubts h2 {{ margin: 0; color: var(--warn) }}
.plots {{ display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)) }}
figure {{ margin: 0; max-width: 32rem }}
figcaption {{ font-size: .95rem; font-weight: 600; line-height: 1.3; margin-bottom: .3rem }}
figcaption span {{ display: block; font-weight: 400 }}
svg {{ width: 100%; height: auto; font-family: system-ui, sans-serif; overflow: visible }}
.wide {{ overflow-x: auto; border: 1px solid var(--faint); border-radius: 4px }}
table {{ border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }}
th, td {{ padding: .25rem .6rem; white-space: nowrap; border-bottom: 1px solid var(--faint) }}
thead th {{ background: var(--panel); vertical-align: bottom }}
tbody tr:last-child td {{ border-bottom: 0 }}
th:first-child, td:first-child {{ position: sticky; left: 0; background: var(--panel) }}
summary {{ cursor: pointer; font-weight: 600; margin: 1.5rem 0 .5rem }}
"""


def make_page(report: Report) -> str:
    """The whole file.

    Raises:
        Unavailable: matplotlib is not installed.
    """
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>rnnbench report</title><style>{_CSS}</style></head><body>",
        "<h1>rnnbench report</h1>",
        *_origin(report),
        *_list(report.sentences, "answer"),
    ]
    if report.doubts:
        lines += ['<section class="doubts"><h2>Doubts</h2>', *_list(report.doubts), "</section>"]
    for section in sections(report.material):
        lines += [f'<h2>{in_html(section.title)}</h2><div class="plots">']
        lines += [*map(_figure, section.plots), "</div>"]
    for table in tables(report.material, report.advices):
        lines += _table(table)
    lines += [
        '<p class="quiet">us: microseconds. Intervals hold the ratio in 95 of 100 runs: of a pair '
        "measured in turns, a bootstrap over its rounds; else a bootstrap over blocks of "
        "neighbouring samples. p50, p95, p99: so many percent of the calls take at most this.</p>",
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def _origin(report: Report) -> Iterator[str]:
    for machine in report.material.machines:
        newest = machine.results[-1]
        versions = newest.facts.get("versions") or {}
        said = [machine.name, f"measured {newest.created[:19].replace('T', ' ')} UTC"]
        said += [f"{name} {version}" for name, version in versions.items()]
        yield f'<p class="quiet">{in_html(", ".join(said))}</p>'


def _list(lines: tuple[str, ...], name: str = "") -> list[str]:
    mark = f' class="{name}"' if name else ""
    return [f"<ul{mark}>", *(f"<li>{in_html(line)}</li>" for line in lines), "</ul>"]


def _figure(plot: Plot) -> str:
    svg = to_svg(plot).replace("<svg ", f'<svg aria-label="{in_html(plot.title)}" ', 1)
    caption = f"{in_html(plot.title)}<span>{in_html(plot.caption)}</span>"
    return f"<figure><figcaption>{caption}</figcaption>{svg}</figure>"


def _table(table: Table) -> list[str]:
    folded = "" if len(table.rows) > OPEN_ROWS else " open"
    count = f"{len(table.rows)} row{'' if len(table.rows) == 1 else 's'}"
    return [
        f"<details{folded}><summary>{in_html(table.title)} ({count})</summary>",
        f'<div class="wide">{format_report_table(table, "html")}</div></details>',
    ]

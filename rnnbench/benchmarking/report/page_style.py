"""How a page looks: colours for light and dark, on a phone and printed.

Every pair of colours that meets is in `TEXT_PAIRS` or `GRAPHIC_PAIRS`, whose contrast a test
computes (WCAG 2.2, AA: 4.5:1 for text, 3:1 for what is drawn).
"""

from __future__ import annotations

from rnnbench.benchmarking.report import svg
from rnnbench.benchmarking.report.colours import PALETTE

_DARK_PALETTE = (
    *("#4da3e0", "#ff8a3d", "#2fc99a", "#e79bc8", "#8fd0f5"),
    *("#e0b23e", "#b39ae0", "#a8a8a8", "#ff7d66", "#6fd6d6"),
)
LIGHT = {
    "paper": "#ffffff",
    "panel": "#f3f4f5",
    "ink": "#1d1f21",
    "quiet": "#5a5f64",
    "faint": "#d7d8d9",
    "edge": "#85898d",
    "link": "#0b63a5",
    "good": "#0a6b3d",
    "warn": "#8a4b00",
    "bad": "#b3261e",
} | {f"series{n}": colour for n, colour in enumerate(PALETTE)}
DARK = {
    "paper": "#15171a",
    "panel": "#1e2125",
    "ink": "#e6e7e8",
    "quiet": "#a3a8ad",
    "faint": "#3a3e43",
    "edge": "#7d8288",
    "link": "#7cc0f5",
    "good": "#6ddc9c",
    "warn": "#f0b060",
    "bad": "#ff9a8f",
} | {f"series{n}": colour for n, colour in enumerate(_DARK_PALETTE)}

_BACKGROUNDS = ("paper", "panel")
TEXT_PAIRS = tuple(
    (text, ground)
    for text in ("ink", "quiet", "link", "good", "warn", "bad")
    for ground in _BACKGROUNDS
)
GRAPHIC_PAIRS = tuple(
    (name, ground)
    for name in ("edge", *(f"series{n}" for n in range(len(PALETTE))))
    for ground in _BACKGROUNDS
)


def _variables(colours: dict[str, str]) -> str:
    return "; ".join(f"--{name}: {colour}" for name, colour in colours.items())


_RULES = """
* { box-sizing: border-box }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100% }
body { margin: 0 auto; max-width: 84rem; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
a { color: var(--link) }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
h1 { font-size: 1.5rem; margin: 0 0 .25rem }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
p, li { max-width: 60rem }
ul { padding-left: 1.2rem }
code { font-family: ui-monospace, monospace; font-size: .9em }
.quiet, figcaption span { color: var(--quiet); font-size: .85rem }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; list-style: none; padding: 0;
  margin: .6rem 0 0; font-size: .9rem }
nav a { display: inline-block; padding: .2rem 0 }
.cards { display: grid; gap: 1rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)) }
.card { border: 1px solid var(--edge); border-left: 5px solid var(--good); border-radius: 6px;
  padding: .7rem 1rem; background: var(--panel) }
.card.provisional { border-left-color: var(--warn) }
.card.wrong { border-left-color: var(--bad) }
.card h3 { font-size: 1.05rem; line-height: 1.35; margin: 0 }
.card h3 b { display: block }
.card h3 b::first-letter { text-transform: uppercase }
.card h3 span { display: block; font-weight: 400; font-size: .9rem; color: var(--quiet) }
.card .key { font-size: 1.05rem; font-weight: 600; margin: .25rem 0 }
.card ul { margin: .4rem 0 0; font-size: .9rem }
.warn { color: var(--warn) }
.bad { color: var(--bad) }
.good { color: var(--good) }
.doubts { border-left: 5px solid var(--warn); background: var(--panel); padding: .5rem 1rem;
  margin: 1.5rem 0 }
.doubts h2 { margin: 0; color: var(--warn) }
.plots { display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(21rem, 100%), 1fr)); align-items: start }
figure { margin: 0; max-width: 36rem }
figcaption { font-size: .95rem; font-weight: 600; line-height: 1.3; margin-bottom: .3rem }
figcaption span { display: block; font-weight: 400 }
svg { width: 100%; height: auto; font-family: system-ui, sans-serif; overflow: visible }
svg text { paint-order: stroke; stroke: var(--paper); stroke-width: 3px }
.wide { overflow-x: auto; border: 1px solid var(--edge); border-radius: 4px;
  max-height: 40rem; overflow-y: auto }
table { border-collapse: separate; border-spacing: 0; font-size: .85rem;
  font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; white-space: nowrap; border-bottom: 1px solid var(--faint);
  text-align: right; background: var(--paper); overflow-wrap: break-word }
thead th { background: var(--panel); vertical-align: bottom; position: sticky; top: 0; z-index: 2;
  white-space: normal; min-width: 4.5rem }
.l { text-align: left }
td.l { white-space: normal; min-width: 7rem; max-width: 34rem }
tbody th { text-align: left; font-weight: 400; position: sticky; left: 0; z-index: 1;
  background: var(--panel); white-space: normal; min-width: 9rem; max-width: 24rem }
thead th:first-child { left: 0; z-index: 3; text-align: left }
.k { position: sticky; right: 0; z-index: 1; font-weight: 600; border-left: 1px solid var(--faint) }
thead .k { z-index: 2 }
th span { cursor: pointer; text-decoration: underline dotted }
th[aria-sort=ascending] span::after { content: " \\25B2" }
th[aria-sort=descending] span::after { content: " \\25BC" }
summary { cursor: pointer; font-weight: 600; padding: .3rem 0 }
details { margin: 1rem 0 }
@media (max-width: 40rem) {
  tbody th, thead th:first-child { width: 8.5rem; min-width: 8.5rem; max-width: 8.5rem }
  .k { left: 8.5rem }
  td.k { white-space: normal; min-width: 5rem; max-width: 7rem }
  .card .key { font-size: 1rem }
}
"""

_PRINT = """
@media print {
  @page { margin: 14mm }
  body { max-width: none; padding: 0; font-size: 10pt }
  nav { display: none }
  th span { text-decoration: none }
  details::details-content { content-visibility: visible; height: auto; display: block }
  .wide { overflow: visible; max-height: none; border: 0 }
  thead th, tbody th, .k { position: static }
  table { font-size: 6.5pt }
  th, td { padding: 1pt 3pt; min-width: 0 !important; overflow-wrap: normal }
  tbody th { min-width: 38mm !important }
  svg { max-height: 23cm }
  thead { display: table-header-group }
  tr, figure, .card, li { break-inside: avoid }
  h2, summary { break-after: avoid }
  .plots { grid-template-columns: 1fr 1fr }
  .cards { grid-template-columns: 1fr 1fr }
}
"""

STYLE = (
    f":root {{ color-scheme: light dark; {_variables(LIGHT)} }}\n"
    f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}"
    f"{_RULES}{_PRINT}{svg.STYLE}\n"
)
"""Print has the light colours, whatever the screen has."""

"""Plots -> SVG for a page, PNG for a file.

The SVG keeps text as text and takes its colours from the page, so that it is sharp at any size and
follows light and dark. Needs matplotlib, which is imported here alone.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import TYPE_CHECKING, Any

from rnnbench.benchmarking.report.colours import FAINT, INK, PALETTE, PAPER
from rnnbench.benchmarking.report.plots import Plot
from rnnbench.benchmarking.report.svg import compact
from rnnbench.core.errors import Unavailable
from rnnbench.core.text import harmless

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 4.0
"""Inches; 288 points, so that a phone shows letters in about their own size."""
DPI = 200
CAPTION_WIDTH = 62
_NAME = 60  # letters of a file, in any script

_RIGHT, _TOP, _BOTTOM = 0.12, 0.1, 0.5
_LEGEND_ROW = 0.2

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar in a name is a dollar
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.2,
}
_IN_PAGE = {INK: "currentColor", FAINT: "var(--faint)", PAPER: "var(--paper)"} | {
    colour: f"var(--series{number})" for number, colour in enumerate(PALETTE)
}


def require_matplotlib() -> None:
    """Raises `Unavailable` with the remedy where there is no matplotlib."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise Unavailable("matplotlib is not installed: pip install 'rnnbench[plot]'") from None


def has_matplotlib() -> bool:
    """Whether plots can be drawn here."""
    try:
        require_matplotlib()
    except Unavailable:
        return False
    return True


def to_svg(plot: Plot) -> str:
    """An `<svg>` element whose colours are the page's `currentColor`, `--faint`, `--series0`..."""
    text = io.StringIO()
    with _figure(plot, {"svg.hashsalt": plot.name}) as figure:
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = compact(svg[svg.index("<svg") :])
    return re.sub("|".join(_IN_PAGE), lambda found: _IN_PAGE[found[0]], svg)


def file_names(plots: Sequence[Plot]) -> list[str]:
    """A file's name for each: the names of models are in them, and may be anything."""
    names: list[str] = []
    for plot in plots:
        name = re.sub(r"[^\w.-]+", "_", plot.name)[:_NAME]
        same = sum(other.partition("~")[0] in (name, f"{name}.png") for other in names)
        names.append(f"{name}~{same + 1}.png" if same else f"{name}.png")
    return names


def to_png(plot: Plot) -> bytes:
    """A picture on white paper, with its title and caption."""
    data = io.BytesIO()
    with _figure(plot, {}) as figure:
        figure.text(
            0.02,
            1.02,
            harmless(plot.title),
            weight="bold",
            va="bottom",
            transform=figure.transFigure,
        )
        figure.text(0.02, -0.02, fill(harmless(plot.caption), CAPTION_WIDTH), va="top", size=8)
        figure.savefig(data, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")
    return data.getvalue()


@contextmanager
def _figure(plot: Plot, style: dict[str, Any]) -> Iterator[Figure]:
    """The drawn plot: axes of its own height, the legend below them."""
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    known: Any = _STYLE | style
    with mpl.rc_context(known), warnings.catch_warnings():
        # Names of any script: a page shows them with its reader's fonts.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        columns = 2 if all(len(label) <= 26 for label, _ in plot.legend) else 1
        rows = -(-len(plot.legend) // columns)
        legend = rows * _LEGEND_ROW + (0.08 if rows else 0)
        height = _TOP + plot.height + _BOTTOM + legend
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes(
            (
                plot.left / WIDTH,
                (_BOTTOM + legend) / height,
                (WIDTH - plot.left - _RIGHT) / WIDTH,
                plot.height / height,
            )
        )
        plot.draw(axes)
        if plot.legend:
            handles = [Line2D([], [], label=_label(text), **look) for text, look in plot.legend]
            place: Any = {"loc": "upper left", "bbox_to_anchor": (0.0, legend / height)}
            figure.legend(handles=handles, ncols=columns, borderaxespad=0, **place)
        yield figure


def _label(text: str) -> str:
    """Of a legend; matplotlib leaves out what begins with an underscore."""
    shown = harmless(text)
    return f" {shown}" if shown.startswith("_") else shown

"""What comes before the first steady call: export, load, first call; a line for each artifact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rnnbench.benchmarking.report.material import Material
from rnnbench.benchmarking.report.names import implementation_name, implementation_of
from rnnbench.benchmarking.report.plots import PALETTE, Plot
from rnnbench.benchmarking.report.scales import time_axis
from rnnbench.benchmarking.results import Cost

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Export, load and first call"
ORDER = 40
ROW = 0.27
PARTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("export_s", "export", {"color": PALETTE[0], "marker": "o"}),
    ("load_s", "load", {"color": PALETTE[1], "marker": "s"}),
    ("first_call_s", "first call", {"color": PALETTE[2], "marker": "^"}),
)


def plots(material: Material) -> Iterator[Plot]:
    """One for each model, at the largest sizes that were measured."""
    for number, machine in enumerate(material.machines):
        for model in dict.fromkeys(row.model for row in machine.costs):
            rows = [row for row in machine.costs if row.model == model]
            largest = max(map(_size, rows))
            rows = [row for row in rows if _size(row) == largest]
            where = f" on {machine.name}" if len(material.machines) > 1 else ""
            yield _plot(f"cost-{model}" + (f"-{number}" if where else ""), model, rows, where)


def _plot(name: str, model: str, rows: list[Cost], where: str) -> Plot:
    rows = sorted(rows, key=lambda row: (row.runtime, row.mode, row.form), reverse=True)
    names = [implementation_name(implementation_of(row)) for row in rows]

    def draw(axes: Axes) -> None:
        for part, _, look in PARTS:
            found = [(getattr(row, part), y) for y, row in enumerate(rows)]
            points = [(seconds, y) for seconds, y in found if seconds]
            if points:
                axes.plot(*zip(*points, strict=True), **look | {"linestyle": ""})
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_yticks([])
        for y, text in enumerate(names):  # above its line: beside it, long names have no room
            axes.annotate(
                text,
                (0, y),
                xytext=(3, 5),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                size=7.5,
            )
            axes.axhline(y, color="#8c8c8c", linewidth=0.5)
        axes.grid(visible=False, axis="y")
        time_axis(axes, horizontal=True)
        axes.set_xlabel("time, once")

    legend = tuple((label, look | {"linestyle": ""}) for _, label, look in PARTS)
    hidden = "" if rows[0].hidden is None else f", hidden {rows[0].hidden}"
    said = f"batch {rows[0].batch}{hidden}, layers: {rows[0].layers or '-'}"
    height = max(1.0, 1.5 * ROW * len(rows))
    title = f"{model}: what it costs before the first steady call"
    return Plot(name, title, f"{said}{where}", draw, height, legend)


def _size(row: Cost) -> tuple[int, ...]:
    return (row.hidden or 0, -row.batch, row.time, row.layers or 0, -row.threads)

"""What comes before the first steady call: export, load, first call; a line for each artifact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rnnbench.benchmarking.report.colours import PALETTE
from rnnbench.benchmarking.report.material import Material
from rnnbench.benchmarking.report.names import implementation_name, implementation_of
from rnnbench.benchmarking.report.plots import Plot
from rnnbench.benchmarking.report.row_charts import LEFT, Line, draw_lines, height
from rnnbench.benchmarking.report.scales import time_axis
from rnnbench.benchmarking.report.units import seconds
from rnnbench.benchmarking.results import Cost

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Export, load and first call"
ORDER = 40
PARTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("export_s", "export", {"color": PALETTE[0], "marker": "o"}),
    ("load_s", "load", {"color": PALETTE[1], "marker": "s"}),
    ("first_call_s", "first call", {"color": PALETTE[2], "marker": "^"}),
)

Axis = tuple[float, float]


def plots(material: Material) -> Iterator[Plot]:
    """One for each model, at the largest sizes that were measured; all on one axis."""
    chosen: list[tuple[str, str, list[Cost], str]] = []
    for number, machine in enumerate(material.machines):
        for model in dict.fromkeys(row.model for row in machine.costs):
            rows = [row for row in machine.costs if row.model == model]
            largest = max(map(_size, rows))
            rows = [row for row in rows if _size(row) == largest and _times(row)]
            where = f" on {machine.name}" if len(material.machines) > 1 else ""
            name = f"cost-{model}" + (f"-{number}" if where else "")
            chosen += [(name, model, rows, where)] if rows else []
    every = [time for _, _, rows, _ in chosen for row in rows for time in _times(row).values()]
    for name, model, rows, where in chosen:
        yield _plot(name, model, rows, where, (min(every) / 1.3, max(every) * 1.3))


def _times(row: Cost) -> dict[str, float]:
    """Seconds of each part that was measured."""
    found = {name: getattr(row, part) for part, name, _ in PARTS}
    return {name: time for name, time in found.items() if time}


def _plot(name: str, model: str, rows: Sequence[Cost], where: str, axis: Axis) -> Plot:
    rows = sorted(rows, key=lambda row: (row.runtime, row.mode, row.form))
    lines = [Line(implementation_name(implementation_of(row))) for row in rows]

    def draw(axes: Axes) -> None:
        draw_lines(axes, lines)
        for part, _, look in PARTS:
            found = [(getattr(row, part), -i) for i, row in enumerate(rows)]
            points = [(time, y) for time, y in found if time]
            if points:
                axes.plot(*zip(*points, strict=True), **look | {"linestyle": ""})
        axes.set_xlim(*axis)
        time_axis(axes, horizontal=True)
        axes.set_xlim(*axis)
        axes.set_xlabel("time, once (log; the same axis for each model)")

    legend = tuple((label, look | {"linestyle": ""}) for _, label, look in PARTS)
    hidden = "" if rows[0].hidden is None else f", hidden {rows[0].hidden}"
    layers = "" if rows[0].layers is None else f", layers: {rows[0].layers}"
    caption = f"batch {rows[0].batch}{hidden}{layers}{where}"
    title = f"{model}: what it costs before the first steady call"
    alt = f"{title}, {caption}. {' '.join(_extremes(rows))}"
    return Plot(name, title, caption, alt, draw, height(lines), legend, LEFT)


def _extremes(rows: Sequence[Cost]) -> Iterator[str]:
    for _, name, _ in PARTS:
        found = [(_times(row)[name], n) for n, row in enumerate(rows) if name in _times(row)]
        if found:
            ends = [
                f"{seconds(time)} ({implementation_name(implementation_of(rows[n]))})"
                for time, n in (min(found), max(found))
            ]
            yield f"{name.capitalize()}: from {ends[0]} to {ends[1]}."


def _size(row: Cost) -> tuple[int, ...]:
    return (row.hidden or 0, -row.batch, row.time, row.layers or 0, -row.threads)

"""Loop/fused at each size: where a cell loop is slower than the fused layer, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from rnnbench.benchmarking.report.intervals import Interval
from rnnbench.benchmarking.report.material import Machine, Material
from rnnbench.benchmarking.report.names import (
    Conditions,
    conditions_of,
    implementation_of,
    runtime_name,
)
from rnnbench.benchmarking.report.plots import Plot
from rnnbench.benchmarking.report.recommendation import Ratios
from rnnbench.benchmarking.results import Latency

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Cell loop against fused layer"
ORDER = 20
ROW, NAMED_ROW = 0.3, 0.42
SPREAD = 8.0
"""The ratio at which the colours end."""
CAPTION = (
    "time of the loop / time of the fused layer; orange: the loop is slower, purple: it is faster, "
    "?: cannot tell"
)


class _Panel(NamedTuple):
    machine: str
    model: str
    runtime: str
    mode: str
    device: str
    threads: int
    layers: int | None


class _Cell(NamedTuple):
    hidden: int
    batch: int
    time: int
    runtime: str


def plots(material: Material) -> Iterator[Plot]:
    """A map for each model and runtime; of one size only, all runtimes of a model in one map."""
    several = len(material.machines) > 1
    for number, machine in enumerate(material.machines):
        maps: dict[_Panel, dict[_Cell, Interval]] = {}
        for panel, cells in _panels(machine).items():
            single = len({(c.batch, c.time) for c in cells}) == 1
            together = panel._replace(runtime="", mode="") if single else panel
            row = runtime_name(panel.runtime, panel.mode) if single else ""
            maps.setdefault(together, {}).update(
                {_Cell(c.hidden or 0, c.batch, c.time, row): found for c, found in cells.items()}
            )
        for panel, found in maps.items():
            name = "-".join(
                str(part)
                for part in ("crossover", *panel[1:], number if several else "")
                if part not in ("", None)
            )
            yield _plot(name, panel, found, machine.name if several else "")


def _panels(machine: Machine) -> dict[_Panel, dict[Conditions, Interval]]:
    rows = {(conditions_of(row), implementation_of(row)): row for row in machine.latencies}
    ratios = Ratios(machine)
    found: dict[_Panel, dict[Conditions, Interval]] = {}
    for (conditions, subject), loop in rows.items():
        fused = rows.get((conditions, replace(subject, form="fused")))
        if subject.form == "loop" and fused is not None:
            panel = _panel(machine, loop)
            found.setdefault(panel, {})[conditions] = ratios.of(loop, fused)
    return found


def _panel(machine: Machine, row: Latency) -> _Panel:
    where = (row.device, row.threads, row.layers)
    return _Panel(machine.name, row.model, row.runtime, row.mode, *where)


def _plot(name: str, panel: _Panel, cells: dict[_Cell, Interval], where: str) -> Plot:
    hidden = sorted({cell.hidden for cell in cells})
    rows = sorted({cell[1:] for cell in cells}, reverse=True)
    named = not panel.runtime

    def draw(axes: Axes) -> None:
        for cell, found in cells.items():
            _fill(axes, hidden.index(cell.hidden), rows.index(cell[1:]), found, named)
        axes.set_xlim(-0.5, len(hidden) - 0.5)
        axes.set_ylim(-0.5, len(rows) - 0.5)
        axes.set_xticks(range(len(hidden)), [str(size) for size in hidden])
        if named:  # above its cells: beside them, long names have no room
            axes.set_yticks([])
            for y, (_, _, runtime) in enumerate(rows):
                axes.text(-0.48, y + 0.2, runtime, va="bottom", size=7.5)
        else:
            axes.set_yticks(range(len(rows)), [f"{batch} x {time}" for batch, time, _ in rows])
            axes.set_ylabel("batch x steps")
        axes.set_xlabel("hidden size")
        axes.grid(visible=False)

    said = [panel.device, f"threads: {panel.threads}"]
    said += [f"layers: {panel.layers}"] if panel.layers else []
    said += [f"batch {rows[0][0]}, steps: {rows[0][1]}"] if named else []
    said += [where] if where else []
    runtime = "" if named else f" in {runtime_name(panel.runtime, panel.mode)}"
    height = max(1.0, (NAMED_ROW if named else ROW) * len(rows))
    title = f"{panel.model}{runtime}: loop / fused"
    return Plot(name, title, f"{', '.join(said)}; {CAPTION}", draw, height)


def _fill(axes: Axes, x: int, y: int, found: Interval, named: bool) -> None:
    """One cell: its colour by the logarithm of the ratio, its number, and a doubt."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    place = min(max(math.log(found.ratio) / math.log(SPREAD), -1), 1)
    height = 0.62 if named else 0.92
    colour = colormaps["PuOr_r"](0.5 + 0.5 * place)
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, height, facecolor=colour))
    text = f"{found.ratio:.2f}" if found.ratio < 10 else f"{found.ratio:.0f}"
    ink = "#ffffff" if abs(place) > 0.75 else "#000000"
    label = text if found.tells else f"{text} ?"
    middle = y - 0.46 + height / 2
    axes.text(x, middle, label, ha="center", va="center", color=ink, size=8)

"""Loop/fused at each size: where a cell loop is slower than the fused layer, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from rnnbench.report.intervals import Interval
from rnnbench.report.material import Machine, Material
from rnnbench.report.names import Conditions, conditions_of, runtime_name, subject_of
from rnnbench.report.plots import Plot
from rnnbench.report.recommendation import Ratios
from rnnbench.results import Latency

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Cell loop against fused layer"
ORDER = 20
ROW = 0.3
SPREAD = 8.0
"""The ratio at which the colours end."""
CAPTION = (
    "time of the loop / time of the fused layer; orange: the loop is slower, blue: it is faster, "
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


def plots(material: Material) -> Iterator[Plot]:
    """A map for each model and runtime."""
    several = len(material.machines) > 1
    for number, machine in enumerate(material.machines):
        for panel, cells in _panels(machine).items():
            name = "-".join(
                str(part)
                for part in ("crossover", *panel[1:], number if several else "")
                if part not in ("", None)
            )
            yield _plot(name, panel, cells, machine.name if several else "")


def _panels(machine: Machine) -> dict[_Panel, dict[Conditions, Interval]]:
    rows = {(conditions_of(row), subject_of(row)): row for row in machine.latencies}
    ratios = Ratios(machine)
    found: dict[_Panel, dict[Conditions, Interval]] = {}
    for (conditions, subject), loop in rows.items():
        fused = rows.get((conditions, subject._replace(form="fused")))
        if subject.form == "loop" and fused is not None:
            panel = _panel(machine, loop)
            found.setdefault(panel, {})[conditions] = ratios.of(loop, fused)
    return found


def _panel(machine: Machine, row: Latency) -> _Panel:
    where = (row.device, row.threads, row.layers)
    return _Panel(machine.name, row.model, row.runtime, row.mode, *where)


def _plot(name: str, panel: _Panel, cells: dict[Conditions, Interval], where: str) -> Plot:
    hidden = sorted({c.hidden or 0 for c in cells})
    sizes = sorted({(c.batch, c.time) for c in cells}, reverse=True)

    def draw(axes: Axes) -> None:
        from matplotlib import colormaps
        from matplotlib.patches import Rectangle

        colours = colormaps["PuOr_r"]
        for conditions, found in cells.items():
            x = hidden.index(conditions.hidden or 0)
            y = sizes.index((conditions.batch, conditions.time))
            place = min(max(math.log(found.ratio) / math.log(SPREAD), -1), 1)
            colour = colours(0.5 + 0.5 * place)
            axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour))
            text = f"{found.ratio:.2f}" if found.ratio < 10 else f"{found.ratio:.0f}"
            ink = "#ffffff" if abs(place) > 0.55 else "#000000"
            label = text if found.tells else f"{text} ?"
            axes.text(x, y, label, ha="center", va="center", color=ink, size=8)
        axes.set_xlim(-0.5, len(hidden) - 0.5)
        axes.set_ylim(-0.5, len(sizes) - 0.5)
        axes.set_xticks(range(len(hidden)), [str(size) for size in hidden])
        axes.set_yticks(range(len(sizes)), [f"{batch} x {time}" for batch, time in sizes])
        axes.set_xlabel("hidden size")
        axes.set_ylabel("batch x steps")
        axes.grid(visible=False)

    said = [panel.device, f"threads: {panel.threads}"]
    said += [f"layers: {panel.layers}"] if panel.layers else []
    said += [where] if where else []
    title = f"{panel.model} in {runtime_name(panel.runtime, panel.mode)}: loop / fused"
    height = max(1.0, ROW * len(sizes))
    return Plot(name, title, f"{', '.join(said)}; {CAPTION}", draw, height)

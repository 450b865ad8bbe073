"""Loop/fused at each size: where a cell loop is slower than the fused layer, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from rnnbench.benchmarking.plan import runtime_name
from rnnbench.benchmarking.report.intervals import Interval
from rnnbench.benchmarking.report.material import Machine, Material
from rnnbench.benchmarking.report.names import conditions_of, implementation_of
from rnnbench.benchmarking.report.plots import Plot
from rnnbench.benchmarking.report.recommendation import Ratios
from rnnbench.benchmarking.results import Latency

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Cell loop against fused layer"
ORDER = 20
ROW = 0.25
MOST_ROWS = 32
"""Of one picture, with the names of runtimes among them."""
SPREAD = 8.0
"""The ratio at which the colours end."""
CAPTION = (
    "time of the loop / time of the fused layer; orange: the loop is slower, purple: it is faster, "
    "?: cannot tell"
)


class _Panel(NamedTuple):
    model: str
    device: str
    threads: int
    layers: int | None


class _Cell(NamedTuple):
    hidden: int
    batch: int
    time: int


Map = dict[_Cell, Interval]
Maps = dict[tuple[str, str], Map]
"""By runtime and mode."""


def plots(material: Material) -> Iterator[Plot]:
    """A map for each model where several sizes were measured; of many runtimes, several maps.

    What was measured at one size only is among the ratios.
    """
    several = len(material.machines) > 1
    for number, machine in enumerate(material.machines):
        for panel, maps in _panels(machine).items():
            if max(map(len, maps.values())) < 2:
                continue
            for part, some in enumerate(_legible(maps)):
                extra = (str(number) if several else "", f"part{part + 1}" if part else "")
                sizes = (str(value) for value in panel if value is not None)
                name = "-".join(filter(None, ("crossover", *sizes, *extra)))
                yield _plot(name, panel, some, machine.name if several else "")


def _panels(machine: Machine) -> dict[_Panel, Maps]:
    rows = {(conditions_of(row), implementation_of(row)): row for row in machine.latencies}
    ratios = Ratios(machine)
    found: dict[_Panel, Maps] = {}
    for (conditions, subject), loop in rows.items():
        fused = rows.get((conditions, replace(subject, form="fused")))
        if subject.form == "loop" and fused is not None:
            panel = _Panel(loop.model, loop.device, loop.threads, loop.layers)
            cells = found.setdefault(panel, {}).setdefault((loop.runtime, loop.mode), {})
            cells[_cell(loop)] = ratios.of(loop, fused)
    return found


def _cell(row: Latency) -> _Cell:
    return _Cell(row.hidden or 0, row.batch, row.time)


def _legible(maps: Maps) -> Iterator[Maps]:
    """The runtimes in order, as many at once as a picture has rows for."""
    some: Maps = {}
    for key in sorted(maps):
        if some and len(_rows(some)) + len(_rows({key: maps[key]})) > MOST_ROWS:
            yield some
            some = {}
        some[key] = maps[key]
    yield some


def _rows(maps: Maps) -> list[tuple[tuple[str, str], tuple[int, int] | None]]:
    """A row for each runtime's name (None), and below it one for each batch and length."""
    return [
        (key, row)
        for key, cells in maps.items()
        for row in (None, *sorted({(cell.batch, cell.time) for cell in cells}))
    ]


def _plot(name: str, panel: _Panel, maps: Maps, where: str) -> Plot:
    hidden = sorted({cell.hidden for cells in maps.values() for cell in cells})
    rows = _rows(maps)

    def draw(axes: Axes) -> None:
        ticks = {}
        for y, (key, row) in enumerate(rows):
            if row is None:
                axes.text(-0.48, -y - 0.3, runtime_name(*key), size=7.5)
                continue
            ticks[-y] = f"{row[0]} x {row[1]}"
            for x, size in enumerate(hidden):
                found = maps[key].get(_Cell(size, *row))
                if found is not None:
                    _fill(axes, x, -y, found)
        axes.set_xlim(-0.5, len(hidden) - 0.5)
        axes.set_ylim(-len(rows) + 0.5, 0.5)
        axes.set_xticks(range(len(hidden)), [str(size) for size in hidden])
        axes.set_yticks(list(ticks), list(ticks.values()), size=7.5)
        axes.set_ylabel("batch x steps")
        axes.set_xlabel("hidden size")
        axes.grid(visible=False)

    said = [panel.device, f"threads: {panel.threads}"]
    said += [f"layers: {panel.layers}"] if panel.layers else []
    said += [where] if where else []
    title = f"{panel.model}: loop / fused"
    caption = f"{', '.join(said)}; {CAPTION}"
    alt = f"{title}, {', '.join(said)}: {_extremes(maps)}"
    return Plot(name, title, caption, alt, draw, max(1.0, ROW * len(rows)))


def _extremes(maps: Mapping[tuple[str, str], Map]) -> str:
    cells = [(found.ratio, key, cell) for key, map_ in maps.items() for cell, found in map_.items()]
    ends = [
        f"{ratio:.2f} ({runtime_name(*key)}, hidden {cell.hidden}, batch {cell.batch}, "
        f"steps: {cell.time})"
        for ratio, key, cell in (min(cells), max(cells))
    ]
    return f"{len(cells)} sizes, from {ends[0]} to {ends[1]}."


def _fill(axes: Axes, x: int, y: int, found: Interval) -> None:
    """One cell: its colour by the logarithm of the ratio, its number, and a doubt."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    place = min(max(math.log(found.ratio) / math.log(SPREAD), -1), 1)
    colour = colormaps["PuOr_r"](0.5 + 0.5 * place)
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour))
    text = f"{found.ratio:.2f}" if found.ratio < 10 else f"{found.ratio:.0f}"
    label = text if found.tells else f"{text} ?"
    axes.text(x, y, label, ha="center", va="center_baseline", color=ink_on(colour), size=7.5)


def ink_on(colour: tuple[float, float, float, float]) -> str:
    """Black or white, whichever stands out more (relative luminance of WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    light = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#000000" if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else "#ffffff"

"""What was measured in turns: each ratio with its interval, beside the line of no difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rnnbench.benchmarking.report.colours import INK, PALETTE
from rnnbench.benchmarking.report.material import Material
from rnnbench.benchmarking.report.names import Conditions, conditions_text, ratio_name
from rnnbench.benchmarking.report.plots import Plot
from rnnbench.benchmarking.report.row_charts import (
    BEHIND,
    LEFT,
    Line,
    draw_lines,
    height,
    is_at,
    usual_conditions,
)
from rnnbench.benchmarking.report.scales import ratio_axis
from rnnbench.benchmarking.report.units import interval
from rnnbench.benchmarking.results import Ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Measured in turns"
ORDER = 15
KINDS = {
    "loop/fused": "Cell loop / fused layer",
    "runtime/runtime": "Runtime / runtime",
    "ours/stock": "Our file / the stock exporter's",
}
LOOKS: dict[str, dict[str, Any]] = {
    "faster": {"color": PALETTE[2], "marker": "o"},
    "slower": {"color": PALETTE[1], "marker": "s"},
    "cannot tell": {"color": PALETTE[7], "marker": "D", "markerfacecolor": "none"},
}


def plots(material: Material) -> Iterator[Plot]:
    """One for each model, under the conditions that stand for all."""
    for number, machine in enumerate(material.machines):
        where = f" on {machine.name}" if len(material.machines) > 1 else ""
        for conditions in usual_conditions(machine):
            rows = [r for r in machine.ratios if r.what in KINDS and is_at(r, conditions)]
            if rows:
                parts = ("ratios", conditions.model, conditions.device, number if where else "")
                name = "-".join(str(part) for part in parts if part != "")
                yield _plot(name, conditions, rows, where)


def _plot(name: str, conditions: Conditions, rows: Sequence[Ratio], where: str) -> Plot:
    lines: list[Line] = []
    places: list[tuple[int, Ratio]] = []
    for kind, title in KINDS.items():
        found = sorted((r for r in rows if r.what == kind), key=lambda row: row.ratio)
        lines += [Line(title, heading=True)] if found else []
        for row in found:
            places.append((-len(lines), row))
            lines.append(Line(ratio_name(row)))

    def draw(axes: Axes) -> None:
        draw_lines(axes, lines)
        axes.axvline(1, color=INK, linewidth=1, zorder=BEHIND)
        for y, row in places:
            look = LOOKS.get(row.verdict, LOOKS["cannot tell"])
            axes.plot([row.low, row.high], [y, y], color=look["color"], linewidth=2)
            axes.plot([row.ratio], [y], **look | {"linestyle": "", "markersize": 4.5})
        ratio_axis(axes, [end for _, row in places for end in (row.low, row.high, 1.0)])
        axes.set_xlabel("time of this / time of the other (log)")

    said = f"{conditions_text(conditions, {'model'})}{where}"
    verdicts = sorted({row.verdict for row in rows} & LOOKS.keys())
    legend = tuple((_told(verdict), LOOKS[verdict] | {"linestyle": ""}) for verdict in verdicts)
    low, high = (f(rows, key=lambda row: row.ratio) for f in (min, max))
    ends = [f"{interval(r.ratio, r.low, r.high)} ({ratio_name(r)})" for r in (low, high)]
    alt = f"{len(rows)} ratios of {conditions.model}, {said}: from {ends[0]} to {ends[1]}."
    caption = f"{said}; the line at 1: equally fast; bars: 95 % intervals"
    return Plot(
        name, f"{conditions.model}: ratios", caption, alt, draw, height(lines), legend, LEFT
    )


def _told(verdict: str) -> str:
    return verdict if verdict == "cannot tell" else f"this is {verdict}"

"""Whether a model keeps up with its signal: seconds of computing for each second of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rnnbench.benchmarking.plan import runtime_name
from rnnbench.benchmarking.report.colours import INK
from rnnbench.benchmarking.report.material import Material
from rnnbench.benchmarking.report.names import (
    Conditions,
    conditions_text,
    implementation_name,
    implementation_of,
)
from rnnbench.benchmarking.report.plots import Looks, Plot, form_legend, form_look
from rnnbench.benchmarking.report.row_charts import (
    BEHIND,
    LEFT,
    Line,
    draw_lines,
    height,
    usual_conditions,
)
from rnnbench.benchmarking.report.scales import ratio_axis
from rnnbench.benchmarking.report.units import digits
from rnnbench.benchmarking.results import Latency

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Real time"
ORDER = 35


def plots(material: Material) -> Iterator[Plot]:
    """One for each model that declares `frames_per_second`."""
    looks = Looks.of(material)
    for number, machine in enumerate(material.machines):
        where = f" on {machine.name}" if len(material.machines) > 1 else ""
        for conditions, measured in usual_conditions(machine).items():
            rows = [row for row in measured if row.frames_per_second]
            if rows:
                name = f"real-time-{conditions.model}" + (f"-{number}" if where else "")
                yield _plot(name, conditions, rows, looks, where)


def factor(row: Latency) -> float:
    """The real-time factor: seconds of a call for each second of signal in it."""
    return row.p50 * (row.frames_per_second or 0) / row.time


def _plot(
    name: str, conditions: Conditions, rows: Sequence[Latency], looks: Looks, where: str
) -> Plot:
    rows = sorted(rows, key=factor)
    keys = list(dict.fromkeys((row.runtime, row.mode) for row in rows))
    lines = [Line(runtime_name(*key)) for key in keys]

    def draw(axes: Axes) -> None:
        draw_lines(axes, lines)
        axes.axvline(1, color=INK, linewidth=1, zorder=BEHIND)
        for row in rows:
            look = looks.runtime(row.runtime, row.mode) | form_look(row.form)
            axes.plot([factor(row)], [-keys.index((row.runtime, row.mode))], **look)
        ratio_axis(axes, [1.0, *map(factor, rows)])
        axes.set_xlabel("real-time factor (log); left of 1 it keeps up")

    rate = f"{digits(rows[0].frames_per_second or 0)} frames a second"
    caption = f"{rate}, {conditions_text(conditions, {'model'})}{where}; computing / signal"
    ends = [
        f"{digits(factor(row))} ({implementation_name(implementation_of(row))})"
        for row in (rows[0], rows[-1])
    ]
    late = sum(factor(row) >= 1 for row in rows)
    keeps = "all keep up" if not late else f"{late} of {len(rows)} do not keep up"
    alt = f"Real-time factors of {conditions.model}, {rate}: from {ends[0]} to {ends[1]}; {keeps}."
    legend = form_legend(row.form for row in rows)
    title = f"{conditions.model}: real-time factor"
    return Plot(name, title, caption, alt, draw, height(lines), legend, LEFT)

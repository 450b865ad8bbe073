"""One picture of every model, form and runtime: from the median to the slow calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rnnbench.benchmarking.plan import runtime_name
from rnnbench.benchmarking.report.material import Material
from rnnbench.benchmarking.report.names import (
    Conditions,
    conditions_text,
    implementation_name,
    implementation_of,
)
from rnnbench.benchmarking.report.plots import Looks, Plot, form_legend, form_look
from rnnbench.benchmarking.report.row_charts import (
    LEFT,
    Line,
    draw_lines,
    height,
    same_but_model,
    usual_conditions,
)
from rnnbench.benchmarking.report.scales import time_axis
from rnnbench.benchmarking.report.units import seconds
from rnnbench.benchmarking.results import Latency

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Latency"
ORDER = 10
SHIFT = 0.055
"""Of the forms of a runtime, in rows, so that they do not hide one another."""

Groups = Mapping[Conditions, list[Latency]]


def plots(material: Material) -> Iterator[Plot]:
    """One for each machine and set of conditions, with all models that have it."""
    looks = Looks.of(material)
    for number, machine in enumerate(material.machines):
        where = f" on {machine.name}" if len(material.machines) > 1 else ""
        pictures: dict[Conditions, dict[Conditions, list[Latency]]] = {}
        for conditions, rows in usual_conditions(machine).items():
            pictures.setdefault(same_but_model(conditions), {})[conditions] = rows
        for count, (shared, groups) in enumerate(pictures.items()):
            name = "-".join(["latency", *([str(number)] if where else []), *_nth(count)])
            yield _plot(name, shared, groups, looks, where)


def _nth(count: int) -> list[str]:
    return [str(count)] if count else []


def _plot(name: str, shared: Conditions, groups: Groups, looks: Looks, where: str) -> Plot:
    lines: list[Line] = []
    places: list[tuple[float, Latency]] = []
    for conditions, rows in groups.items():
        lines.append(Line(conditions.model, heading=True))
        for key in _fastest_first(rows):
            forms = sorted((r for r in rows if (r.runtime, r.mode) == key), key=lambda r: r.form)
            for i, row in enumerate(forms):
                places.append((-len(lines) - (i - (len(forms) - 1) / 2) * 2 * SHIFT, row))
            lines.append(Line(runtime_name(*key)))

    def draw(axes: Axes) -> None:
        draw_lines(axes, lines)
        for y, row in places:
            look = looks.runtime(row.runtime, row.mode) | form_look(row.form) | {"markersize": 4}
            axes.plot([row.p50, max(row.p95, row.p50)], [y, y], color=look["color"], linewidth=1.1)
            axes.plot([row.p50], [y], **look)
            if not row.stable:
                axes.plot(
                    [row.p50],
                    [y],
                    **look | {"markerfacecolor": "none", "marker": "o", "markersize": 9},
                )
        time_axis(axes, horizontal=True)
        axes.set_xlabel("time of a call: marker p50, line to p95")

    measured = [row for _, row in places]
    rings = "; a ring: unstable" if any(not row.stable for row in measured) else ""
    caption = f"{conditions_text(shared, {'model'}).lstrip(', ')}{where}{rings}"
    legend = form_legend(row.form for row in measured)
    alt = f"Time of a call, {caption}. {' '.join(_extremes(groups))}"
    return Plot(
        name,
        "Latency of every model, form and runtime",
        caption,
        alt,
        draw,
        height(lines),
        legend,
        LEFT,
    )


def _fastest_first(rows: list[Latency]) -> list[tuple[str, str]]:
    ranked = sorted(rows, key=lambda row: row.p50)
    return list(dict.fromkeys((row.runtime, row.mode) for row in ranked))


def _extremes(groups: Groups) -> Iterator[str]:
    for conditions, rows in groups.items():
        low, high = (f(rows, key=lambda row: row.p50) for f in (min, max))
        ends = [
            f"{seconds(row.p50)} ({implementation_name(implementation_of(row))})"
            for row in (low, high)
        ]
        yield f"{conditions.model}: p50 from {ends[0]} to {ends[1]}."

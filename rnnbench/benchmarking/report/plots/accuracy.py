"""Error against latency: which runtime and precision is fast, and what that costs in accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rnnbench.benchmarking.plan import runtime_name
from rnnbench.benchmarking.report.checks import Checked
from rnnbench.benchmarking.report.material import Material
from rnnbench.benchmarking.report.names import Conditions, conditions_text
from rnnbench.benchmarking.report.plots import Looks, Plot
from rnnbench.benchmarking.report.row_charts import usual_conditions
from rnnbench.benchmarking.report.scales import error_axis, time_axis
from rnnbench.benchmarking.report.units import seconds
from rnnbench.benchmarking.results import Latency
from rnnbench.core.verdicts import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Accuracy beside speed"
ORDER = 45

Point = tuple[Latency, Checked]


def plots(material: Material) -> Iterator[Plot]:
    """One for each model that was both measured and checked under its name."""
    looks = Looks.of(material)
    for number, machine in enumerate(material.machines):
        where = f" on {machine.name}" if len(material.machines) > 1 else ""
        for conditions, rows in usual_conditions(machine).items():
            points = _points(rows, material.checks)
            if points:
                name = f"accuracy-{conditions.model}" + (f"-{number}" if where else "")
                yield _plot(name, conditions, points, looks, where)


def _points(rows: Sequence[Latency], checks: Sequence[Checked]) -> list[Point]:
    """The fastest form of each runtime and mode, with what `check` said of each artifact there."""
    best: dict[tuple[str, str], Latency] = {}
    for row in sorted(rows, key=lambda row: row.p50):
        best.setdefault((row.runtime, row.mode), row)
    return [
        (row, check)
        for row in best.values()
        for check in checks
        if check.model == row.model
        and check.runtime.partition(":")[0] == row.runtime
        and check.worst_error is not None
    ]


def _plot(
    name: str, conditions: Conditions, points: Sequence[Point], looks: Looks, where: str
) -> Plot:
    known = [error for error in map(_error, points) if 0 < error < math.inf]
    least, most = min(known, default=1e-9), max(known, default=1e-6)

    def draw(axes: Axes) -> None:
        for point in points:
            row, check = point
            error = min(max(_error(point), least / 3), 3 * most)  # 0 and infinite: at the edges
            look = looks.runtime(row.runtime, row.mode) | {"linestyle": ""}
            wrong = check.verdict in (Verdict.DIFFERS, Verdict.FAILED)
            axes.plot([row.p50], [error], **look | ({"markerfacecolor": "none"} if wrong else {}))
        axes.set_ylim(least / 4, 4 * most)
        error_axis(axes)
        axes.set_ylim(least / 4, 4 * most)
        times = [row.p50 for row, _ in points]
        axes.set_xlim(min(times) / 1.3, max(times) * 1.3)
        time_axis(axes, horizontal=True)
        axes.set_xlim(min(times) / 1.3, max(times) * 1.3)
        axes.set_xlabel("p50 of a call (log)")
        axes.set_ylabel("worst error (log)")

    said = f"{conditions_text(conditions, {'model'})}{where}"
    caption = f"{said}; error against float64, as check found it; hollow: it differs"
    legend = tuple(
        (_label(point), looks.runtime(point[0].runtime, point[0].mode) | {"linestyle": ""})
        for point in points
    )
    fast, exact = min(points, key=lambda p: p[0].p50), min(points, key=_error)
    coarse = max(points, key=_error)
    alt = (
        f"Error against latency of {conditions.model}, {said}. Fastest: {_said(fast)}. "
        f"Most exact: {_said(exact)}. Least exact: {_said(coarse)}."
    )
    return Plot(
        name, f"{conditions.model}: error against latency", caption, alt, draw, legend=legend
    )


def _error(point: Point) -> float:
    error = point[1].worst_error
    return math.inf if error is None or math.isnan(error) else error


def _label(point: Point) -> str:
    """`ONNX Runtime: onnx`: the runtime with its way, and the artifact with its precision."""
    row, check = point
    name = runtime_name(row.runtime, row.mode)
    way = check.runtime.partition(":")[2]
    return f"{name}: {check.format}" + (f", {way}" if way else "")


def _said(point: Point) -> str:
    return f"{_label(point)}, {seconds(point[0].p50)}, error {_error(point):.1e}"

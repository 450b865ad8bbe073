"""Latency of a call against time, batch and hidden size, a line for each form in each runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rnnbench.benchmarking.plan import Implementation
from rnnbench.benchmarking.report.material import Machine, Material
from rnnbench.benchmarking.report.names import (
    Conditions,
    conditions_of,
    conditions_text,
    implementation_name,
    implementation_of,
)
from rnnbench.benchmarking.report.plots import Looks, Plot, dashes, form_name
from rnnbench.benchmarking.report.scales import sizes_axis, time_axis
from rnnbench.benchmarking.report.units import seconds
from rnnbench.benchmarking.results import Latency

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Scaling with length, batch and hidden size"
ORDER = 25
MOST_LINES = 12
AXES = {"time": "steps", "batch": "batch", "hidden": "hidden size"}

Lines = dict[Implementation, list[tuple[int, Latency]]]


def plots(material: Material) -> Iterator[Plot]:
    """For each model and axis, the slice through the conditions that has most points."""
    looks = Looks.of(material)
    for number, machine in enumerate(material.machines):
        where = f" on {machine.name}" if len(material.machines) > 1 else ""
        for model in dict.fromkeys(row.model for row in machine.latencies):
            for axis in AXES:
                found = _slice(machine, model, axis)
                if found is not None:
                    conditions, lines = found
                    some, left_out = _legible(lines)
                    parts = ("scaling", axis, model, str(number) if where else "")
                    name = "-".join(filter(None, parts))
                    yield _plot(name, axis, conditions, some, looks, where + left_out)


def _legible(lines: Lines) -> tuple[Lines, str]:
    """All lines, or those of the fastest form of each runtime, and what is left out then."""
    if len(lines) <= MOST_LINES:
        return lines, ""
    ranked = sorted(lines, key=lambda subject: lines[subject][-1][1].p50)
    fastest: dict[tuple[str, str], Implementation] = {}
    for subject in ranked:
        fastest.setdefault((subject.runtime, subject.mode), subject)
    kept = list(fastest.values())[:MOST_LINES]
    return {subject: lines[subject] for subject in kept}, "; each runtime's fastest form"


def _slice(machine: Machine, model: str, axis: str) -> tuple[Conditions, Lines] | None:
    """The rows that differ in nothing but the axis; None where no two sizes were measured."""
    slices: dict[Conditions, list[Latency]] = {}
    for row in machine.latencies:
        if row.model == model and getattr(row, axis) is not None:
            key = Conditions(**conditions_of(row)._asdict() | {axis: 0})
            slices.setdefault(key, []).append(row)
    if not slices:
        return None
    best = max(slices, key=lambda key: (_sizes(slices[key], axis), len(slices[key])))
    if _sizes(slices[best], axis) < 2:
        return None
    lines: Lines = {}
    for row in sorted(slices[best], key=lambda row: getattr(row, axis)):
        lines.setdefault(implementation_of(row), []).append((getattr(row, axis), row))
    return best, lines


def _sizes(rows: Sequence[Latency], axis: str) -> int:
    return len({getattr(row, axis) for row in rows})


def _plot(
    name: str, axis: str, conditions: Conditions, lines: Lines, looks: Looks, where: str
) -> Plot:
    many = len({subject.form for subject in lines}) > 1

    def draw(axes: Axes) -> None:
        for subject, points in lines.items():
            look = looks.runtime(subject.runtime, subject.mode)
            sizes, rows = zip(*points, strict=True)
            seconds = [row.p50 for row in rows]
            axes.plot(sizes, seconds, linestyle=dashes(subject.form if many else ""), **look)
            shaky = [(size, row.p50) for size, row in points if not row.stable]
            if shaky:
                axes.plot(
                    *zip(*shaky, strict=True),
                    linestyle="",
                    **look | {"markerfacecolor": "none", "markersize": 10},
                )
        sizes_axis(axes, {size for points in lines.values() for size, _ in points})
        time_axis(axes)
        axes.set_xlabel(AXES[axis])
        axes.set_ylabel("p50 of a call")

    rest = conditions_text(conditions, {"model", axis})
    unstable = any(not row.stable for points in lines.values() for _, row in points)
    rings = "; a ring: unstable" if unstable else ""
    forms = list(dict.fromkeys(s.form for s in lines))
    legend = looks.legend(((s.runtime, s.mode) for s in lines), forms)
    alone = f" ({form_name(forms[0])})" if len(forms) == 1 else ""
    title = f"{conditions.model}{alone}: latency against {AXES[axis]}"
    caption = f"{rest}{where}{rings}"
    alt = f"{title}, {caption}. {_extremes(lines, AXES[axis])}"
    return Plot(name, title, caption, alt, draw, legend=legend)


def _extremes(lines: Lines, axis: str) -> str:
    """How the fastest and the slowest grow from the least to the largest size."""
    grown = [
        (points[-1][1].p50, points[0], points[-1], subject)
        for subject, points in lines.items()
        if len(points) > 1
    ]
    if not grown:
        return ""
    said = []
    for word, pick in (("fastest", min), ("slowest", max)):
        _, (less, low), (more, high), subject = pick(grown, key=lambda line: line[0])
        said.append(
            f"The {word} at the largest size, {implementation_name(subject)}: from "
            f"{seconds(low.p50)} at {axis} {less} to {seconds(high.p50)} at {more}."
        )
    return " ".join(said)

"""What is lost against what a call takes, in each precision of a model; areas are file sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rnnbench.benchmarking.plan import runtime_name
from rnnbench.benchmarking.precisions import ABOVE, PLAIN, Choice, Choices, find_choices
from rnnbench.benchmarking.report.material import Machine, Material
from rnnbench.benchmarking.report.plots import Looks, Plot
from rnnbench.benchmarking.report.scales import time_axis
from rnnbench.benchmarking.report.units import megabytes, seconds
from rnnbench.benchmarking.results import Latency
from rnnbench.models.precision import UNCHANGED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Fewer bits: what they cost, and what they save"
ORDER = 47

_LARGEST = 260.0  # square points, of the largest file
_TOUCHES = 0.12  # of the height, and of a time


class Point(NamedTuple):
    """One precision in one runtime: seconds of a call, how it is judged, and bytes."""

    row: Latency
    precision: str
    y: float
    bytes: int


def plots(material: Material) -> Iterator[Plot]:
    """One for each model that was measured in several precisions, at its largest sizes."""
    looks = Looks.of(material)
    for number, machine in enumerate(material.machines):
        where = f" on {machine.name}" if len(material.machines) > 1 else ""
        for model, found in _largest(machine).items():
            name = f"precisions-{model}" + (f"-{number}" if where else "")
            plot = _plot(name, found, looks, where)
            if plot is not None:
                yield plot


def _largest(machine: Machine) -> dict[str, list[Choices]]:
    """Each model at its largest state, in the smallest batch, on the fewest threads."""
    found: dict[str, list[Choices]] = {}
    for each in find_choices(machine.latencies, machine.ratios, machine.costs):
        found.setdefault(each.model, []).append(each)
    return {
        model: [each for each in several if _size(each) == max(map(_size, several))]
        for model, several in found.items()
    }


def _size(choices: Choices) -> tuple[int, ...]:
    row = choices.choices[0].latencies[0]
    return (row.hidden or 0, row.layers or 0, -row.batch, -row.threads)


def _plot(name: str, found: Sequence[Choices], looks: Looks, where: str) -> Plot | None:
    error = next((each for choices in found for each in choices.errors), "")
    time = max(time for choices in found for time in choices.times)
    points = [point for choices in found for point in _points(choices, time, error)]
    if len({point.precision for point in points}) < 2:
        return None
    largest = max(point.bytes for point in points)
    row = points[0].row

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import FuncFormatter

        for point in points:
            look = looks.runtime(point.row.runtime, point.row.mode)
            area = _LARGEST * point.bytes / largest
            axes.scatter([point.row.p50], [point.y], s=area, color=look["color"], alpha=0.6)
        for name, x, y in _labels(points):
            place: Any = {"xytext": (0, 11), "textcoords": "offset points", "ha": "center"}
            axes.annotate(name, (x, y), size=7.5, **place)
        times = [point.row.p50 for point in points]
        axes.set_xlim(min(times) / 1.4, max(times) * 1.4)
        time_axis(axes, horizontal=True)
        axes.set_xlim(min(times) / 1.4, max(times) * 1.4)
        axes.margins(y=0.25)
        axes.set_xlabel("p50 of a call (log)")
        axes.set_ylabel(f"{error}, over {PLAIN}'s" if error else ABOVE)
        if error:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.2g}"))

    sizes = {"hidden": row.hidden, "layers": row.layers, "batch": row.batch, "threads": row.threads}
    said = ", ".join(f"{name} {size}" for name, size in sizes.items() if size is not None)
    steps = "1 step" if time == 1 else f"{time} steps"
    better = "" if error else f"; higher is better, and {PLAIN} is at the upper edge: unchanged"
    areas = f"areas: bytes of the file, at most {_megabytes(largest)}"
    caption = f"{steps}, {said}{where}; {areas}{better}"
    ran = dict.fromkeys((point.row.runtime, point.row.mode) for point in points)
    model = found[0].model
    title = f"{model}: {error or 'change'} against latency, in each precision"
    alt = f"{title}, {caption}. " + " ".join(_said(point, error) for point in points)
    legend = [(name, look | {"marker": "o"}) for name, look in looks.legend(ran)]
    return Plot(name, title, caption, alt, draw, legend=tuple(legend) if len(ran) > 1 else ())


def _labels(points: Sequence[Point]) -> list[tuple[str, float, float]]:
    """Names of precisions and where they stand; of points that touch, in one."""
    span = max(p.y for p in points) - min(p.y for p in points)
    groups: list[list[Point]] = []
    for point in sorted(points, key=lambda p: (p.row.p50, p.y)):
        for group in groups:
            near = abs(point.y - group[0].y) <= _TOUCHES * span
            if near and point.row.p50 < (1 + _TOUCHES) * group[0].row.p50:
                group.append(point)
                break
        else:
            groups.append([point])
    return [
        (", ".join(p.precision for p in group), group[0].row.p50, max(p.y for p in group))
        for group in groups
    ]


def _points(choices: Choices, time: int, error: str) -> Iterator[Point]:
    known = [db for choice in choices.choices if (db := _decibels(choice)) is not None]
    top = 1.1 * max(known, default=100.0)
    for choice in choices.choices:
        row, size = choice.at(time), choice.bytes
        y = _over(choices, choice, error) if error else _decibels(choice) or top
        if row is not None and size and y is not None:
            yield Point(row, choice.precision, y, size)


def _over(choices: Choices, choice: Choice, error: str) -> float | None:
    """How much more an error is than that of float32; None where one of them is not finite."""
    before, after = choices.error(choices.choices[0], error), choices.error(choice, error)
    return None if before is None or after is None else after - before


def _decibels(choice: Choice) -> float | None:
    """Of the output that is changed the most; None where none is."""
    db = UNCHANGED if choice.price is None else choice.price.worst[1]
    return db if db < UNCHANGED else None


def _said(point: Point, error: str) -> str:
    value = f"{error} {point.y:+.2g}" if error else f"{point.y:.1f} dB"
    value = "unchanged" if not error and point.precision == PLAIN else value
    name = runtime_name(point.row.runtime, point.row.mode)
    took = seconds(point.row.p50)
    return f"{point.precision} in {name}: {took}, {value}, {_megabytes(point.bytes)}."


def _megabytes(size: int) -> str:
    return f"{megabytes(size)} MB"

"""Axes that say their units: sizes as they were measured, times as 20 us and 1.5 ms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rnnbench.benchmarking.report import units

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def sizes_axis(axes: Axes, sizes: Iterable[int]) -> None:
    """A logarithmic x axis whose ticks are the sizes; of many, those that have room."""
    axes.set_xscale("log")
    found = sorted(sizes)
    every = -(-len(found) // 6)
    shown = found[::every]
    axes.set_xticks(shown, [str(size) for size in shown])
    axes.set_xticks([], minor=True)


def time_axis(axes: Axes, *, horizontal: bool = False) -> None:
    """A logarithmic axis of seconds with ticks at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    (axes.set_xscale if horizontal else axes.set_yscale)("log")
    axis = axes.xaxis if horizontal else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    steps = (1.0,) if high > 100 * low else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(10, subs=steps, numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def number_axes(axes: Axes) -> None:
    """Both axes logarithmic, with plain numbers at the powers of ten."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def tick(value: float) -> str:
    """0.00002 -> `20 us`: without the zeros of three digits."""
    number, unit = units.seconds(value).split()
    return f"{float(number):g} {unit}"

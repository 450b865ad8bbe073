"""Axes that say their units: sizes as they were measured, times as 20 us and 1.5 ms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rnnbench.benchmarking.report import units

_TICKS = 7

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
    """Both axes logarithmic, with plain numbers; to be called when their limits are set."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    limits = (sorted(axes.get_xlim()), sorted(axes.get_ylim()))
    for axis, (low, high) in zip((axes.xaxis, axes.yaxis), limits, strict=True):
        steps = (1.0,) if high > 300 * low else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(10, subs=steps, numticks=12))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def error_axis(axes: Axes) -> None:
    """A logarithmic y axis of errors, as 1e-7; to be called when they are drawn."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    low, high = sorted(axes.get_ylim())
    steps = (1.0,) if high > 100 * low else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(LogLocator(10, subs=steps, numticks=8))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))


def tick(value: float) -> str:
    """0.00002 -> `20 us`: without the zeros of three digits."""
    number, unit = units.seconds(value).split()
    return f"{float(number):g} {unit}"


def ratio_axis(axes: Axes, values: Iterable[float]) -> None:
    """A logarithmic x axis of plain numbers; 1 is always among the ticks."""
    from matplotlib.ticker import NullLocator

    found = [value for value in values if value > 0]
    low, high = min(found) / 1.15, max(found) * 1.15
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    powers = [n * 10.0**k for k in range(-9, 10) for n in (1, 2, 5)]
    ticks = [value for value in powers if low <= value <= high]
    if len(ticks) > _TICKS:
        ticks = [value for value in ticks if f"{value:.0e}".startswith("1")]
    if len(ticks) < 3:  # all near 1
        ticks = sorted({1.0, *(float(f"{value:.2g}") for value in (min(found), max(found)))})
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.xaxis.set_minor_locator(NullLocator())

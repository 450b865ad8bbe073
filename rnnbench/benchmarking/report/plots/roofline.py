"""Speed against the operations for each byte, below what the machine reaches at best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rnnbench.benchmarking.report.colours import FAINT, INK
from rnnbench.benchmarking.report.limits import Ceiling, bytes_read, ceiling
from rnnbench.benchmarking.report.material import Machine, Material
from rnnbench.benchmarking.report.names import implementation_name, implementation_of
from rnnbench.benchmarking.report.plots import Looks, Plot
from rnnbench.benchmarking.report.scales import number_axes
from rnnbench.benchmarking.report.units import digits
from rnnbench.benchmarking.results import Latency

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Roofline"
ORDER = 30
FILLED = ("fused", "model", "exported")
_MODEL_MARKERS = "os^DvPX*<h"


def plots(material: Material) -> Iterator[Plot]:
    """One for each machine, device and number of threads whose limits were measured."""
    looks = Looks.of(material)
    for number, machine in enumerate(material.machines):
        places = dict.fromkeys((row.device, row.threads) for row in machine.latencies)
        for device, threads in places:
            top = ceiling(machine, device, threads)
            known = any(
                row.flops and (row.device, row.threads) == (device, threads)
                for row in machine.latencies
            )
            if top is not None and known:
                name = f"roofline-{device}-{threads}" + (f"-{number}" if number else "")
                yield _plot(name, machine, device, threads, top, looks)


def _plot(
    name: str, machine: Machine, device: str, threads: int, top: Ceiling, looks: Looks
) -> Plot:
    rows = [
        row
        for row in machine.latencies
        if (row.device, row.threads) == (device, threads) and row.flops
    ]

    models = sorted({row.model for row in rows})
    markers = {m: _MODEL_MARKERS[n % len(_MODEL_MARKERS)] for n, m in enumerate(models)}

    def draw(axes: Axes) -> None:
        places = [_place(row, top) for row in rows]
        for row, (x, y) in zip(rows, places, strict=True):
            look = looks.runtime(row.runtime, row.mode) | {"marker": markers[row.model]}
            look |= {"linestyle": "", "alpha": 0.85, "markersize": 4.5}
            if row.form not in FILLED:
                look |= {"markerfacecolor": "none"}
            axes.plot([x], [y], **look)
        best = max(top.flops.values()) / 1e9
        roof = 2 * max(2 * best, max(y for _, y in places))
        high = max(3 * max(x for x, _ in places), 3e9 * best / top.read_bytes_per_s)
        ridge = best * 1e9 / top.read_bytes_per_s
        low = min(min(x for x, _ in places), ridge) / 3
        slope = top.read_bytes_per_s / 1e9
        axes.plot([low, ridge, high], [low * slope, best, best], color=INK, linewidth=1.2)
        axes.fill_between(
            [low, ridge, high], [low * slope, best, best], roof, color=FAINT, alpha=0.35
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(low, high)
        axes.set_ylim(min(y for _, y in places) / 2, roof)
        number_axes(axes)
        axes.annotate(
            f"limit: {best:.0f} GFLOP/s",
            (high, roof),
            xytext=(-3, -3),
            ha="right",
            va="top",
            textcoords="offset points",
            size=8,
        )
        axes.set_xlabel("operations for each byte (FLOP/B)")
        axes.set_ylabel("speed (GFLOP/s)")

    said = f"{device}, threads: {threads}; reading {slope_text(top)}; hollow: cell loops"
    said += "; above the line: weights that stay in a cache, or steps that are done at once"
    shapes: Any = [(m, {"color": INK, "marker": markers[m], "linestyle": ""}) for m in models]
    colours = looks.legend((row.runtime, row.mode) for row in rows)
    legend = (*shapes, *((label, look | {"marker": "s"}) for label, look in colours))
    title = f"Speed and its limit ({device}, threads: {threads})"
    caption = f"{machine.name}, {said}; shapes: models, colours: runtimes"
    alt = f"{title}, {machine.name}. {_extremes(rows, top)}"
    return Plot(name, title, caption, alt, draw, 3.0, legend)


def _extremes(rows: Sequence[Latency], top: Ceiling) -> str:
    ranked = sorted((_place(row, top)[1], n) for n, row in enumerate(rows))
    ends = [
        f"{digits(speed)} GFLOP/s ({rows[n].model}, "
        f"{implementation_name(implementation_of(rows[n]))})"
        for speed, n in (ranked[0], ranked[-1])
    ]
    best = max(top.flops.values()) / 1e9
    return (
        f"Speeds from {ends[0]} to {ends[1]}; the limit is {best:.0f} GFLOP/s and "
        f"{slope_text(top)}."
    )


def slope_text(top: Ceiling) -> str:
    """`20.0 GB/s`."""
    return f"{top.read_bytes_per_s / 1e9:.1f} GB/s"


def _place(row: Latency, top: Ceiling) -> tuple[float, float]:
    """Operations for each byte, and 1e9 operations a second."""
    return row.flops / bytes_read(row, top), row.flops / row.p50 / 1e9

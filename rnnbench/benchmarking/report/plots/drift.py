"""How the error against float64 grows over a sequence, from `check --json`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rnnbench.benchmarking.plan import runtime_name
from rnnbench.benchmarking.report.checks import Drift
from rnnbench.benchmarking.report.material import Material
from rnnbench.benchmarking.report.plots import Looks, Plot
from rnnbench.benchmarking.report.scales import error_axis, sizes_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Drift"
ORDER = 50


def plots(material: Material) -> Iterator[Plot]:
    """One for each model."""
    looks = Looks((curve.runtime, "") for curve in material.drifts)
    for model in dict.fromkeys(curve.model for curve in material.drifts):
        yield _plot(model, [c for c in material.drifts if c.model == model], looks)


def _plot(model: str, curves: list[Drift], looks: Looks) -> Plot:
    def draw(axes: Axes) -> None:
        for curve in curves:
            points = [
                (step, error)
                for step, error in zip(curve.steps, curve.error, strict=True)
                if 0 < error < math.inf and step > 0
            ]
            if points:
                marker = {"markevery": max(1, len(points) // 12)}
                axes.plot(*zip(*points, strict=True), **looks.runtime(curve.runtime) | marker)
        sizes_axis(axes, {step for curve in curves for step in curve.steps})
        error_axis(axes)
        axes.set_xlabel("steps")
        axes.set_ylabel("largest error")

    legend = tuple((runtime_name(c.runtime), looks.runtime(c.runtime)) for c in curves)
    name = f"drift-{model}" if model else "drift"
    caption = "against the module in float64; errors of 0 are not shown"
    title = f"{model or 'model'}: error over a sequence"
    alt = f"{title}, {caption}. {' '.join(map(_extremes, curves))}"
    return Plot(name, title, caption, alt, draw, legend=legend)


def _extremes(curve: Drift) -> str:
    low, high = min(curve.error), max(curve.error)
    return f"{runtime_name(curve.runtime)}: from {low:.1e} to {high:.1e}."

"""Error against time as a picture."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rnnbench.checking.drift import DriftReport
from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.core.verdicts import Verdict
from rnnbench.core.whole import write_file

_KINDS = (".png", ".svg", ".pdf")
_LOWEST = 1e-12  # an error of 0 has no place on a logarithmic axis
_NEAR = 1e-3  # of the size of the values


def check_plot(path: Path) -> None:
    """Refuses early what could not be drawn at the end.

    Raises:
        Unavailable: matplotlib is not installed.
        RnnbenchError: the file's kind is unknown, or its folder is not there.
    """
    if find_spec("matplotlib") is None:
        raise Unavailable('matplotlib is not installed: pip install "rnnbench[plot]"')
    if path.suffix not in _KINDS:
        raise RnnbenchError(f"--plot {path}: give a file that ends in {', '.join(_KINDS)}")
    if not path.parent.is_dir():
        raise RnnbenchError(f"--plot {path}: the folder {path.parent} is not there")


def plot_drift(report: DriftReport, path: Path) -> None:
    """Draws a line for each runtime on logarithmic axes; the file is written whole or not at all.

    Raises:
        Unavailable: matplotlib is not installed.
        RnnbenchError: the file cannot be written.
    """
    check_plot(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    markers = iter("os^DvPX<>hp" * len(report.lines))
    for line in report.lines:
        if not line.errors:
            continue
        floor = line.verdict == Verdict.FLOOR
        label = "noise floor: the module in float32" if floor else f"{line.format}, {line.runtime}"
        label += " (DIFFERS)" if line.verdict == Verdict.DIFFERS else ""
        errors = [max(e, _LOWEST) for e in line.errors]
        look: Any = {"marker": next(markers), "markevery": (len(axes.lines), 7), "markersize": 4}
        axes.plot(report.ends, errors, "k--" if floor else "-", label=label, **look)
    worst = max((max(line.errors) for line in report.lines if line.errors), default=0.0)
    if worst > _NEAR * max(report.sizes):  # where it is far away, it would only press the rest flat
        axes.plot(report.ends, report.sizes, color="0.7", label="size of the values")
    axes.set(xscale="log", yscale="log", xlabel="time step", ylabel="largest absolute error")
    axes.set_title(f"{report.model}: error against {report.reference}", fontsize=10, wrap=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:], dpi=120)
    write_file(path, buffer.getvalue(), "give another --plot")

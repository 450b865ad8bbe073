"""Charts whose rows have names: above their lines, since beside them long names have no room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rnnbench.benchmarking.entry import Entry
from rnnbench.benchmarking.report.colours import PAPER
from rnnbench.benchmarking.report.material import Machine
from rnnbench.benchmarking.report.names import Conditions, conditions_of
from rnnbench.benchmarking.report.recommendation import middle_conditions
from rnnbench.benchmarking.results import Latency
from rnnbench.core.text import harmless

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.36
"""Inches of a row: a name of 7.5 points, and its line."""
NEARLY = 0.8
"""Of the most that was measured under any conditions, what counts as as much."""
_LONGEST = 66  # letters of a name that fit


LEFT = 0.12
"""Inches before the axes, where no label stands."""
BEHIND = 1.6
"""Where lines are drawn that names interrupt: above the grid, below what was measured."""


class Line(NamedTuple):
    """A row: its name, and whether it is the heading of those below it."""

    name: str
    heading: bool = False


def height(lines: Sequence[Line]) -> float:
    """Inches of a chart."""
    return max(1.0, ROW * len(lines))


def draw_lines(axes: Axes, lines: Sequence[Line]) -> None:
    """Names and faint lines, the first row at the top: row i is at y = -i."""
    axes.set_ylim(-len(lines) + 0.6, 0.75)
    axes.set_yticks([])
    for i, line in enumerate(lines):
        name = harmless(line.name)
        name = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."
        axes.annotate(
            name,
            (0, -i),
            xytext=(0, -4 if line.heading else 8),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            size=8.5 if line.heading else 7.5,
            weight="bold" if line.heading else "normal",
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5},
            zorder=BEHIND + 0.2,
        )
        if not line.heading:
            axes.axhline(-i, color="#8c8c8c", linewidth=0.4, zorder=BEHIND)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")


def usual_conditions(machine: Machine) -> dict[Conditions, list[Latency]]:
    """For each model and device, the conditions that stand for all, with what was measured there.

    As the first answers have them, of those under which about as much was measured as under any.
    """
    groups: dict[tuple[str, str], dict[Conditions, list[Latency]]] = {}
    for row in machine.latencies:
        at = groups.setdefault((row.model, row.device), {})
        at.setdefault(conditions_of(row), []).append(row)
    chosen: dict[Conditions, list[Latency]] = {}
    for at in groups.values():
        most = max(map(len, at.values()))
        key = middle_conditions([key for key in at if len(at[key]) >= NEARLY * most])
        chosen[key] = at[key]
    return chosen


def same_but_model(conditions: Conditions) -> Conditions:
    """What models that share a picture have in common."""
    return conditions._replace(model="")


def is_at(entry: Entry, conditions: Conditions) -> bool:
    """Whether an entry was measured under these conditions."""
    return conditions_of(entry) == conditions

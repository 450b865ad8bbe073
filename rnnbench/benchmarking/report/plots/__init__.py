"""One kind of plot per file: each has `TITLE`, `ORDER` and `plots(material)`.

A plot is small, so that it can be read on a phone, and complete by itself: units on its axes, a
legend, a caption that says what was held constant, and a text that says what it shows. Colours
stand for runtimes, everywhere the same; where points are joined, markers too, and line styles for
forms; where each runtime has a row, markers stand for forms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rnnbench.benchmarking.plan import runtime_name
from rnnbench.benchmarking.report.colours import INK, PALETTE
from rnnbench.benchmarking.report.material import Material
from rnnbench.core import plugins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "os^DvPX*<h"
DASHES = {"fused": "-", "model": "-", "loop": (0, (4, 2)), "exported": (0, (1, 1.5))}
FORM_MARKERS = {"fused": "o", "model": "o", "loop": "s", "exported": "^"}


@dataclass(frozen=True)
class Plot:
    """A picture that is yet to be drawn.

    Attributes:
        name: of its file, without the ending.
        title: above it.
        caption: what was held constant, and how to read it.
        alt: what it shows, for those who do not see it: the extreme values.
        draw: draws it.
        height: of the axes, in inches.
        left: of them, in inches, what its labels need.
        legend: (label, how `Line2D` is to look) of what is in it.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[Axes], None]
    height: float = 2.6
    legend: tuple[tuple[str, dict[str, Any]], ...] = field(default=())
    left: float = 0.72


@dataclass(frozen=True)
class Section:
    """The plots of one kind."""

    title: str
    plots: tuple[Plot, ...]


def sections(material: Material) -> tuple[Section, ...]:
    """Every kind that this material has something for, in its order."""
    modules = [plugins.load("plots", name) for name in plugins.names("plots")]
    found = [Section(m.TITLE, tuple(m.plots(material))) for m in sorted(modules, key=_rank)]
    return tuple(section for section in found if section.plots)


class Looks:
    """How each runtime is drawn: the same in every plot of a report."""

    def __init__(self, runtimes: Iterable[tuple[str, str]]) -> None:
        self._rank = {key: n for n, key in enumerate(sorted(set(runtimes)))}

    @classmethod
    def of(cls, material: Material) -> Looks:
        """For the runtimes, each with its mode, that were measured."""
        return cls(
            (row.runtime, row.mode)
            for machine in material.machines
            for row in (*machine.latencies, *machine.costs)
        )

    def runtime(self, runtime: str, mode: str = "") -> dict[str, Any]:
        """Colour and marker."""
        rank = self._rank.get((runtime, mode), 0)
        again = rank // len(PALETTE)  # the eleventh has the first colour, and another marker
        return {
            "color": PALETTE[rank % len(PALETTE)],
            "marker": MARKERS[(rank + again) % len(MARKERS)],
        }

    def legend(
        self, runtimes: Iterable[tuple[str, str]], forms: Sequence[str] = ()
    ) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Entries for runtimes, and for forms where there are several."""
        entries = [
            (runtime_name(*key), self.runtime(*key) | {"linestyle": ""})
            for key in sorted(set(runtimes))
        ]
        if len(forms) > 1:
            entries += [
                (form_name(form), {"color": INK, "linestyle": dashes(form)})
                for form in sorted(forms)
            ]
        return tuple(entries)


def form_name(form: str) -> str:
    """As a reader knows it."""
    return _FORM_NAMES.get(form, form)


_FORM_NAMES = {"exported": "exported loop"}


def form_look(form: str) -> dict[str, Any]:
    """Marker of a form where rows stand for runtimes; a loop is hollow."""
    look = {"marker": FORM_MARKERS.get(form, "D"), "linestyle": ""}
    return look | ({"markerfacecolor": "none"} if form == "loop" else {})


def form_legend(forms: Iterable[str]) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Entries for the forms of a chart of rows, where there are several."""
    known = sorted(set(forms))
    entries = [(form_name(form), form_look(form) | {"color": INK}) for form in known]
    return tuple(entries) if len(known) > 1 else ()


def dashes(form: str) -> Any:
    """The line style of a form."""
    return DASHES.get(form, "-")


def _rank(module: Any) -> int:
    return int(module.ORDER)

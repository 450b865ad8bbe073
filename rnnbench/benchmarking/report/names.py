"""What ran, and under which conditions, in words."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from rnnbench import runtimes
from rnnbench.benchmarking.entry import Entry
from rnnbench.benchmarking.plan import Implementation, runtime_name
from rnnbench.benchmarking.precisions import PLAIN, WHAT
from rnnbench.benchmarking.results import Ratio, Side

_MODES = {"bound": "with bound buffers", "cuda-graph": "in a CUDA graph"}
"""How a sentence says a mode."""
_FORMS = {"exported": "exported loop", "model": ""}


class Conditions(NamedTuple):
    """What must be equal before two latencies may be compared.

    Attributes:
        model: a variant's cell, or the name of a user's model.
        device: where.
        threads: inside one operation.
        layers: recurrent layers; None for a user's model.
        hidden: the size of the state; None for a user's model.
        batch: rows.
        time: steps of a call.
    """

    model: str
    device: str
    threads: int
    layers: int | None
    hidden: int | None
    batch: int
    time: int


def conditions_of(entry: Entry) -> Conditions:
    """The conditions of an entry."""
    return Conditions(*(getattr(entry, name) for name in Conditions._fields))


def implementation_of(entry: Entry | Side) -> Implementation:
    """What an entry, or the other side of a ratio, ran."""
    return Implementation(entry.form, entry.runtime, entry.mode)


def order(conditions: Conditions) -> tuple[object, ...]:
    """The sort key of conditions; sizes that a user's model has not come first."""
    return tuple(-1 if value is None else value for value in conditions)


def runtime_title(runtime: str, mode: str = "") -> str:
    """`onnxruntime`, `bound` -> `ONNX Runtime with bound buffers`: for sentences."""
    name = _title(runtime)
    return f"{name} {_MODES.get(mode, f'({mode})')}" if mode else name


@cache
def _title(runtime: str) -> str:
    """Kept, since a report asks for each of its rows, and adapters are looked for each time."""
    return runtimes.get(runtime).title if runtime in runtimes.names() else runtime


def implementation_title(subject: Implementation) -> str:
    """`ONNX Runtime with bound buffers (fused)`: for sentences."""
    form, name = form_name(subject.form), runtime_title(subject.runtime, subject.mode)
    return f"{name} ({form})" if form else name


def implementation_name(subject: Implementation) -> str:
    """`onnxruntime (bound), fused`: for tables and plots, as every verb names runtimes."""
    form, name = form_name(subject.form), runtime_name(subject.runtime, subject.mode)
    return f"{name}, {form}" if form else name


def form_name(form: str) -> str:
    """As a reader knows it; empty for that of a user's model."""
    return _FORMS.get(form, form)


def ratio_name(ratio: Ratio) -> str:
    """`loop / fused in onnxruntime`: what a ratio is of what."""
    this, other = implementation_of(ratio), implementation_of(ratio.versus)
    if (this.runtime, this.mode) == (other.runtime, other.mode) and this.form != other.form:
        where = runtime_name(this.runtime, this.mode)
        return f"{_short(this.form)} / {_short(other.form)} in {where}"
    if ratio.what == WHAT:
        where = runtime_name(this.runtime, this.mode)
        return f"{ratio.precision} / {other.precision or PLAIN} in {where}"
    if ratio.what == "ours/stock":
        return f"our {implementation_name(this)} / the stock exporter's"
    return f"{implementation_name(this)} / {implementation_name(other)}"


def conditions_text(conditions: Conditions, constant: Iterable[str] = ()) -> str:
    """`lstm, hidden 128, batch 1, 32 steps`; without those that are `constant`."""
    said = {
        "model": conditions.model,
        "hidden": "" if conditions.hidden is None else f"hidden {conditions.hidden}",
        "batch": f"batch {conditions.batch}",
        "time": steps(conditions.time),
        "layers": "" if conditions.layers is None else f"{_count(conditions.layers, 'layer')}",
        "threads": _count(conditions.threads, "thread"),
        "device": conditions.device,
    }
    constant = set(constant)
    return ", ".join(text for name, text in said.items() if text and name not in constant)


def steps(time: int) -> str:
    """`1 step`, `32 steps`."""
    return _count(time, "step")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _short(form: str) -> str:
    return "model" if form == "model" else _FORMS.get(form, form)

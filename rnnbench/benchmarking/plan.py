"""What is to be measured: every combination that was asked for, in its order."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rnnbench import runtimes
from rnnbench.benchmarking.streams import ONE_BATCH, held_text, ways_to_hold
from rnnbench.core import plugins
from rnnbench.core.bundle import Bundle, is_bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.runtimes.runtime import Timing
from rnnbench.runtimes.training import TRAINING

CELLS = ("elman", "gru", "lstm")
FORMS = ("loop", "exported", "fused")
STOCK = "stock"
"""The mode of a file that torch.onnx.export(dynamo=False) wrote."""


@dataclass(frozen=True)
class Plan:
    """What was asked for.

    Attributes:
        targets: cells, other variants, bundles, FILE.py[:function], package.module:function.
        runtimes: those that are timed; unless given, those that a plan of this size has.
        devices: cpu, cuda, cuda:1 ...
        batch: rows.
        time: steps.
        hidden: sizes of the state, for variants.
        layers: recurrent layers, for variants.
        threads: inside one operation, the same in every runtime.
        quick: fewer sizes and fewer samples.
        training: forward and backward, in the runtimes that have one.
        streams: so many at once, each a step behind the other; nothing else where there are any.
        precisions: of the weights, each beside float32; nothing else where there are any.
        crossover: an axis along which it is looked for where two change places, and nothing else.
    """

    targets: tuple[str, ...] = CELLS
    runtimes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu",)
    batch: tuple[int, ...] = (1,)
    time: tuple[int, ...] = (1, 32)
    hidden: tuple[int, ...] = (32, 128)
    layers: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = (1,)
    quick: bool = False
    training: bool = False
    streams: tuple[int, ...] = ()
    precisions: tuple[str, ...] = ()
    crossover: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(self).items()}


@dataclass(frozen=True, order=True)
class Implementation:
    """One form of a model in one runtime; its weights are float32, or of that precision."""

    form: str
    runtime: str
    mode: str = ""
    precision: str = ""

    def __str__(self) -> str:
        parts = self.form, self.runtime, self.mode, self.precision
        return "-".join(part for part in parts if part)


def runtime_name(runtime: str, mode: str = "") -> str:
    """`onnxruntime (bound)`, as tables have it."""
    return f"{runtime} ({mode})" if mode else runtime


@dataclass(frozen=True)
class Conditions:
    """Under which something is measured; `hidden` and `layers` are None for a user's model."""

    device: str = "cpu"
    batch: int = 1
    time: int = 32
    hidden: int | None = None
    layers: int | None = None
    threads: int = 1

    def __str__(self) -> str:
        sizes = {"b": self.batch, "t": self.time, "h": self.hidden, "l": self.layers}
        parts = [f"{letter}{size}" for letter, size in sizes.items() if size is not None]
        return "-".join([self.device, *parts, f"threads{self.threads}"])


@dataclass(frozen=True)
class Item:
    """One measurement.

    Attributes:
        kind: `latency`, `ratio`, `cost` or `streams`.
        target: the model.
        way: what runs.
        conditions: under which.
        versus: for a ratio, the other.
        what: for a ratio, which sort of comparison.
        streams: how many at once; 0 where it is about something else.
        held: how those are held.
    """

    kind: str
    target: str
    way: Implementation
    conditions: Conditions
    versus: Implementation | None = None
    what: str = ""
    streams: int = 0
    held: str = ""

    @property
    def id(self) -> str:
        """Unique in a plan, and the same in the next run of it."""
        parts = [short_name(self.target), str(self.way)]
        if self.versus:
            parts += ["against", str(self.versus)]
        if self.streams:
            parts.append(held_text(self.streams, self.held).replace(" ", "-"))
        return "-".join([*parts, str(self.conditions)])

    @property
    def label(self) -> str:
        """The `id` of its line in a journal."""
        return f"{self.kind} {self.id}"


def numbers(what: str, given: str) -> tuple[int, ...]:
    """`1,32` -> (1, 32).

    Raises:
        RnnbenchError: one is not a whole number above 0.
    """
    try:
        found = tuple(dict.fromkeys(int(part) for part in given.split(",")))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise RnnbenchError(f"{what} {given!r}: give whole numbers above 0, as in 1,32,128")
    return found


def find_runtimes(plan: Plan) -> tuple[str, ...]:
    """Those that were asked for, or those that a plan of this size has."""
    if plan.training:
        return plan.runtimes or trainers()[: 1 if plan.quick else None]
    size = "quick" if plan.quick else "full"
    timed = streamers() if plan.streams else tuple(runtimes.timeable())
    if plan.precisions:
        timed = tuple(name for name in timed if any(keeps(name, p) for p in plan.precisions))
    return plan.runtimes or tuple(name for name in timed if size in timing_of(name).plans)


def trainers() -> tuple[str, ...]:
    """The runtimes that have a backward, the usual one first."""
    found = [name for name in runtimes.timeable() if TRAINING in timing_of(name).modes]
    return tuple(sorted(found, key=lambda name: name != "eager"))


def streamers() -> tuple[str, ...]:
    """The runtimes that are timed with streams."""
    return tuple(name for name in runtimes.timeable() if timing_of(name).open is not None)


def items(plan: Plan) -> Iterator[Item]:
    """Every measurement of a plan, one model at a time."""
    ways = [
        (runtime, mode)
        for runtime in find_runtimes(plan)
        for mode in timing_of(runtime).modes
        if (mode == TRAINING) == plan.training and not (mode and (plan.streams or plan.precisions))
    ]
    for target in dict.fromkeys(plan.targets):
        sized, file = target in _variants(), _of_file(target)
        sizes = itertools.product(plan.hidden, plan.layers) if sized else [(None, None)]
        for hidden, layers in sizes:
            for n, (device, threads, batch, time) in enumerate(
                itertools.product(plan.devices, plan.threads, plan.batch, plan.time)
            ):
                conditions = Conditions(device, batch, time, hidden, layers, threads)
                on_device = [w for w in ways if device.partition(":")[0] in _devices(*w)]
                if file and not plan.runtimes:  # else it is a row that says so
                    on_device = [w for w in on_device if timing_of(w[0]).format in file]
                if plan.streams:
                    yield from _streams(target, on_device, conditions, plan.streams)
                    continue
                if plan.precisions:
                    yield from _precisions(target, on_device, conditions, plan.precisions, n == 0)
                    continue
                yield from _latencies(target, on_device, conditions)
                ratios = _ratios(target, on_device, conditions)
                yield from (r for r in ratios if not (file and r.what == "ours/stock"))
                if n == 0:
                    yield from _costs(target, on_device, conditions)


def forms_of(target: str) -> tuple[str, ...]:
    """A cell as loop, as export makes it, and as fused layer; anything else as it is."""
    if target in CELLS:
        return FORMS
    return FORMS[:2] if target.endswith("-loop") else ("model",)


def short_name(target: str) -> str:
    """A target without its folder, for names: `my/net.py:make` is `net.make`."""
    where, _, function = target.partition(".py")
    name = Path(where).name + function.replace(":", ".")
    return re.sub(r"[^A-Za-z0-9._]+", "_", name) or "model"


def _latencies(
    target: str, ways: Sequence[tuple[str, str]], conditions: Conditions
) -> Iterator[Item]:
    for form in forms_of(target):
        for runtime, mode in ways:
            if form != "exported" or timing_of(runtime).format != "eager":
                yield Item("latency", target, Implementation(form, runtime, mode), conditions)


def _ratios(target: str, ways: Sequence[tuple[str, str]], conditions: Conditions) -> Iterator[Item]:
    """Loop against fused layer; each runtime against the first; ours against the stock exporter."""

    def ratio(first: Implementation, second: Implementation, what: str) -> Item:
        return Item("ratio", target, first, conditions, second, what)

    forms = forms_of(target)
    if target in CELLS:
        for runtime, mode in ways:
            if mode in ("", TRAINING):
                loop, fused = (Implementation(form, runtime, mode) for form in ("loop", "fused"))
                yield ratio(loop, fused, "loop/fused")
    if ways:
        base = Implementation(forms[-1], *next((w for w in ways if w == ("eager", "")), ways[0]))
        for runtime, mode in ways:
            way = Implementation(forms[-1], runtime, mode)
            if way != base:
                yield ratio(way, base, "runtime/runtime")
    if ("onnxruntime", "") in ways and conditions.device == "cpu":
        for form in (f for f in forms if f != "loop"):
            ours, stock = (Implementation(form, "onnxruntime", mode) for mode in ("", STOCK))
            yield ratio(ours, stock, "ours/stock")


def _costs(target: str, ways: Sequence[tuple[str, str]], conditions: Conditions) -> Iterator[Item]:
    form = forms_of(target)[-1]
    for runtime, mode in ways:
        if not mode:
            yield Item("cost", target, Implementation(form, runtime), conditions)


def _streams(
    target: str, ways: Sequence[tuple[str, str]], conditions: Conditions, counts: Sequence[int]
) -> Iterator[Item]:
    """Each number of streams, in each way to hold them: these are measured by turns."""
    form = forms_of(target)[-1]
    for (runtime, _), count in itertools.product(ways, counts):
        for held in ways_to_hold(count):
            rows = replace(conditions, batch=count) if held == ONE_BATCH else conditions
            way = Implementation(form, runtime)
            yield Item("streams", target, way, rows, streams=count, held=held)


def _precisions(
    target: str,
    ways: Sequence[tuple[str, str]],
    conditions: Conditions,
    precisions: Sequence[str],
    costs: bool,
) -> Iterator[Item]:
    """Each precision of one form, by itself and against float32 in the same runtime."""
    form = forms_of(target)[-1]
    for runtime, mode in ways:
        plain = Implementation(form, runtime, mode)
        rounded = [replace(plain, precision=precision) for precision in precisions]
        for way in (plain, *rounded):
            yield Item("latency", target, way, conditions)
        for way in rounded:
            yield Item("ratio", target, way, conditions, plain, "precision/float32")
        for way in (plain, *rounded) if costs else ():
            yield Item("cost", target, way, conditions)


def keeps(runtime: str, precision: str) -> bool:
    """Whether the file that a runtime reads keeps weights in a precision."""
    format = timing_of(runtime).format
    known = format in plugins.names("formats")
    return known and precision in plugins.load("formats", format).FORMAT.precisions


def rounds_alike(runtime: str, precision: str) -> bool:
    """Whether the weights in that file have the levels that they are rounded to here."""
    from rnnbench.models.precision import LEVELS

    writer = plugins.load("formats", timing_of(runtime).format).FORMAT
    return bool(writer.levels.get(precision, LEVELS) == LEVELS)


def _of_file(target: str) -> tuple[str, ...]:
    """The formats of a bundle of a file, which has no module and no other exporter; else none."""
    bundle = Bundle.open(target) if is_bundle(Path(target)) else None
    return tuple(bundle.artifacts) if bundle is not None and bundle.of_file else ()


def _variants() -> tuple[str, ...]:
    from rnnbench.models import variants

    return variants.names()


def _devices(runtime: str, mode: str) -> tuple[str, ...]:
    return timing_of(runtime).modes[mode]


def timing_of(runtime: str) -> Timing:
    """How a runtime of a plan is timed."""
    found = runtimes.get(runtime).timing
    assert found is not None, "plans hold runtimes that can be timed"
    return found

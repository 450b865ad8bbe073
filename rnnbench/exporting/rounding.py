"""A module whose weights are rounded before it is exported, and what that costs.

The cost of a layer is that of rounding it alone: which one to keep as float32 can be told by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays, Model
from rnnbench.core.price import Price, shown
from rnnbench.core.tables import format_table
from rnnbench.models.precision import (
    LEVELS,
    UNCHANGED,
    WHOLE,
    Weight,
    kept_signal,
    layers_of,
    round_each,
    weights_of,
)

_MOST = 20  # rows: more layers than these are grouped by what they are parts of


def rounded(
    model: Model,
    precision: str,
    keep: Sequence[str] = (),
    *,
    each_alone: bool = False,
    levels: int = LEVELS,
    arrays: Arrays | None = None,
) -> dict[str, Any]:
    """Rounds the weights of a model in place.

    Args:
        model: its module is changed.
        precision: one of `rnnbench.models.precision.PRECISIONS`.
        keep: patterns of layers that stay float32.
        each_alone: whether the cost of each layer is measured as well.
        levels: of an int8, on each side of 0.
        arrays: the inputs that the cost is measured with; those of the first case, unless given.

    Returns:
        What the manifest says of it: the numbers of weights, how many dB each output is above the
        change (`signal_db`), and of each layer the same (`sensitivity`), the dearest first.

    Raises:
        RnnbenchError: there is nothing to round, a pattern is of no layer, or a weight is too
            large.
    """
    outputs = partial(outputs_of, model, arrays)

    before, errors = outputs(), errors_of(model)
    weights = weights_of(model.module, keep)
    found: list[dict[str, Any]] = []
    for layer, group in _groups(weights).items() if each_alone else ():
        as_it_was = [weight.data.detach().clone() for weight in group]
        round_each(group, precision, levels)
        found.append({"layer": layer, **_cost(group, before, outputs())})
        with torch.no_grad():
            for weight, data in zip(group, as_it_was, strict=True):
                weight.data.copy_(data)
    round_each(weights, precision, levels)
    said: dict[str, Any] = {"name": precision, **_cost(weights, before, outputs())}
    if precision in WHOLE:
        said["levels"] = levels
    if errors:
        said["errors"] = {"before": errors, "after": errors_of(model)}
    if keep:
        said["kept"] = list(keep)
    if each_alone:
        said["sensitivity"] = sorted(found, key=lambda row: Price.from_json(row).worst[1])
    return said


def outputs_of(model: Model, arrays: Arrays | None = None) -> Arrays:
    """What the module gives for inputs; for those of the first case, unless they are given."""
    from rnnbench.capture.tracing.sizes import traced_sizes
    from rnnbench.cases.inputs import make_inputs
    from rnnbench.cases.plans import plan_cases
    from rnnbench.models.calls import call, undisturbed

    if arrays is None:
        arrays = make_inputs(model, plan_cases(model, traced_sizes(model))[0])
    with undisturbed(model.module):
        return call(model.module, model.inputs, model.outputs, arrays)


def errors_of(model: Model) -> dict[str, float | None]:
    """What the model's own `evaluate` says of its module as it is now; nothing without one.

    None is said of what is not finite.

    Raises:
        RnnbenchError: it fails, or gives something else than numbers by name.
    """
    from rnnbench.models.calls import undisturbed

    if model.evaluate is None:
        return {}
    try:
        with undisturbed(model.module), torch.no_grad():
            found = model.evaluate(model.module)
    except Exception as error:
        raise RnnbenchError(
            f"evaluate of model {model.name!r} failed ({type(error).__name__}: {one_line(error)}): "
            "it is called with the module alone"
        ) from error
    try:
        numbers = {str(name): float(value) for name, value in found.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise RnnbenchError(
            f"evaluate of model {model.name!r} gave {repr(found)[:60]}: "
            "return a number for each name, as {'MAE, degC': 1.93}"
        ) from error
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _cost(weights: Sequence[Weight], before: Arrays, after: Arrays) -> dict[str, Any]:
    signal = {name: round(db, 1) for name, db in kept_signal(before, after).items()}
    return {"weights": sum(w.data.numel() for w in weights), "signal_db": signal}


def _groups(weights: Sequence[Weight]) -> dict[str, list[Weight]]:
    """The weights by layer; where those are many, by what they are parts of."""
    groups = layers_of(weights)
    depth = max(name.count(".") for name in groups)
    while len(groups) > _MOST and depth:
        merged: dict[str, list[Weight]] = {}
        for name, group in groups.items():
            shorter = ".".join(name.split(".")[:depth])
            merged.setdefault(shorter, []).extend(group)
        groups, depth = merged, depth - 1
    return groups


def cost_in_words(said: dict[str, Any]) -> str:
    """What the rounding of the weights does to the outputs."""
    changed = {name: db for name, db in said["signal_db"].items() if db < UNCHANGED}
    signal = ", ".join(f"{name} by {db} dB" for name, db in changed.items())
    above = f"; the signal is above the change of {signal}" if signal else ""
    others = ", ".join(name for name in said["signal_db"] if name not in changed)
    above += f"; unchanged: {others}" if others else ""
    kept = f"; kept as float32: {', '.join(said['kept'])}" if said.get("kept") else ""
    errors = said.get("errors", {})
    price = "".join(
        f"; {name}: {shown(value)} -> {shown(errors['after'].get(name))}"
        for name, value in errors.get("before", {}).items()
    )
    return f"{said['weights']:,} weights rounded to {said['name']}{price}{above}{kept}"


def format_sensitivity(said: dict[str, Any]) -> str:
    """A table of what each layer costs alone, at most 80 columns where the names allow it."""
    rows = []
    for row in [*said["sensitivity"], said | {"layer": "all of them"}]:
        output, db = Price.from_json(row).worst
        share = f"{row['weights'] / said['weights']:.0%}"
        above = f"{db:.1f}" if db < UNCHANGED else "unchanged"
        rows.append((row["layer"], f"{row['weights']:,}", share, output, above))
    head = ("layer", "weights", "share", "output", "dB above the change")
    title = f"Each layer alone as {said['name']}, the dearest first (--keep float32:LAYER):"
    return f"{title}\n{format_table(head, rows)}"

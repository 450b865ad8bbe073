"""The function `sample` of a draft: inputs that follow from one another, and numbers of steps.

lengths in falling order, each of 7 or more   ->   what packs them, after layers that halve them
masks that are True for the first steps       ->   what counts them
ids that are 0 where a row has ended          ->   the same
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnnbench.core.dims import products
from rnnbench.core.model import Arrays, TensorSpec
from rnnbench.models.declaration.guesses import Guess, Sampling
from rnnbench.models.declaration.values import quoted


def sample_text(found: Guess) -> str:
    """The function's text; nothing where inputs that do not follow from one another will do."""
    how = found.sampling
    if how == Sampling():
        return ""
    ended = (*how.prefixes, *how.padded)
    sized = [s for s in found.inputs if s.role == "lengths" or s.name in ended]
    batch, time = _batch_of(sized[0]), _time_of(found, sized)
    order = " in falling order" if how.falling else ""
    said = {
        "lengths": f"numbers of steps{order}, as the module wants them",
        "masks": f"masks of the first steps{order and ', fewer in each row'}",
        "ids": f"ids that are 0 where a row has ended{order and ', fewer in each row'}",
    }
    kind = "ids" if how.padded else "masks"
    kind = "lengths" if any(s.role == "lengths" for s in sized) else kind
    lines = [
        "def sample(dims, generator):",
        f'    """Random inputs, {said[kind]}."""',
        *_lengths(how, batch, time),
        "    return {",
        *(f'        "{spec.name}": {_made(spec, how)},' for spec in found.inputs),
        "    }",
    ]
    return "\n".join(lines)


def sample_function(found: Guess) -> Callable[[Mapping[str, int], Any], Arrays] | None:
    """The function itself, as it stands in the draft; None where there is none."""
    text = sample_text(found)
    if not text:
        return None
    names: dict[str, Any] = {"np": np}
    exec(text, names)  # written above
    made: Callable[[Mapping[str, int], Any], Arrays] = names["sample"]
    return made


def _lengths(how: Sampling, batch: str, time: str) -> list[str]:
    if how.full:
        return [f"    lengths = np.full({batch}, {time})  # all steps of all rows"]
    least = f"min({how.least}, {time})" if how.least > 1 else "1"
    return [
        f"    lengths = generator.integers({least}, {time} + 1, {batch})",
        *(["    lengths = -np.sort(-lengths)"] if how.falling else []),
        f"    lengths[:1] = {time}",
    ]


def _batch_of(spec: TensorSpec) -> str:
    return _size(spec.shape[0] if len(spec.shape) else 1)


def _time_of(found: Guess, sized: list[TensorSpec]) -> str:
    """The most steps there are: of a mask's own axis, else of the dimension `time`."""
    for spec in sized:
        if spec.name in (*found.sampling.prefixes, *found.sampling.padded):
            return _size(spec.shape[-1])
    dims = [d for spec in found.inputs for d in spec.dims]
    return _size("time" if "time" in dims else next((d for d in dims if d != "batch"), 1))


def _size(size: int | str) -> str:
    return f'dims["{size}"]' if isinstance(size, str) else str(size)


def _made(spec: TensorSpec, how: Sampling) -> str:
    sizes = [_expression(d) for d in spec.shape]
    shape = f"({', '.join(sizes)},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
    if spec.role == "lengths":
        return "lengths" if spec.dtype == "int64" else f"lengths.astype({quoted(spec.dtype)})"
    if spec.name in how.prefixes:
        steps = f"np.arange({sizes[-1]}) < lengths[:, None]"
        steps = f"({steps})[:, None]" if len(sizes) == 3 else steps
        return steps if spec.dtype == "bool" else f"({steps}).astype({quoted(spec.dtype)})"
    if spec.role == "state":
        return f"np.zeros({shape}, dtype={quoted(spec.dtype)})"
    numbers = _drawn(spec, shape, least=int(spec.name in how.padded))
    rest = f" * (np.arange({sizes[-1]}) < lengths[:, None])"
    return numbers + (rest if spec.name in how.padded else "")


def _drawn(spec: TensorSpec, shape: str, least: int) -> str:
    """Random values of a shape; whole numbers from a least one on."""
    if spec.dtype == "bool":
        return f"generator.random({shape}) < 0.5"
    if spec.dtype.startswith("int"):
        high = spec.high or 2
        return f"generator.integers({least}, {high}, {shape}, dtype={quoted(spec.dtype)})"
    return f"generator.standard_normal({shape}).astype({quoted(spec.dtype)})"


def _expression(size: int | str) -> str:
    """A size as Python computes it: `10 * dims["time"] + 1`."""
    if not isinstance(size, str):
        return str(size)
    parts = [
        "*".join(f if f.isdecimal() else _size(f) for f in part) for part in products(size) or ()
    ]
    return " + ".join(parts).replace("*", " * ")

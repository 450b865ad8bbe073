"""Weights in fewer bits: a module whose weights are rounded to what a file will keep.

The module that has the rounded weights is what is exported, stored and judged: a file that keeps
them in fewer bits computes the same as it, and what the rounding costs is measured beside it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.core.model import Arrays

if TYPE_CHECKING:
    import torch

STATIC = "int8-static"
"""The precision whose scales of values are measured, once and for all."""

WHOLE = ("int8-dynamic", "int8-dynamic-ort", STATIC)
"""Those in which products are of whole numbers: `int8-dynamic-ort` has ONNX Runtime's own LSTM."""

PRECISIONS = ("float16", "bfloat16", "int8-weights", *WHOLE)
"""What weights are kept as."""

LEVELS = 127
"""Of an int8, on each side of 0."""

UNCHANGED = 300.0
"""Decibels, of an output that is what it was."""

LOUD = 100.0
"""How many times as large as usual inputs are where `coarseness_when_loud` counts."""

_OFF = 3e-5  # of a level: 127 levels of a float32 rounding are 8e-6
_SAMPLE = (32, 8)  # rows and columns of a matrix that are tried first
_NAMED = 6  # layers of a message
_ULPS = 3  # that a factor may be off by, worked out of a number that was rounded


def coarseness_of(said: Mapping[str, Any] | None) -> float:
    """How many times as coarse as float32 the arithmetic is.

    An int16 in units of a 32,767th of its row's largest number is 256 times as coarse as a float32
    there, 1,024 times for one of a fourth of that size; a whole number up to 127 is 256 times as
    coarse once more. What `export` writes so has a reference beside which it is no coarser
    (`rnnbench.cases.rounded`): this is of somebody else's file.

    Args:
        said: what the manifest says of the precision.
    """
    if said is None or said["name"] not in WHOLE:
        return 1.0
    return 1024.0 if said.get("levels", LEVELS) == LEVELS else 1024.0 * 256


def coarseness_when_loud(said: Mapping[str, Any] | None) -> float:
    """How much coarser a file that rounds values is judged where inputs are hundreds.

    Of values of 16 bits most decisions are close ones. Where inputs are so large that a rounding of
    float32 decides what comes out, it takes more runs than the noise is told by to see them all.

    Args:
        said: what the manifest says of the precision.
    """
    if said is None or said["name"] not in WHOLE or said.get("levels", LEVELS) != LEVELS:
        return 1.0
    return 1024.0


def check_precision(name: str) -> None:
    """Refuses what is none.

    Raises:
        RnnbenchError: there is no such precision.
    """
    if name not in PRECISIONS:
        raise choices("precision", name, PRECISIONS)


@dataclass(frozen=True)
class Weight:
    """A parameter that can be rounded.

    Attributes:
        name: as in `named_parameters()`.
        layer: what `keep` calls it: the module that it is of, or one layer of a stack.
        data: float32, of at least two dimensions.
        axis: the dimension of its output channels; None: not known.
    """

    name: str
    layer: str
    data: torch.nn.Parameter
    axis: int | None

    def is_of(self, pattern: str) -> bool:
        """Whether a pattern is of its name, or of a module that it is in."""
        return fnmatchcase(self.name, pattern) or fnmatchcase(self.name, f"{pattern}.*")


def round_weights(
    module: torch.nn.Module, precision: str, keep: Sequence[str] = (), levels: int = LEVELS
) -> int:
    """Rounds the weights of a module in place, those of at least two dimensions.

    An int8 is `round(w / s)` with `s = max |w| / 127` over an output channel (a row of a layer's
    matrix, a filter of a convolution), or over all of a parameter that belongs to no such layer.
    Embeddings, biases and what is normalised by stay as they are.

    Args:
        module: whose parameters are rounded.
        precision: one of PRECISIONS.
        keep: patterns of what stays as it is: `decoder`, `*.out`, `rnn.*_l0`.
        levels: of an int8, on each side of 0, in the place of 127.

    Returns:
        How many numbers were rounded.

    Raises:
        RnnbenchError: a weight is too large for float16, there is nothing to round, or a pattern is
            of nothing.
    """
    return round_each(weights_of(module, keep), precision, levels)


def weights_of(module: torch.nn.Module, keep: Sequence[str] = ()) -> list[Weight]:
    """What `round_weights` rounds.

    Raises:
        RnnbenchError: a pattern is of no weight.
    """
    weights = [*_weights(module)]
    for pattern in keep:
        if not any(weight.is_of(pattern) for weight in weights):
            names = ", ".join([*layers_of(weights)][:_NAMED])
            raise RnnbenchError(
                f"--keep float32:{pattern} is of no weight that is rounded: give a layer ({names} "
                "...), or a pattern of them with *"
            )
    return [weight for weight in weights if not any(weight.is_of(p) for p in keep)]


def layers_of(weights: Sequence[Weight]) -> dict[str, list[Weight]]:
    """The weights of each layer, in their order."""
    found: dict[str, list[Weight]] = {}
    for weight in weights:
        found.setdefault(weight.layer, []).append(weight)
    return found


def round_each(weights: Sequence[Weight], precision: str, levels: int = LEVELS) -> int:
    """Rounds weights in place; the rest is that of `round_weights`."""
    import torch

    with torch.no_grad():
        for weight in weights:
            rounded = _rounded(weight.data.detach(), precision, weight.axis, levels)
            if not torch.isfinite(rounded).equal(torch.isfinite(weight.data)):
                raise RnnbenchError(
                    f"{weight.name} has a weight of {weight.data.abs().max().item():.3g}, and "
                    "float16 ends at 65504: export with --precision bfloat16"
                )
            made_so = weight.data.is_inference()  # which no_grad does not write to
            with torch.inference_mode() if made_so else torch.no_grad():
                weight.data.copy_(rounded)
    count = sum(weight.data.numel() for weight in weights)
    if not count:
        raise RnnbenchError(
            f"the model has no matrix of float32 weights to keep as {precision}: export it without "
            "--precision"
        )
    return count


def _weights(module: torch.nn.Module) -> Iterator[Weight]:
    """Each weight once."""
    import torch
    from torch import nn

    seen = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    rows = (nn.Linear, nn.RNNBase, nn.RNNCellBase, nn.modules.conv._ConvNd, nn.Bilinear)
    for path, part in module.named_modules():
        stacked = isinstance(part, nn.RNNBase) and part.num_layers * (1 + part.bidirectional) > 1
        for name, weight in part.named_parameters(recurse=False):
            if id(weight) in seen or weight.dim() < 2 or weight.dtype is not torch.float32:
                continue
            seen.add(id(weight))
            turned = isinstance(part, nn.modules.conv._ConvTransposeNd)
            axis = int(turned) if isinstance(part, rows) else None
            full = f"{path}.{name}" if path else name
            of_stack = f"*{name[name.rindex('_l') :]}" if stacked else ""
            layer = ".".join(filter(None, (path, of_stack))) or full
            yield Weight(full, layer, weight, axis)


def _rounded(weight: torch.Tensor, precision: str, axis: int | None, levels: int) -> torch.Tensor:
    import torch

    if precision in ("float16", "bfloat16"):
        return weight.to(getattr(torch, precision)).to(weight.dtype)
    others = [d for d in range(weight.dim()) if d != axis]
    exact = weight.double()
    step = exact.abs().amax(others, keepdim=True) / levels
    whole = torch.where(step > 0, exact / step, torch.zeros_like(exact)).round()
    return (whole * step.float().double() + 0.0).to(weight.dtype)  # an int8 has no -0


def in_fewer_bits(
    weight: torch.Tensor, precision: str
) -> tuple[torch.Tensor, torch.Tensor | None] | None:
    """A weight that was rounded, as a file keeps it, and what that is to be multiplied by.

    Args:
        weight: float32, of at least two dimensions, in any order of them.
        precision: one of PRECISIONS.

    Returns:
        The weight in float16 or bfloat16, and None; or as int8, and float32 factors that broadcast
        to its shape. None where it is not so rounded, or would take no fewer bytes.
    """
    import torch

    if weight.dim() < 2 or weight.dtype is not torch.float32 or not weight.numel():
        return None
    if precision in ("float16", "bfloat16"):
        rounded = weight.to(getattr(torch, precision))
        return (rounded, None) if torch.equal(rounded.to(weight.dtype), weight) else None
    for axes in _axes_of_factors(weight.shape):
        others = [d for d in range(weight.dim()) if d not in axes]
        order = [*others, *axes]
        turned = weight.permute(order)
        kept = [weight.shape[d] for d in axes]
        found = whole_numbers(turned.reshape(-1, math.prod(kept)))
        if found is not None:
            back = [order.index(d) for d in range(weight.dim())]
            whole, steps = found
            wide = steps.reshape([1] * len(others) + kept).permute(back)
            return whole.reshape(turned.shape).permute(back).contiguous(), wide.contiguous()
    return None


def _axes_of_factors(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """The dimensions that a factor may be for each element of: the fewest factors first."""
    several = [d for d, size in enumerate(shape) if size > 1]
    found = [c for n in range(len(several)) for c in itertools.combinations(several, n)]
    counts = {axes: math.prod(shape[d] for d in axes) for axes in found}
    fewer = [axes for axes in found if math.prod(shape) + 4 * counts[axes] < 4 * math.prod(shape)]
    return sorted(fewer, key=counts.__getitem__)


def whole_numbers(
    matrix: torch.Tensor, levels: int = LEVELS
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """A matrix as int8 and a factor for each column, where it is a product of such.

    Args:
        matrix: [k, n], float32.
        levels: that the whole numbers have at most, on each side of 0.

    Returns:
        int8 [k, n] and float32 [n]; their product, rounded to float32, is the matrix itself where
        there are such, and else the matrix but for roundings. None where it is none.
    """
    import torch

    apart = [max(1, size // most) for size, most in zip(matrix.shape, _SAMPLE, strict=True)]
    some = matrix[:, :: apart[1]].double()
    if _factors(some[:: apart[0]], some.abs().amax(0), levels) is None:
        return None
    exact = matrix.double()
    if not torch.isfinite(exact).all():
        return None
    factors = _factors(exact, exact.abs().amax(0), levels)
    if factors is None:
        return None
    steps = _exact_steps(exact, factors)
    safe = torch.where(steps > 0, steps, torch.ones_like(steps))
    return (exact / safe).round().to(torch.int8), steps


def _factors(exact: torch.Tensor, largest: torch.Tensor, most: int) -> torch.Tensor | None:
    """Of each column of [k, n] what its numbers are whole multiples of; None where one has none."""
    import torch

    factors = torch.zeros_like(largest)
    left = largest > 0
    for levels in range(most, 0, -1):
        if not left.any():
            break
        ratio = exact[:, left] / (largest[left] / levels)
        found = left.nonzero()[:, 0][(ratio - ratio.round()).abs().amax(0) < _OFF]
        factors[found] = largest[found] / levels
        left[found] = False
    return None if left.any() else factors


def _exact_steps(exact: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """The factors in float32: where a neighbour of one gives its column bit for bit, that one."""
    import torch

    best = factors.float()
    whole = (exact / torch.where(factors > 0, factors, torch.ones_like(factors))).round()
    matrix = exact.float()
    up = down = best
    infinity = torch.full_like(best, torch.inf)
    left = ~((whole * best.double()).float() == matrix).all(0)
    for _ in range(_ULPS):
        up, down = torch.nextafter(up, infinity), torch.nextafter(down, -infinity)
        for steps in (up, down):
            if not left.any():
                return best
            same = ((whole[:, left] * steps[left].double()).float() == matrix[:, left]).all(0)
            found = left.nonzero()[:, 0][same]
            best = best.index_copy(0, found, steps[found])
            left[found] = False
    return best


def kept_signal(before: Arrays, after: Arrays) -> dict[str, float]:
    """How much of each output is left: 10 log10 of its power over that of the change, in dB.

    It is UNCHANGED at most.

    Args:
        before: the outputs with the weights as they were.
        after: with the rounded ones.
    """
    import numpy as np

    found = {}
    for name, exact in before.items():
        if exact.dtype.kind != "f" or exact.shape != after[name].shape or not exact.size:
            continue
        change = np.square(np.asarray(after[name], np.float64) - exact).mean()
        power = np.square(exact.astype(np.float64)).mean()
        if power > 0 and np.isfinite(change):
            least = 10 ** (-UNCHANGED / 10) * power
            found[name] = min(UNCHANGED, float(10 * np.log10(power / max(change, least))))
    return found

"""What a rolled loop does when its graph is run or traced anew.

A rolled graph calls these functions; traced once more, each leaves PyTorch's operators behind:

    per_step(x, 1, 0, None, 1)      ->  movedim(x, 1, 0)
    run_scan(body, [h0], [xs], [])      ->  scan(body, [h0], [xs], ())
    written(zeros, ys, 0, 0, None, ...) ->  ys, where all of the steps are written
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rnnbench.capture.operators.scan import scan, scan_in_python


def run_scan(
    body: Callable[..., Any], first: Sequence[Tensor], xs: Sequence[Tensor], extras: Sequence[Any]
) -> tuple[Tensor, ...]:
    """Runs `body(*carry, *x_t, *extras) -> (carry, values)` once a step.

    Args:
        body: one step.
        first: the carried values before the first step.
        xs: (time, ...) each, the per-step inputs.
        extras: what is the same in all steps.

    Returns:
        The carried values after the last step, then each value of all steps (time, ...).
    """
    if not first:  # a scan must carry something: a number that stays 0

        def alone(nothing: Tensor, *arguments: Any) -> Any:
            return (nothing,), body(*arguments)[1]

        return run_scan(alone, [torch.zeros(1, device=xs[0].device)], xs, extras)[1:]

    def step(*arguments: Any) -> tuple[Tensor, ...]:
        after, values = body(*arguments)  # x_t has lost the time of xs: [batch, ...]
        # A scan's results may be neither its arguments nor one another.
        return (*map(_own, after), *map(_own, values))

    # Fake and functional tensors are a trace's own classes; plain ones are there to be computed.
    run = scan_in_python if type(xs[0]) in (Tensor, torch.nn.Parameter) else scan
    return run(step, [_own(f) for f in first], xs, extras)


def _own(x: Tensor) -> Tensor:
    """A copy, laid out in order: what a scan hands on is to be laid out as what it was given."""
    return x.clone(memory_format=torch.contiguous_format)


def run_scan_or_nothing(
    body: Callable[..., Any], first: Sequence[Tensor], xs: Sequence[Tensor], extras: Sequence[Any]
) -> tuple[Tensor, ...]:
    """`run_scan` for a loop that may have no steps, which a scan may not have.

    A step that changes nothing is put before the others, and its values are left out.
    """
    none = torch.zeros(1, dtype=torch.bool, device=xs[0].device)  # [1]: the step that is added
    live = torch.cat([none, _true_for_each(xs[0])])  # [1 + time]: False, then True
    padded = [torch.cat([x.new_zeros((1, *x.shape[1:])), x]) for x in xs]  # [1 + time, ...]

    def step(*arguments: Any) -> Any:
        carry, now = arguments[: len(first)], arguments[len(first)]
        after, values = body(*carry, *arguments[len(first) + 1 :])
        # now [] is broadcast over the state: the added step hands on what it was handed
        return tuple(torch.where(now, a, c) for a, c in zip(after, carry, strict=True)), values

    results = run_scan(step, first, [live, *padded], extras)
    # The last states as they are; of the values [1 + time, ...] all but the first.
    return (*results[: len(first)], *(v[1:] for v in results[len(first) :]))


def _true_for_each(steps: Tensor) -> Tensor:
    """(time,) True, made of the values: the size that a trace gives an empty slice is negative."""
    odd = steps != steps  # [time, ...]: True for NaN
    odd = odd.any(tuple(range(1, steps.dim()))) if steps.dim() > 1 else odd
    return odd | ~odd  # [time]


def aligned(x: Tensor, rank: int) -> Tensor:
    """(time, ...) with ones after time, so that it broadcasts with `rank` dimensions beside it."""
    # rank 2: [time, hidden] -> [time, 1, hidden], for a [time, batch, hidden] beside it
    return x.reshape(x.shape[0], *[1] * (rank + 1 - x.dim()), *x.shape[1:])


def shifted(first: Tensor, values: Tensor) -> Tensor:
    """(time, ...) values of the step before each: `first`, then all but the last; also of none."""
    # first [batch, hidden] -> [1, batch, hidden]; with the values, and without the last of them
    return torch.cat([first.unsqueeze(0), values])[:-1]


def per_step(x: Tensor, dim: int, start: int, stop: int | None, stride: int) -> Tensor:
    """Steps `start` to `stop` of a dimension, as a first dimension, in the order of the loop."""
    x = x.movedim(dim, 0) if dim else x  # [batch, time, input] -> [time, batch, input]
    if stride < -1:  # every other step backwards: start and stop are counted from the end
        return x.flip(0)[start:stop:-stride]
    x = x if (start, stop, abs(stride)) == (0, None, 1) else x[start : stop : abs(stride)]
    return x.flip(0) if stride < 0 else x


def written(
    into: Tensor, values: Tensor, dim: int, start: int, stop: int | None, stride: int
) -> Tensor:
    """`into` with (time, ...) values in the steps `start` to `stop` of a dimension."""
    if stride < -1:
        flipped = written(into.flip(dim), values, dim, start, stop, -stride)
        return flipped.flip(dim)
    values = values.flip(0) if stride < 0 else values  # [time, batch, ...], in the order of `into`
    values = values.movedim(0, dim) if dim else values  # [batch, time, ...] as `into` has them
    if (start, stop, abs(stride)) == (0, None, 1):  # nothing is left of `into`
        return values
    return torch.slice_scatter(into, values, dim, start, stop, abs(stride))


def repeated(x: Tensor, steps: int) -> Tensor:
    """(time, ...) of what is the same in all steps."""
    return x.unsqueeze(0).expand(steps, *x.shape)

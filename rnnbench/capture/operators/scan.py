"""The one place that calls `torch._higher_order_ops`: tried on torch 2.11 to 2.14."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

SCAN = torch.ops.higher_order.scan
COND = torch.ops.higher_order.cond
WHILE_LOOP = torch.ops.higher_order.while_loop


Step = Callable[..., Sequence[Tensor]]


def repeat_while(
    going: Callable[..., Tensor], step: Step, carried: Sequence[Tensor], more: Sequence[Any]
) -> tuple[Tensor, ...]:
    """Runs `step(*carried, *more) -> carried` while `going(*carried, *more)` [] is true.

    The arguments are as of `scan`.
    """
    return tuple(WHILE_LOOP(going, step, tuple(carried), tuple(more)))


def scan(
    step: Step, init: Sequence[Tensor], xs: Sequence[Tensor], more: Sequence[Any] = ()
) -> tuple[Tensor, ...]:
    """Runs `step(*carry, *x_t, *more) -> (*carry, *y_t)` over the first dimension of `xs`.

    The operator is called as it is: PyTorch's function of this name compiles the step first, and
    asks what it compiled earlier in the process whether that fits, which fixes sizes that a trace
    has left open.

    Args:
        step: one step; it closes over no tensor, and no result is an argument or another result.
        init: the carry [batch, hidden] before the first step.
        xs: [time, batch, ...] each.
        more: what is the same in all steps.

    Returns:
        The last carry [batch, hidden], then every y_t stacked [time, batch, ...].
    """
    return tuple(SCAN(step, list(init), list(xs), tuple(more)))


def scan_in_python(
    step: Step, init: Sequence[Tensor], xs: Sequence[Tensor], more: Sequence[Any] = ()
) -> tuple[Tensor, ...]:
    """What `scan` does, one step after the other; a trace unrolls it."""
    carry, values = tuple(init), []
    for x in zip(*xs, strict=True):  # one x_t [batch, ...] of each
        results = tuple(step(*carry, *x, *more))
        carry, value = results[: len(carry)], results[len(carry) :]
        values.append(value)
    # [time, batch, ...] each
    return (*carry, *(torch.stack(v) for v in zip(*values, strict=True)))

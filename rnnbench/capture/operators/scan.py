"""The one place that calls `torch._higher_order_ops`: tried on torch 2.11 to 2.13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._higher_order_ops import while_loop
from torch._higher_order_ops.scan import scan as _scan

SCAN = torch.ops.higher_order.scan
COND = torch.ops.higher_order.cond
WHILE_LOOP = torch.ops.higher_order.while_loop


def repeat_while(
    going: Callable[..., Any], step: Callable[..., Any], carried: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Runs `step(*carried) -> carried` while `going(*carried)` [] is true."""
    return tuple(while_loop(going, step, carried))


def scan(step: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
    """Runs `step(carry, x_t) -> (carry, y_t)` over the first dimension of `xs`.

    Returns:
        The last carry, and every y_t stacked along a new first dimension.
    """
    # init [batch, hidden], xs [time, batch, ...] -> [batch, hidden], [time, batch, ...]
    return _scan(step, init, xs)

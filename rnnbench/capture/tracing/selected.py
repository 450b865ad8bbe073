"""Rows that a mask selects: how many there are is a number that a trace does not know."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rnnbench.capture.graph_edit import number


def select_rows(x: Tensor, mask: Tensor) -> Tensor:
    """Stands in for `torch.masked_select(x, mask)`.

    A mask of whole rows, [batch, 1, 1] of an x [batch, time, 4], selects those: what is made of
    them by `view(-1, time, 4)` has as many rows as there are, which a trace could not divide.
    """
    whole = mask.dim() == x.dim() and all(number(size) == 1 for size in mask.shape[1:])
    if not whole or x.dim() < 2 or 1 in (number(mask.shape[0]), number(x.shape[0])):
        return torch.masked_select(x, mask)
    rows: Tensor = x[mask.flatten(1).squeeze(1)]
    return rows.flatten()


def take_as_some(func: Any, args: tuple[Any, ...], result: Any) -> None:
    """Tells a trace that a mask selects something: `if len(rows) == 0` is answered by no.

    Where nothing is selected, the .pt2 file says so.
    """
    selects = func is torch.Tensor.__getitem__ and _has_mask(args[1])
    if selects or func in (torch.masked_select, torch.Tensor.masked_select):
        torch._check(result.shape[0] >= 1)


def _has_mask(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(p, Tensor) and p.dtype in (torch.bool, torch.uint8) for p in parts)

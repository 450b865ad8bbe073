"""Functions beside the models' classes, in a file of their own."""

from functools import lru_cache

import torch


def padding_mask(lengths, longest=None):
    """[batch, longest], True where a row has ended."""
    if not isinstance(lengths, list):
        lengths = lengths.tolist()
    rows = len(lengths)
    longest = int(max(lengths)) if longest is None else longest
    steps = torch.arange(0, longest, dtype=torch.int64).unsqueeze(0).expand(rows, longest)
    return steps >= steps.new(lengths).unsqueeze(-1)


@lru_cache(maxsize=8)
def ramp(size):
    """[size], computed once for each size."""
    return torch.arange(size) / 10


def numbers(size):
    """[size], of a table that grows with what is asked for."""
    if not hasattr(numbers, "held") or size > numbers.held.numel():
        numbers.held = torch.arange(size)
    return numbers.held[:size]

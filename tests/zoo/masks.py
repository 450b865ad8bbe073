"""Functions beside the models' classes, in a file of their own."""

import torch


def padding_mask(lengths, longest=None):
    """[batch, longest], True where a row has ended."""
    if not isinstance(lengths, list):
        lengths = lengths.tolist()
    rows = len(lengths)
    longest = int(max(lengths)) if longest is None else longest
    steps = torch.arange(0, longest, dtype=torch.int64).unsqueeze(0).expand(rows, longest)
    return steps >= steps.new(lengths).unsqueeze(-1)

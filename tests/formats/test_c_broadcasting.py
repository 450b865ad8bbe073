"""Sizes of `max(lengths)` steps beside `time`: where all lengths are 1 PyTorch broadcasts."""

import shutil

import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.checking.check import check
from rnnbench.runtimes.adapters._compiling import compiler

pytestmark = pytest.mark.skipif(shutil.which(compiler()[0]) is None, reason="no C compiler")


def filled(y, lengths, n, table):
    steps = torch.arange(0, n).unsqueeze(0).expand(len(lengths), -1)
    return y.masked_fill((steps >= lengths.unsqueeze(1)).unsqueeze(-1), -1.0)


def mean_of_valid(y, lengths, n, table):
    mask = (torch.arange(n)[None] < lengths[:, None]).float()
    return (y * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)


def turned(y, lengths, n, table):
    mask = torch.arange(n)[:, None] < lengths[None]
    return torch.where(mask.t().unsqueeze(-1), y, y * 0.5) + mask.sum(0)[:, None, None]


def positions(y, lengths, n, table):
    return y + table[:, :n]


def from_the_second(y, lengths, n, table):
    return y * torch.relu(table[:, :n]) + table[:, 1 : n + 1]


def of_steps(y, lengths, n, table):
    counted = torch.ones(len(lengths), n).cumsum(1)
    return y / counted.unsqueeze(-1) + counted.mean(1)[:, None, None] - torch.zeros(n, 1)


def through_others(y, lengths, n, table):
    """What has no form of its own for one step is given all, which broadcasts likewise."""
    scores = torch.arange(n).float().unsqueeze(0) - lengths.unsqueeze(1)
    return y * torch.nn.functional.gelu(scores.flip(0)[:, :, None].reshape(-1, n, 1))


def a_part(y, lengths, n, table):
    mask = torch.arange(n)[None] < lengths[:, None]
    return y.masked_fill(mask[:1, :, None], 0.25) + mask[1:].sum()


def one_based(y, lengths, n, table):
    steps = torch.arange(1, n + 1)[None]
    return y.masked_fill((steps <= lengths[:, None]).unsqueeze(-1), 0.5) / n + y[:, n - 1, None]


def asked_twice(y, lengths, n, table):
    one = torch.arange(n)[None] < lengths[:, None]
    other = torch.arange(lengths.max().item()).view(1, -1) >= lengths.view(-1, 1) - 1
    return y * (one & other).unsqueeze(-1) + (one & other).float().norm(dim=1)[:, None, None]


def of_a_shorter_table(y, lengths, n, table):
    mask = torch.arange(n)[None] < lengths[:, None]
    return y * mask.unsqueeze(-1) + table[0, :1][:n].mean(0)


def side_by_side(y, lengths, n, table):
    """A sum of what is put together has one step or all: here all are as torch.export has it."""
    mask = (torch.arange(n)[None] < lengths[:, None]).float()
    y = y + (mask * 0).unsqueeze(-1)
    return y + torch.cat([mask, mask[:, :1]], 1).sum(1)[:, None, None]


class Masked(nn.Module):
    def __init__(self, way):
        super().__init__()
        torch.manual_seed(2)
        self.rnn = nn.GRU(3, 4, batch_first=True)
        self.table = nn.Parameter(torch.randn(1, 100, 4))
        self.way = way

    def forward(self, x, lengths):
        y = self.rnn(x)[0]
        return self.way(y, lengths, int(lengths.max()), self.table)


WAYS = (
    filled,
    mean_of_valid,
    turned,
    positions,
    from_the_second,
    of_steps,
    through_others,
    a_part,
    one_based,
    asked_twice,
    of_a_shorter_table,
    side_by_side,
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_size_that_is_one_or_all_is_broadcast_as_pytorch_does(way, tmp_path):
    x = TensorSpec("x", ("batch", "time", 3))
    lengths = TensorSpec("lengths", ("batch",), dtype="int64", role="lengths")
    model = Model(Masked(way), (x, lengths), ("y",))
    bundle = rnnbench.export(model, ("c",), tmp_path)
    report = check(bundle, ["c"], model=model, isolate=False)
    rows = [row for row in report.rows if row.format == "c"]
    assert rows
    assert all(row.verdict == "same" for row in rows), rows
    says = "or_all" in bundle.artifacts["c"].path.read_text("utf-8")
    assert says == (way is not side_by_side)

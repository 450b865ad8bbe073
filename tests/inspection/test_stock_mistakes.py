"""Modules that fix a size of their example, as the stock exporter and the tracer write them."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnbench
from tests.helpers.stock_files import old, scripted, traced

NAMES = ("frozen_batch", "frozen_length", "constant_lengths", "constant_positions")


class Net(nn.Module):
    """A layer, and what is done around it: `x` is (5, 2, 3), time first."""

    def __init__(self, run):
        super().__init__()
        self.rnn, self.run = nn.GRU(3, 4), run
        self.h0 = nn.Parameter(torch.zeros(1, 1, 4))
        self.places = nn.Parameter(torch.zeros(5, 1, 3))

    def forward(self, x):
        return self.run(self, x)


def packed(net, x, lengths):
    return pad_packed_sequence(net.rnn(pack_padded_sequence(x, lengths))[0])[0]


MISTAKES = {
    "a view of the example's sizes": (
        lambda net, x: net.rnn(x)[0].view(5, 2, 2, 2),
        {"frozen_batch", "frozen_length"},
    ),
    "both together": (lambda net, x: net.rnn(x)[0].reshape(10, 4), {"frozen_length"}),
    "rows cut in the middle": (
        lambda net, x: net.rnn(x)[0].transpose(0, 1).reshape(2, -1),
        {"frozen_batch"},
    ),
    "zeros for two rows": (lambda net, x: net.rnn(x, torch.zeros(1, 2, 4))[0], {"frozen_batch"}),
    "a state expanded to two rows": (
        lambda net, x: net.rnn(x, net.h0.expand(1, 2, 4).contiguous())[0],
        {"frozen_batch"},
    ),
    "the last state of two rows": (lambda net, x: net.rnn(x)[1].view(2, 4), {"frozen_batch"}),
    "joined with two rows": (
        lambda net, x: torch.cat([net.rnn(x)[0], torch.zeros(1, 2, 4)]),
        {"frozen_batch"},
    ),
    "numbers as lengths": (
        lambda net, x: packed(net, x, torch.tensor([5, 3])),
        {"constant_lengths"},
    ),
    "the example's length as lengths": (
        lambda net, x: packed(net, x, [x.shape[0]] * x.shape[1]),
        {"constant_lengths"},
    ),
    "five steps are kept": (lambda net, x: net.rnn(x[:5])[0], {"frozen_length"}),
    "something for each of five steps": (
        lambda net, x: net.rnn(x + net.places)[0],
        {"frozen_length"},
    ),
    "the fifth step": (lambda net, x: net.rnn(x)[0][4], {"frozen_length"}),
    "the first two steps and the last two of five": (
        lambda net, x: net.rnn(x)[0].index_select(
            0, torch.cat([torch.tensor([0, 1]), torch.tensor([3, 4])])
        ),
        {"frozen_length"},
    ),
}

SOUND = {
    "the last step": lambda net, x: net.rnn(x)[0][-1],
    "the step that the size says": lambda net, x: net.rnn(x)[0][x.shape[0] - 1],
    "a state for as many rows": lambda net, x: net.rnn(
        x, net.h0.expand(1, x.shape[1], 4).contiguous()
    )[0],
    "the last state, flat": lambda net, x: net.rnn(x)[1].squeeze(0).view(-1, 4),
    "two halves of the rows": lambda net, x: (
        torch.cat([net.rnn(x)[0], net.rnn(x)[0]], 1).transpose(0, 1).reshape(2, -1, 4)
    ),
    "heads": lambda net, x: net.rnn(x)[0].view(x.shape[0], x.shape[1], 2, 2),
}


def found(write, run, path):
    hazards = rnnbench.inspect(write(Net(run).eval(), path)).hazards
    return {h.name for h in hazards if h.name in NAMES}


@pytest.mark.filterwarnings("ignore:pack_padded_sequence has been called with a Python list")
@pytest.mark.parametrize("write", [old, traced])
@pytest.mark.parametrize("name", MISTAKES)
def test_the_size_of_the_example_is_found(tmp_path, name, write):
    run, names = MISTAKES[name]
    assert found(write, run, tmp_path / "file") == names


@pytest.mark.parametrize("write", [old, traced])
@pytest.mark.parametrize("name", SOUND)
def test_what_takes_any_size_is_sound(tmp_path, name, write):
    assert found(write, SOUND[name], tmp_path / "file") == set()


class Scripted(nn.Module):
    """A layer whose shapes its own code asks for: both its branches are in the file."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4)


class TwoRows(Scripted):
    def forward(self, x):
        return self.rnn(x, torch.zeros(1, 2, 4))[0]


class AsManyRows(Scripted):
    def forward(self, x):
        return self.rnn(x, torch.zeros(1, x.size(1), 4))[0]


class Places(Scripted):
    def __init__(self):
        super().__init__()
        self.places = nn.Parameter(torch.zeros(5, 1, 3))

    def forward(self, x):
        return self.rnn(x + self.places)[0]


class EachPlace(Places):
    def forward(self, x):
        return self.rnn(x + self.places.mean(0))[0]


class FifthStep(Scripted):
    def forward(self, x):
        return self.rnn(x)[0][4]


class LastStep(Scripted):
    def forward(self, x):
        return self.rnn(x)[0][-1]


class RowAlone(Scripted):
    """Its own branch, as PyTorch's layer has one for a sequence without a batch."""

    def forward(self, x):
        alone = x.dim() == 2
        y = self.rnn(x.unsqueeze(1) if alone else x)[0]
        return y.squeeze(1) if alone else y


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (TwoRows, {"frozen_batch"}),
        (AsManyRows, set()),
        (Places, {"frozen_length"}),
        (EachPlace, set()),
        (FifthStep, {"frozen_length"}),
        (LastStep, set()),
        (RowAlone, set()),
    ],
)
def test_a_scripted_file_is_followed_through_its_branches(tmp_path, cls, names):
    path = scripted(cls().eval(), tmp_path / "scripted.ts")
    assert {h.name for h in rnnbench.inspect(path).hazards if h.name in NAMES} == names


@pytest.mark.parametrize("steps", [5, None])
def test_a_mask_of_so_many_steps(tmp_path, steps):
    """Its rows follow the lengths, its steps the example."""

    class Masked(Scripted):
        def forward(self, x, lengths):
            there = torch.arange(x.shape[0] if steps is None else steps)[:, None] < lengths[None]
            return self.rnn(x)[0] * there[..., None]

    inputs = torch.zeros(5, 2, 3), torch.tensor([5, 3])
    path = old(Masked(), tmp_path / "masked.onnx", inputs=inputs, names=("x", "lengths"))
    found = {h.name for h in rnnbench.inspect(path).hazards if h.name in NAMES}
    assert found == ({"frozen_length"} if steps else set())

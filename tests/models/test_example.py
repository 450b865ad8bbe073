"""What an example call leaves open, found by running: ties, the batch, lengths, random inputs."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn.utils.rnn import pack_padded_sequence

import rnnbench
from rnnbench import RnnbenchError
from rnnbench.core.model import sample_inputs
from rnnbench.models.example.axes import from_dynamic_axes
from rnnbench.models.example.call import called_flat, take_call
from rnnbench.models.example.declare import declare, default_outputs
from rnnbench.models.example.draws import draws_of
from rnnbench.models.example.shapes import from_dynamic_shapes
from rnnbench.models.example.ties import batch_and_time, tie


def declared(module, args, shapes, **kwargs):
    call = take_call(module, args, kwargs)
    outputs = default_outputs(call, call.names)
    return declare(call, from_dynamic_shapes(call, shapes), call.names, outputs)


def shapes_of(found):
    return [spec.shape for spec in found.model.inputs]


class Loop(nn.Module):
    """A cell along the axis 0, whose state broadcasts where it has one row."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 3)

    def forward(self, x, h):
        for t in range(x.size(0)):
            h = torch.tanh(self.line(x[t]) + h)
        return h


class Packed(nn.Module):
    def __init__(self, enforce_sorted=True):
        super().__init__()
        self.embed = nn.Embedding(20, 3)
        self.gru = nn.GRU(3, 4, batch_first=True)
        self.sorted = enforce_sorted

    def forward(self, tokens, lengths):
        packed = pack_padded_sequence(self.embed(tokens), lengths, True, self.sorted)
        return self.gru(packed)[1]


AUTO, DYNAMIC = Dim.AUTO, Dim.DYNAMIC


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_axes_without_names_are_one_dimension_where_the_module_needs_it(rows):
    args = (torch.randn(4, rows, 3), torch.randn(rows, 3))
    found = declared(Loop(), args, ({0: DYNAMIC, 1: DYNAMIC}, {0: DYNAMIC}))
    assert shapes_of(found) == [("time", "batch", 3), ("batch", 3)]
    assert (found.model.batch_dim, found.model.time_dim) == ("batch", "time")


class Pairs(nn.Module):
    """Walks along two sequences at once, as far as the shorter one goes."""

    def forward(self, x, gaps):
        h = x.new_zeros(x.size(1), 3)
        steps = []
        for frame, gap in zip(x, gaps, strict=False):
            h = torch.tanh(h * gap + frame)
            steps.append(h)
        return torch.stack(steps)


@pytest.mark.parametrize("rows", [2, 4])
def test_sequences_that_are_walked_along_together_are_one_unless_both_have_a_name(rows):
    args = (torch.randn(4, rows, 3), torch.randn(4, rows, 1))
    found = declared(Pairs(), args, ({0: DYNAMIC, 1: DYNAMIC}, {0: DYNAMIC, 1: DYNAMIC}))
    assert shapes_of(found) == [("time", "batch", 3), ("time", "batch", 1)]
    found = declared(Pairs(), args, ({0: "steps", 1: "rows"}, {0: "gaps", 1: "rows"}))
    assert shapes_of(found) == [("steps", "rows", 3), ("gaps", "rows", 1)]


class Rows(nn.Module):
    """Takes the rows that there are lengths for, so that more rows than lengths do."""

    def forward(self, x, lengths):
        order = torch.argsort(lengths)
        return x[order], lengths.to(x.dtype) * 2


@pytest.mark.parametrize("steps", [3, 5])
def test_axes_that_run_unequal_one_way_alone_are_one(steps):
    args = (torch.randn(3, steps, 2), torch.tensor([steps, 2, 1]))
    found = declared(Rows(), args, ({0: DYNAMIC, 1: DYNAMIC}, {0: DYNAMIC}))
    (rows, _, _), (same,) = shapes_of(found)
    assert rows == same


def test_an_axis_that_cannot_change_is_fixed_where_that_was_left_open():
    args = (torch.randn(4, 2, 3), torch.randn(2, 3))
    found = declared(Loop(), args, ((AUTO, AUTO, AUTO), (AUTO, AUTO)))
    assert shapes_of(found) == [("time", "batch", 3), ("batch", 3)]
    with pytest.raises(RnnbenchError, match=r"^Loop does not run where .*axis 2 of 'x' is 5"):
        declared(Loop(), args, ({0: DYNAMIC, 1: DYNAMIC, 2: DYNAMIC}, {0: DYNAMIC}))


def test_names_decide_and_stay():
    args = (torch.randn(4, 2, 3), torch.randn(2, 3))
    call = take_call(Loop(), args, {})
    names = {"x": {0: "n steps", 1: "B"}, "h": {0: "rows"}}
    axes, _ = from_dynamic_axes(call, names, call.names, ["y"])
    found = declare(call, axes, call.names, ["y"])
    assert shapes_of(found) == [("n_steps", "B", 3), ("B", 3)]
    assert found.ports.shapes == (("n steps", "B", 3), ("rows", 3))
    assert found.ports.dims == {"n_steps": "n steps", "B": "B"}


def test_the_batch_is_what_keeps_rows_apart():
    call = take_call(nn.GRU(3, 4), (torch.randn(5, 2, 3),), {})
    axes = from_dynamic_shapes(call, ({0: "p", 1: "q"},))
    draws = draws_of(call, axes)
    groups = tie(draws)
    assert groups == [["=p"], ["=q"]]
    assert batch_and_time(draws, groups) == (1, 0)


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("steps", [3, 7])
def test_lengths_count_the_steps_and_ids_lie_in_the_vocabulary(enforce_sorted, steps):
    args = (torch.zeros(3, steps, dtype=torch.long), torch.tensor([steps, 2, 1]))
    found = declared(Packed(enforce_sorted), args, ({0: DYNAMIC, 1: DYNAMIC}, {0: DYNAMIC}))
    tokens, lengths = found.model.inputs
    assert (tokens.shape, tokens.high) == (("batch", "time"), 20)
    assert (lengths.shape, lengths.role) == (("batch",), "lengths")
    drawn = sample_inputs(found.model, {"batch": 8, "time": 9}, 1)["lengths"]
    assert drawn.max() == 9
    assert (found.model.sample is not None) == enforce_sorted
    assert bool((np.diff(drawn) <= 0).all()) == enforce_sorted


def test_lengths_of_a_fixed_time_are_drawn_of_the_example():
    args = (torch.zeros(3, 7, dtype=torch.long), torch.tensor([7, 2, 1]))
    found = declared(Packed(), args, ({0: "rows"}, {0: "rows"}))
    drawn = sample_inputs(found.model, {"rows": 9}, 0)["lengths"]
    assert drawn[0] == 7
    assert set(drawn) <= {7, 2, 1}


def test_what_takes_no_random_numbers_gets_the_example_s():
    class Choosy(nn.Module):
        def forward(self, x):
            assert ((x == 1) | (x == 2)).all()
            return x * 2

    found = declared(Choosy(), (torch.tensor([[1.0, 2.0]]),), ({0: "rows"},))
    drawn = sample_inputs(found.model, {"rows": 5}, 0)["x"]
    assert drawn.tolist() == [[1.0, 2.0]] * 5


def test_multiples_and_bounds_of_dimensions():
    class Half(nn.Module):
        def forward(self, x, y):
            return x[:, ::2] + y

    batch, time = Dim("batch", min=2, max=9), Dim("time")
    args = (torch.randn(2, 8), torch.randn(2, 4))
    found = declared(Half(), args, ((batch, 2 * time), {0: batch, 1: time}))
    assert shapes_of(found) == [("batch", "2*time"), ("batch", "time")]
    assert found.model.dims["batch"].min == 2
    assert found.most == {"batch": 9}
    with pytest.raises(RnnbenchError, match="axis 1 of 'x' is 8 in the example, not 3"):
        declared(Half(), args, ((batch, 3 * time), {0: batch}))


def test_a_call_is_flat_meanwhile_and_the_module_as_it_was():
    class Nested(nn.Module):
        def forward(self, x, states, *more, gain=1.0, **named):
            return {"y": x + states[0][0], "n": None, "z": [more[0] * gain + named["m"]["k"]]}

    net, one = Nested(), torch.ones(1)
    args = (one, [(one, None)], 2 * one, 3 * one)
    call = take_call(net, args, {"gain": 2.0, "m": {"k": one}})
    assert call.names == ("x", "states_0_0", "more_0", "more_1", "m_k")
    assert call.parameters == ("x", "states", "more_0", "more_1", "gain", "m")
    assert call.kept == (True, False, True)
    with called_flat(call):
        returned = net(*(k * one for k in range(1, 6)))
        assert [v.item() for v in returned] == [3, 11]
    assert "forward" not in vars(net)


@dataclass
class Result:
    y: torch.Tensor
    state: object


def test_fields_of_a_dataclass_are_outputs():
    class Net(nn.Module):
        def forward(self, x):
            return Result(x * 2, (x, None))

    call = take_call(Net(), (torch.ones(1),), {})
    assert call.kept == (True, True, False)
    with called_flat(call):
        assert [v.item() for v in call.module(torch.ones(1))] == [2, 1]
    with pytest.raises(RnnbenchError, match=r"Net returns a dataclass .*register_dataclass"):
        rnnbench.pt2.export(Net(), (torch.ones(1),))


def test_hooks_of_the_module_see_the_arguments_as_they_were():
    seen = []

    class Net(nn.Module):
        def forward(self, x, state):
            return x + state[0]

    net, one = Net(), torch.ones(1)
    net.register_forward_pre_hook(lambda _, args: seen.append(len(args)))
    call = take_call(net, (one, (one, one)), {})
    with called_flat(call):
        call.module(one, one, one)
    assert seen == [2, 2]
    assert call.own is net

"""A function to which the number of a step is data gives what it gave, for any length."""

import operator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rnnbench.capture.tracing.rewriting import Rewritten, numbering_steps, running_both_ways
from rnnbench.capture.tracing.step_numbers import Step, Truth, value_of

NUMBERS = st.integers(-6, 6).filter(bool)
OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "%": operator.mod,
    "//": operator.floordiv,
}
COMPARISONS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@given(
    start=st.integers(0, 40),
    steps=st.lists(st.tuples(st.sampled_from(sorted(OPERATORS)), NUMBERS, st.booleans())),
    asked=st.tuples(st.sampled_from(sorted(COMPARISONS)), NUMBERS),
)
@settings(max_examples=200, deadline=None)
def test_its_arithmetic_is_that_of_whole_numbers(start, steps, asked):
    number = start
    step = Step(start)
    for sign, other, first in steps[:6]:
        if first and sign in "%//" and number == 0:
            continue
        pair = (other, number) if first else (number, other)
        number = OPERATORS[sign](*pair)
        step = OPERATORS[sign](*((other, step) if first else (step, other)))
    assert int(step) == number
    assert hash(step) == hash(number)
    assert step.value.tolist() == number
    compare = COMPARISONS[asked[0]]
    truth = compare(step, asked[1])
    assert isinstance(truth, Truth)
    assert bool(truth) is bool(value_of(truth)) is compare(number, asked[1])


def test_it_grows_evenly_or_not():
    t = Step(5)
    assert (t - 1).even
    assert (3 - 2 * t).even
    assert not (t * t).even
    assert not (t % 2).even
    assert not (t // 2 + 1).even
    assert t + 0.5 == 5.5
    assert type(t / 2) is float


def in_turn(x):
    h, seen = torch.zeros(()), []
    for t in range(len(x)):
        if t % 3 == 0 and t > 3:
            h = h + x[t]
        elif not t % 2:
            h = h * 0.5 - x[t - 1]
        else:
            h = h - 1 if (t + 1) % 4 < 2 else h + 2
        seen.append(h)
    return torch.stack(seen)


def backwards(x):
    total, table = torch.zeros(()), [1, -2, 5]
    for t in reversed(range(len(x))):
        total = total * 0.9 + (x[t] if (2 * t) // 3 % 2 else 1.0)
        if table[t % 3] > 0:
            total = -total
    return total


def read_at(x):
    seen, rows = [], x.repeat(2, 1)
    for t, value in enumerate(x, 1):
        seen.append(value * rows[1, t // 2] + rows[..., 0][t % 2] + rows[0:2][(t - 9) % 2, 0])
    return torch.stack(seen)


def while_it_lasts(x):
    t, total = 0, torch.zeros(())
    while t < x.shape[0]:
        total = total + x[t]
        if t & 1:
            total = total * 0.5
        t += 1
    return total


@pytest.mark.parametrize("function", [in_turn, backwards, read_at, while_it_lasts])
@given(values=st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=14))
@settings(max_examples=40, deadline=None)
def test_what_it_gives_is_the_same(function, values):
    x = torch.tensor(values)
    code = function.__code__
    expected = function(x)
    with running_both_ways(Rewritten((function,), steps=True), lambda _: None, [len(values)]):
        assert function.__code__ is not code
        given = function(x)
    torch.testing.assert_close(given, expected, rtol=0, atol=0)


class Asks(nn.Module):
    def forward(self, x):
        return in_turn(x) + self.of_none(x)

    def of_none(self, x):
        return x


def test_the_functions_of_a_model_are_found():
    found = numbering_steps(Asks(), Rewritten())
    assert found.steps
    assert in_turn in found.functions
    assert Asks.of_none not in found.functions


def test_a_library_is_left_alone():
    found = numbering_steps(nn.GRUCell(2, 2), Rewritten())
    assert found is None

"""A function that runs both ways of each `if` on data gives what it gave, for any data."""

import ast
import inspect
import textwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbench.capture.tracing.both_ways import with_both_ways
from rnnbench.capture.tracing.merging import Unlike
from rnnbench.capture.tracing.rewriting import Rewritten, rewritten, running_both_ways


def one_side(x):
    y = x
    if x.sum() > 0:
        y = x * 2
    return y


def returns_early(x):
    if x.sum() > 0 and x.max() > 1:
        return x + 1
    if not x.min() > -1:
        return x.abs()
    y = x * 3
    return y - x


def skips_steps(x):
    h, n, seen = torch.zeros(()), 0, []
    for value in x:
        if value < 0:
            n += 1
            seen.append(h)
            continue
        h = h + value
        if h > 1.5 or value > 1:
            temporary = [h, h]
            h = sum(temporary) / 4
        seen.append(h)
    return torch.stack(seen) + n


def in_place(x):
    h, out, other = x.clone(), x.new_zeros(3, 4), x.new_ones(4)
    view = h
    for t in range(3):
        if h.sum() > t - 1:
            h[t] = 0.5
            h.mul_(0.9)
            other += t
        else:
            h[0] += 1
        out[t] = h + view
    return out, other


def in_structures(x):
    state = {"h": (x, x * 2), "n": 1}
    if x.mean() > 0:
        state["h"] = (state["h"][1], x.sin())
    elif float(x[0]) > -0.5:
        state["n"] = 3
    else:
        state = {"h": (x, x), "n": 2}
    return (*state["h"], state["n"] * x)


def in_expressions(x):
    scale = 2.0 if x.max() > 1 else 0.5
    return scale * x if bool(x.min() < -1) else x - (1.0 if scale * x[0] > 0 else 2.0)


def raises_on_one(x):
    if torch.isnan(x).any():
        raise ValueError("not a number")
    assert x.abs().max().item() < 1e6
    return x * 2


def on_numbers(x, flag=True):
    total = 0
    for t in range(len(x)):
        if t % 2 == 0 and flag:
            total += t
        elif t == 3:
            total -= 1
    return x + total


class Kept:
    __scale = 2.0

    def __init__(self):
        self.h = torch.zeros(4)

    def __call__(self, x):
        if x.sum() > 0:
            self.h = self.h + x
        else:
            self.h = self.h * self.__scale
        return self.h + (self.__scale if x[0] > 0 else 0.0)


def kept(x):
    keeper = Kept()
    return torch.stack([keeper(x), keeper(-x), keeper(x + 0.3)])


FUNCTIONS = [
    one_side,
    returns_early,
    skips_steps,
    in_place,
    in_structures,
    in_expressions,
    raises_on_one,
    on_numbers,
    kept,
]


def unknown(_):
    return None


def outputs(result):
    return [torch.as_tensor(v) for v in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@given(values=st.lists(st.floats(-2, 2, width=32), min_size=4, max_size=4))
@settings(max_examples=40, deadline=None)
def test_what_it_gives_is_the_same(function, values):
    x = torch.tensor(values)
    before = x.clone()
    expected = outputs(function(x))
    asking = Kept.__call__ if function is kept else function
    code = asking.__code__
    with running_both_ways(Rewritten((asking,)), unknown):
        assert asking.__code__ is not code
        given = outputs(function(x))
    assert torch.equal(x, before)
    for a, b in zip(expected, given, strict=True):
        torch.testing.assert_close(b.to(a.dtype), a, rtol=0, atol=0)


def test_afterwards_the_function_is_as_it_was():
    code, names = one_side.__code__, set(one_side.__globals__)
    with running_both_ways(Rewritten((one_side,)), unknown):
        assert one_side.__code__ is not code
    assert one_side.__code__ is code
    assert set(one_side.__globals__) == names


def test_a_truth_that_is_known_goes_its_way_alone():
    def ask(x):
        return x + 1 if x.sum() > 0 else undefined  # noqa: F821  (never reached)

    (function,) = ast.parse(textwrap.dedent(inspect.getsource(ask))).body
    assert with_both_ways(function, steps=False) is not None
    with running_both_ways(Rewritten((ask,)), lambda _: True):
        assert torch.equal(ask(torch.ones(2)), torch.full((2,), 2.0))


def of_two_shapes(x):
    y = x
    if x.sum() > 0:
        y = x[:2]
    return y


def of_two_lengths(x):
    seen = [x]
    if x.sum() > 0:
        seen.append(x)
    return seen


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (of_two_shapes, r"leave float32\[2\] and float32\[4\] in 'y': let both give tensors"),
        (of_two_lengths, r"leave 2 and 1 elements in 'seen'"),
    ],
)
def test_what_cannot_be_chosen_from_is_said(function, words):
    with running_both_ways(Rewritten((function,)), unknown), pytest.raises(Unlike, match=words):
        function(torch.ones(4))


def leaves_the_loop(x):
    for value in x:
        if value > 1:
            break
    return x


def test_a_loop_that_is_left_is_not_rewritten():
    assert rewritten(leaves_the_loop.__code__) is None


def test_the_function_is_found_below_its_decorators():
    with pytest.raises(RuntimeError, match="ambiguous") as raised:
        decorated(torch.ones(4))
    found = Rewritten().and_those_of(raised.value)
    assert [f.__code__ for f in found.functions] == [decorated.__wrapped__.__wrapped__.__code__]
    assert found.and_those_of(raised.value) is None


@torch.no_grad()
@torch.inference_mode()
def decorated(x):
    return x + 1 if x > 0 else x


def test_code_that_no_file_has_is_left_alone():
    names = {}
    exec("def f(x):\n    return 1 if x else 2", names)
    assert rewritten(names["f"].__code__) is None

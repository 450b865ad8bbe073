"""Which arguments a module gets for its declared inputs, and in which order its outputs come."""

from dataclasses import dataclass

import pytest

from rnnbench import TensorSpec
from rnnbench.models.binding import bind, ordered


def specs(*names):
    role = {"h": "state", "c": "state"}
    return [TensorSpec(name, ("batch",), role=role.get(name, "data")) for name in names]


def flat(x, h):
    """As declared."""


def any_number(*inputs):
    """As declared."""


def one(batch):
    """A dict."""


def state(x, state=None):
    """A tuple of states."""


def both(batch, state):
    """A dict and a tuple."""


def by_name(x, *, gain):
    """By name."""


@pytest.mark.parametrize(
    ("forward", "names", "args", "named"),
    [
        (flat, "xh", ("x", "h"), {}),
        (flat, "hx", ("h", "x"), {}),
        (any_number, "xhc", ("x", "h", "c"), {}),
        (one, "x", ("x",), {}),
        (one, "xy", ({"x": "x", "y": "y"},), {}),
        (state, "xhc", ("x", ("h", "c")), {}),
        (state, "xh", ("x", "h"), {}),
        (both, "xyhc", ({"x": "x", "y": "y"}, ("h", "c")), {}),
        (by_name, ("x", "gain"), ("x",), {"gain": "gain"}),
        (flat, "xhc", ("x", "h", "c"), {}),  # no way is known: the call says so
    ],
)
def test_arguments(forward, names, args, named):
    assert bind(forward, specs(*names), list(names)) == (args, named)


@dataclass
class Result:
    last: int
    y: int


@pytest.mark.parametrize(
    ("returned", "found"),
    [
        ((1, 2), (1, 2)),
        ({"last": 1, "y": 2}, (2, 1)),
        ({"last": 1, "y": 2, "loss": 3}, (2, 1)),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}),
        (Result(1, 2), (2, 1)),
    ],
)
def test_outputs(returned, found):
    assert ordered(returned, ("y", "last")) == found

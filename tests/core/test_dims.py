"""Dimensions: what may be written for a size, and which sizes a dimension may have."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnbench import Dim, Model, RnnbenchError, TensorSpec
from rnnbench.core.dims import names_of, products, solve, value_of

NAMES = st.sampled_from(["batch", "time", "n_1", "Envs"])
FACTORS = st.one_of(NAMES, st.integers(1, 99).map(str))
SIZES = st.lists(st.lists(FACTORS, min_size=1, max_size=3), min_size=1, max_size=3)
DIMS = {"batch": 3, "time": 7, "n_1": 2, "Envs": 11}


@given(SIZES, st.sampled_from(["", " "]))
def test_a_size_is_a_sum_of_products(size, space):
    text = f"{space}+{space}".join(f"{space}*{space}".join(product) for product in size)
    values = [[DIMS.get(f) or int(f) for f in product] for product in size]
    assert value_of(text, DIMS) == sum(map(math.prod, values))
    assert set(names_of(text)) == {f for product in size for f in product if f in DIMS}


@pytest.mark.parametrize("text", ["", "a-b", "2a", "a**2", "a*", "+a", "(a)", "a/2", "0*a", "-1"])
def test_all_else_is_no_size(text):
    assert products(text) is None
    with pytest.raises(RnnbenchError, match=r"names and numbers with \* and \+"):
        TensorSpec("x", ("batch", text))


def test_a_number_alone_is_a_number():
    with pytest.raises(RnnbenchError, match="must be a positive int"):
        TensorSpec("x", ("3",))


@given(st.integers(1, 300), st.integers(1, 50), st.integers(0, 2000))
def test_the_next_size_is_the_least_that_fits(least, multiple, size):
    dim = Dim(least, multiple)
    fitted = dim.fit(size)
    assert fitted >= max(size, least)
    assert dim.allows(fitted)
    assert not any(dim.allows(n) for n in range(size, fitted))


@pytest.mark.parametrize("wrong", [0, -3, 2.0, True, "4"])
def test_a_dimension_takes_whole_numbers(wrong):
    for name in ("min", "multiple_of"):
        with pytest.raises(RnnbenchError, match=f"{name}=.* must be a whole number, 1 or more"):
            Dim(**{name: wrong})


def test_what_is_said_of_dimensions_that_are_not_there():
    spec = TensorSpec("x", ("batch", "2*time"))
    with pytest.raises(RnnbenchError, match="no input has that dimension: choose from batch, time"):
        Model(None, (spec,), ("y",), name="m", dims={"steps": Dim(3)})
    with pytest.raises(RnnbenchError, match="must be a Dim"):
        Model(None, (spec,), ("y",), name="m", dims={"time": 3})
    model = Model(None, (spec,), ("y",), name="m", dims={"time": Dim(10, 4)})
    assert list(model.dims) == ["batch", "time"]
    assert model.fit({"batch": 1, "time": 3}) == {"batch": 1, "time": 12}
    assert spec.resolve({"batch": 2, "time": 12}) == (2, 24)
    assert str(model.dims["time"]) == "12 or more, a multiple of 4"


@given(envs=st.integers(0, 9), time=st.integers(0, 9))
def test_sizes_say_their_dimensions(envs, time):
    rows = [("envs*time", envs * time), ("envs", envs), (4, 4)]
    assert solve(rows) == ({"envs": envs, "time": time} if envs else {"envs": 0})
    assert solve([*rows, ("2*time + envs", 2 * time + envs)]) == {"envs": envs, "time": time}

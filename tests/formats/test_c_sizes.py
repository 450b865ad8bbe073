"""Sizes as expressions of C: what they are worth, whatever they are made of."""

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._sympy.functions import FloorDiv, IntTrueDiv, Max, Min, Mod, RoundToInt

from rnnbench.formats.c.sizes import NoForm, Sizes

S0, S1, U0 = (sympy.Symbol(name, integer=True, positive=True) for name in ("s0", "s1", "u0"))
LEAVES = st.one_of(st.sampled_from([S0, S1]), st.integers(-3, 9).map(sympy.Integer))
SIZES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: p[0] + p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] - p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] * p[1]),
        st.tuples(inner, st.integers(1, 5)).map(lambda p: FloorDiv(p[0], p[1])),
        st.tuples(inner, st.integers(1, 5)).map(lambda p: Mod(p[0] * p[0], p[1])),
        st.tuples(inner, inner).map(lambda p: Max(*p)),
        st.tuples(inner, inner).map(lambda p: Min(*p)),
    ),
    max_leaves=8,
)
FUNCTIONS = {
    "model_floor_div": lambda a, b: a // b,
    "model_mod": lambda a, b: a % b,
    "model_max": max,
    "model_min": min,
    "rint": round,
}


def worth(text, batch, time):
    """Python reads what is written here as C does, but for casts."""
    plain = text.replace("(int64_t)", "").replace("(double)", "")
    return eval(plain, {"batch": batch, "time": time, **FUNCTIONS})


@settings(max_examples=300, deadline=None, derandomize=True)
@given(SIZES, st.integers(1, 40), st.integers(1, 40))
def test_a_size_is_worth_what_it_says(size, batch, time):
    sizes = Sizes({S0: "batch", S1: "time"})
    exact = int(sympy.sympify(size).subs({S0: batch, S1: time}))
    assert worth(sizes.text(size), batch, time) == exact
    others = [size, S0, 3, size]
    assert worth(sizes.product(others), batch, time) == exact * batch * 3 * exact
    assert worth(f"7 - {sizes.text(size)}", batch, time) == 7 - exact


@pytest.mark.parametrize("time", range(1, 12))
def test_a_half_is_rounded_to_even(time):
    size = RoundToInt(IntTrueDiv(S1, sympy.Integer(2)))
    assert worth(Sizes({S1: "time"}).text(size), 0, time) == round(time / 2)


def test_a_size_that_data_say_needs_a_limit():
    sizes = Sizes({S0: "batch", U0: "longest"})
    sizes.fixed = frozenset([S0])
    with pytest.raises(NoForm, match="declare max_steps"):
        sizes.most(2 * U0)
    sizes.bounds[U0] = S0 + 1
    assert worth(sizes.text(sizes.most(2 * U0)), 5, 0) == 12
    sizes.bounds.clear()
    sizes.limit = 9
    assert sizes.most(2 * U0) == 18

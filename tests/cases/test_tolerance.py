"""When two outputs are equal, and which line of an error is shown."""

import numpy as np
import pytest

from rnnbench.cases.allowance import Rule
from rnnbench.cases.tolerance import compare
from rnnbench.core.errors import one_line

EXACT = np.linspace(-1, 1, 12).reshape(3, 4)
EAGER = EXACT.astype(np.float32)


def test_compare_allows_the_noise_and_little_more():
    floor = np.abs(EAGER - EXACT).max()
    assert compare(EAGER, EXACT, EAGER).reason == ""
    assert compare(EAGER, EXACT, EAGER).error == floor
    assert compare(EAGER + np.float32(2e-7), EXACT, EAGER).reason == ""
    assert "off by 1.0e-05" in compare(EAGER + np.float32(1e-5), EXACT, EAGER).reason
    noisy = EAGER + np.float32(2e-6)
    assert compare(EAGER - np.float32(1e-5), EXACT, noisy).reason == ""


def test_compare_takes_a_scalar_output():
    assert (
        compare(np.float32(0.5).reshape(()), np.array(0.5), np.array(0.5, "float32")).reason == ""
    )


def test_compare_gives_the_tolerance_that_allclose_needs():
    actual = EAGER * np.float32(1.01)
    needed = compare(actual, EXACT, EAGER).tolerance
    assert np.allclose(actual, EXACT, rtol=needed * 1.0001, atol=needed * 1.0001)
    assert not np.allclose(actual, EXACT, rtol=needed * 0.999, atol=needed * 0.999)


def with_one(value, array=EXACT):
    changed = array.copy()
    changed[1, 2] = value
    return changed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_compare_sees_nan_and_infinity_on_both_sides(value):
    assert compare(with_one(value, EAGER), EXACT, EAGER).reason
    exact, eager = with_one(value), with_one(value, EAGER)
    assert "finite where" in compare(EAGER, exact, eager).reason
    assert compare(eager, exact, eager).reason == ""
    assert compare(with_one(-value if value == value else 0, EAGER), exact, eager).reason


def test_compare_is_exact_for_integers():
    exact = np.arange(6)
    assert compare(exact, exact, exact).reason == ""
    assert compare(exact + 1, exact, exact).reason == "6 of 6 values differ"
    assert compare(exact.astype(np.int32), exact, exact).reason.startswith("dtype")
    rounded = exact + np.array([0, 0, 1, 0, 0, 0])
    assert compare(rounded, exact, rounded).reason == ""


def test_compare_counts_argmax_and_relative_errors():
    exact = np.array([[1.0, 2.0], [4.0, 3.0], [5.0, 5.0], [0.0, 8.0]])
    eager = exact.astype(np.float32)
    actual = eager.copy()
    actual[0] = [2.5, 2.0]  # another class, and 150 % off
    actual[2] = [5.0, 5.0000005]  # a tie, within what is allowed
    found = compare(actual, exact, eager, rule=Rule(scores=True))
    assert found.argmax == 0.75
    assert found.relative == 1.5
    assert compare(actual, exact, eager).argmax is None
    nothing = np.full_like(eager, np.nan)
    assert compare(nothing, exact, eager, rule=Rule(scores=True)).argmax < 1


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("", "RuntimeError"),
        ("one\ntwo", "one"),
        ("Error(s) in loading state_dict for Net:\n\tsize mismatch", None),
        (
            "The following operation failed in the TorchScript interpreter.\n"
            "Traceback of TorchScript (most recent call last):\nRuntimeError: too short\n",
            "RuntimeError: too short",
        ),
    ],
)
def test_the_line_that_says_what_is_wrong(message, line):
    said = one_line(RuntimeError(message))
    assert said == (line or "Error(s) in loading state_dict for Net: size mismatch")

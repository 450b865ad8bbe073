"""The two tiers: what every run tries is the same each time, and `--full` tries more."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers import tiers


@pytest.fixture
def full():
    chosen = tiers._FULL
    tiers.choose(True)
    yield
    tiers.choose(chosen)


def test_what_ci_tries_is_the_same_each_time(pytestconfig):
    if pytestconfig.getoption("--full"):
        pytest.skip("of the other tier")
    assert tiers.samples(3, 50) == 3
    assert tiers.examples(8).max_examples == 8
    assert settings().derandomize
    assert settings().print_blob


def test_full_tries_more_and_others(full):
    assert tiers.samples(3, 50) == 50
    assert tiers.examples(8).max_examples > 100
    assert not settings().derandomize


def test_a_summary_says_what_it_is_of():
    assert tiers.headline().startswith("full: commit ")


def test_the_mark_and_the_option_are_known():
    words = ["--full", "-m", "full or not full", "--collect-only", "-q", "-p", "no:xdist"]
    file = Path(__file__).parent / "cases" / "test_tolerance.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, str(file)],
        cwd=file.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "full: commit " in done.stdout

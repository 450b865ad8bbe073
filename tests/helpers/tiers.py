"""Two tiers of searches: what every run tries (CI), and what `make full` tries, for hours.

A search that draws its inputs takes its number from `samples(ci, full)`. What CI tries is the same
at every run: seeds from 0, and hypothesis derandomised. `full` tries more of them, and other ones.
"""

import datetime
import subprocess
from pathlib import Path

from hypothesis import settings

_FULL = False
_FACTOR = 40  # as many examples of hypothesis as in CI


def choose(full: bool) -> None:
    """Sets the tier; called once, before the test files are imported."""
    global _FULL
    _FULL = full
    # deadline: a shared machine is slow at times. The blob is what reproduces a failure.
    settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
    settings.register_profile("full", deadline=None, derandomize=False, print_blob=True)
    settings.load_profile("full" if full else "ci")


def samples(ci: int, full: int) -> int:
    """How many to try: `ci` in every run, `full` in `make full`."""
    assert ci < full
    return full if _FULL else ci


def examples(ci: int) -> settings:
    """The settings of a search by hypothesis that tries `ci` examples in every run."""
    return settings(max_examples=samples(ci, ci * _FACTOR))


def headline() -> str:
    """The commit and the day that a summary of `make full` is of."""

    def git(*words: str) -> str:
        here = Path(__file__).parent
        done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True)
        return done.stdout.strip()

    changed = " and uncommitted changes" if git("status", "--porcelain") else ""
    today = datetime.datetime.now(datetime.UTC).date()
    return f"full: commit {git('rev-parse', '--short=12', 'HEAD') or 'unknown'}{changed}, {today}"

"""The targets of `embed` that are built here."""

import os

import pytest

from rnnbench.embedding.target import targets
from tests.helpers.task_models import FORMATS

TARGETS = targets()

# One process builds a target for all bundles: what it compiles or downloads is there the next time.
EACH = [
    pytest.param(name, marks=pytest.mark.xdist_group(name))
    for name, target in TARGETS.items()
    if target.format in FORMATS and not target.not_run  # cpp-aoti has a file of its own
]


def skip(target, reason):
    """A missing tool is told; where all have to be there (in CI), it is a failure."""
    assert not os.environ.get("RNNBENCH_EVERY_TARGET"), f"{target}: {reason}"
    pytest.skip(f"{target}: {reason}")

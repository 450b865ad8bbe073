"""The same numbers for a test, whichever ran before it."""

import pytest

from tests.inspection.evaluation import made


@pytest.fixture(autouse=True)
def reseeded():
    made.reseed()

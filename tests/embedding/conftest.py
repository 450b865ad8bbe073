"""How the projects of these tests are compiled."""

import pytest

from tests.helpers import compile_once


@pytest.fixture(scope="session", autouse=True)
def compiled_once(shared):
    """What several projects have in common is compiled once per run."""
    objects = shared.folder("objects", lambda folder: None)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in compile_once.environment(objects).items():
            patch.setenv(name, value)
        yield

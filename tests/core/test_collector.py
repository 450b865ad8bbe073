"""Python's collector of garbage is as the caller had it, afterwards."""

import contextlib
import gc

import pytest

from rnnbench.core.collector import collecting_seldom, importing


@pytest.fixture
def collector():
    threshold = gc.get_threshold()
    yield
    gc.enable()
    gc.set_threshold(*threshold)


@pytest.mark.parametrize("collects", [True, False])
def test_nothing_is_collected_while_torch_is_imported(collector, collects):
    gc.enable() if collects else gc.disable()
    with contextlib.suppress(ImportError), importing():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled() == collects


@pytest.mark.parametrize("before", [(700, 10, 10), (0, 10, 10), (10**6, 5, 5)])
def test_what_the_caller_has_set_is_set_again(collector, before):
    gc.set_threshold(*before)
    with collecting_seldom():
        assert gc.get_threshold()[0] == (100_000 if before[0] == 700 else before[0])
    assert gc.get_threshold() == before

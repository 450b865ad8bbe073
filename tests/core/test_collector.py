"""Python's collector of garbage is as the caller had it, afterwards."""

import contextlib
import gc
import subprocess
import sys

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


@pytest.mark.parametrize("at_once", [True, False])
def test_garbage_is_left_at_the_end_and_all_else_is_done(at_once):
    program = """
import atexit, gc, sys
from rnnbench.core.collector import ending_at_once

class Told:
    def __del__(self):
        print("collected", flush=True)

gc.disable()
told = Told()
told.own = told
del told
atexit.register(print, "done")
if sys.argv[1] == "True":
    ending_at_once()
print("not flushed", end=" ")
"""
    words = [sys.executable, "-c", program, str(at_once)]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ran.stdout == ("not flushed done\n" if at_once else "not flushed done\ncollected\n")

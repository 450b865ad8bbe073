"""A limit of time counts what a process computes, and ends one that sleeps."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from rnnbench.core import cpu_clock
from rnnbench.core.cpu_clock import Limit, cpu_seconds

COMPUTES = (
    "import os, sys, time\nos.nice(15)\n"
    "while time.process_time() < {seconds}: pass\nprint(time.process_time())"
)
HOG = "while True: pass"


@contextlib.contextmanager
def hogs(count):
    """A machine that is busy with something else."""
    busy = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def run(code, seconds):
    """Whether it was given up, and how long it took by the clock on the wall."""
    given_up = threading.Event()
    words = [sys.executable, "-c", code]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)

    def give_up():
        given_up.set()
        os.killpg(process.pid, signal.SIGKILL)

    start = time.monotonic()
    with Limit(process.pid, seconds, give_up):
        process.wait()
    return given_up.is_set(), time.monotonic() - start


def test_a_busy_machine_is_no_verdict():
    """Of lower priority beside busy processes, it takes longer by the clock on the wall."""
    with hogs(2 * (os.cpu_count() or 1)):
        given_up, _ = run(COMPUTES.format(seconds=0.7), 1.0)
    assert not given_up


def test_a_process_that_gets_no_turn_is_waited_for(monkeypatch):
    """As on a machine so busy that it computes nothing for five times its limit."""
    monkeypatch.setattr(cpu_clock, "cpu_seconds", lambda pid: 0.0)
    monkeypatch.setattr(cpu_clock, "wants_to_run", lambda pid: True)
    given_up, taken = run("import time\ntime.sleep(1)", 0.2)
    assert not given_up
    assert taken >= 1


@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(60)"])
def test_what_never_answers_is_given_up(code):
    given_up, taken = run(code, 1.0)
    assert given_up
    assert taken < 30


def test_what_a_process_starts_counts():
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {HOG!r}])"
    given_up, _ = run(child, 1.0)
    assert given_up
    assert cpu_seconds(2**22 + 1) == 0.0


def test_each_of_several_has_its_own_limit():
    """One that computes is ended in the midst of others that are fine."""
    ended = []
    with contextlib.ExitStack() as stack:
        for seconds, code in ((60, "import time; time.sleep(9)"), (1.0, HOG), (60, HOG)):
            process = subprocess.Popen([sys.executable, "-c", code])
            stack.callback(process.wait)
            stack.callback(process.kill)
            stack.enter_context(Limit(process.pid, seconds, lambda s=seconds: ended.append(s)))
        start = time.monotonic()
        while not ended and time.monotonic() - start < 30:
            time.sleep(0.05)
    assert ended == [1.0]


def test_many_short_calls_need_no_thread_each():
    before = threading.active_count()
    started = []
    for _ in range(1000):
        with Limit(os.getpid(), 60.0, lambda: None):
            started.append(threading.active_count())
    assert max(started) <= before + 1


def test_a_shorter_limit_is_not_kept_waiting_by_a_longer_one():
    given_up = threading.Event()
    process = subprocess.Popen([sys.executable, "-c", HOG])
    try:
        with Limit(process.pid, 600.0, lambda: None):
            time.sleep(0.01)
            start = time.monotonic()
            with Limit(process.pid, 0.05, given_up.set):
                assert given_up.wait(0.45)
            assert time.monotonic() - start >= 0.05
    finally:
        process.kill()
        process.wait()


def test_no_memory_to_look_with_is_given_up(monkeypatch):
    def fails(_pid):
        raise MemoryError

    monkeypatch.setattr(cpu_clock, "cpu_seconds", fails)
    given_up = threading.Event()
    with Limit(os.getpid(), 0.4, given_up.set):
        assert given_up.wait(30)


def test_who_cannot_be_looked_at_keeps_no_other_from_its_end(monkeypatch):
    """As where no more files can be opened: `psutil` lets that through."""
    hog = subprocess.Popen([sys.executable, "-c", HOG])
    known = cpu_clock.cpu_seconds

    def fails_of_one(pid):
        if pid != hog.pid:
            raise OSError(24, "Too many open files")
        return known(pid)

    monkeypatch.setattr(cpu_clock, "_watch", cpu_clock._Watch())
    monkeypatch.setattr(cpu_clock, "cpu_seconds", fails_of_one)
    ended = []
    try:
        with (
            Limit(os.getpid(), 60.0, lambda: ended.append("other")),
            Limit(hog.pid, 0.5, lambda: ended.append("hog")),
        ):
            start = time.monotonic()
            while not ended and time.monotonic() - start < 30:
                time.sleep(0.05)
    finally:
        hog.kill()
        hog.wait()
    assert ended == ["hog"]


def test_who_can_never_be_looked_at_ends_by_the_clock_on_the_wall(monkeypatch):
    def fails(_pid):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(cpu_clock, "cpu_seconds", fails)
    given_up = threading.Event()
    start = time.monotonic()
    with Limit(os.getpid(), 0.05, given_up.set):
        assert given_up.wait(30)
    assert time.monotonic() - start >= 20 * 0.05


def test_an_error_of_who_gives_up_ends_no_watch(monkeypatch):
    def fails():
        raise ProcessLookupError

    given_up = threading.Event()
    monkeypatch.setattr(cpu_clock, "_watch", cpu_clock._Watch())
    monkeypatch.setattr(cpu_clock, "cpu_seconds", lambda _pid: 0.0)
    monkeypatch.setattr(cpu_clock, "wants_to_run", lambda _pid: False)
    with Limit(1, 0.05, fails), Limit(2, 0.4, given_up.set):
        assert given_up.wait(30)


def test_a_limit_that_could_not_begin_ends_nothing(monkeypatch):
    monkeypatch.setattr(cpu_clock, "_watch", cpu_clock._Watch())
    given_up = threading.Event()

    def fails(_thread):
        raise RuntimeError("can't start new thread")

    limit = Limit(os.getpid(), 0.05, given_up.set)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        with pytest.raises(RuntimeError):
            limit.__enter__()
    with Limit(os.getpid(), 60.0, lambda: None):
        assert not given_up.wait(1.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_has_a_watch_of_its_own():
    program = f"""
import os, subprocess, sys, threading
from rnnbench.core.cpu_clock import Limit

hog = subprocess.Popen([sys.executable, "-c", {HOG!r}])
with Limit(hog.pid, 600.0, lambda: None):
    child = os.fork()
    if child == 0:
        late = threading.Event()
        with Limit(hog.pid, 0.4, late.set):
            os._exit(0 if late.wait(30) else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
hog.kill()
sys.exit(code)
"""
    ran = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert ran.returncode == 0

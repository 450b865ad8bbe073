"""Signals that ask to end: noted, raised again where one was swallowed, and left alone else."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import rnnbench
from rnnbench.core.interrupts import AGAIN, Interrupts, noted

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


@pytest.fixture(autouse=True)
def usual_handlers():
    """Also where the tests run in the background, with signals ignored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def wait(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)


def swallowing(number):
    """As a callback of a C library does."""
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        return


def swallowed_first(number):
    swallowing(number)
    wait(20 * AGAIN)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_one_that_was_swallowed_is_raised_again(name):
    number = getattr(signal, name)
    before = signal.getsignal(number), signal.getsignal(signal.SIGALRM)
    interrupts = noted()
    # Whenever it is raised, also where this process stands still for a while, it is awaited.
    with pytest.raises(KeyboardInterrupt), interrupts:
        swallowed_first(number)
    assert interrupts.signal == number
    assert (signal.getsignal(number), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL)[1] == 0  # that of pytest-timeout is there again


def test_what_cleans_up_is_not_interrupted_again():
    cleaned = []

    def stopped():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            try:
                raise ValueError("of a clean-up")
            except ValueError:
                wait(2.5 * AGAIN)  # none is due just when the clean-up has ended
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt), noted():
        stopped()
    assert cleaned == [True]


@pytest.mark.parametrize("event", ["call", "line", "return"])
@pytest.mark.parametrize("where", ["over", "__exit__"])
def test_an_alarm_that_is_due_as_all_ends_raises_nothing(where, event, monkeypatch):
    """It would leave the timer on, and whoever runs next would be interrupted twice a second."""
    monkeypatch.setattr("rnnbench.core.interrupts.AGAIN", 1000.0)  # none comes by itself
    before = signal.getsignal(signal.SIGALRM)
    due = []

    def within(_frame, kind, _given):
        if kind == event and signal.getsignal(signal.SIGALRM) != before:
            due.append(kind)
            signal.raise_signal(signal.SIGALRM)
        return within

    def trace(frame, kind, given):
        code = getattr(Interrupts, where).__code__
        return within(frame, kind, given) if frame.f_code is code else None

    with noted():
        swallowing(signal.SIGINT)
        assert signal.getsignal(signal.SIGALRM) != before
        traced = sys.gettrace()
        sys.settrace(trace)
    sys.settrace(traced)
    assert signal.getsignal(signal.SIGALRM) == before
    assert due or event == "return"


def test_ignored_ones_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with noted() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert interrupts.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_have_no_signals():
    found = []

    def run():
        with noted() as interrupts:
            found.append(interrupts.signal)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [None]


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_command_ends_with_the_shells_code(name, code):
    program = (
        "import sys, time\n"
        "import rnnbench.__main__ as main\n"
        "def busy(*_, **__):\n"
        "    print('here', flush=True)\n"
        "    time.sleep(60)\n"
        "main.cli.main = busy\n"
        "main.main(['list'])\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        process.send_signal(getattr(signal, name))
        assert process.wait(30) == code


def test_a_signal_that_meets_an_exec_of_a_string_has_its_own_code(tmp_path):
    """As where a dataclass is made: Python takes it for one that nobody caught."""
    (tmp_path / "meets.py").write_text(
        "from rnnbench import __main__ as it\n"
        "def interrupted(*_, **__):\n"
        "    exec('import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)')\n"
        "it.cli.main = interrupted\n"
        "it.main([])\n"
    )
    path = f"{tmp_path}{os.pathsep}{Path(rnnbench.__file__).parents[1]}"
    done = subprocess.run(
        [sys.executable, "-m", "meets"], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == 128 + signal.SIGTERM


AS_A_CLASS_IS_MADE = """
import os, signal
from rnnbench.__main__ import main
from rnnbench.core import plugins

class Field:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.{name})

plugins.load("commands", "list").command.callback = lambda **_: type("Made", (), {{"x": Field()}})
main(["list"])
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_one_that_a_library_made_an_error_of_is_no_bug(name):
    """`import torch` makes thousands of classes; CI was interrupted as it made one."""
    done = subprocess.run(
        [sys.executable, "-c", AS_A_CLASS_IS_MADE.format(name=name)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.returncode == 128 + getattr(signal, name), done.stderr
    assert done.stderr == ""

"""A process in which OpenVINO has run takes signals as before, whichever thread ended with it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import signal
from tests.benchmarking.test_streams import HELD, test_streams_do_not_mix_their_states

for held in HELD:
    test_streams_do_not_mix_their_states("openvino", held)
taken = []
for number in (signal.SIGUSR1, signal.SIGINT):
    signal.signal(number, lambda got, _: taken.append(got))
    signal.raise_signal(number)
assert taken == [signal.SIGUSR1, signal.SIGINT]
print("taken")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_sessions_that_ended_in_other_threads():
    pytest.importorskip("openvino")
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "taken\n"), done.stderr

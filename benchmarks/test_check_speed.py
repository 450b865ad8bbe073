"""What a user waits for a check, on 2 cores: 5 s, the full sweep 60 s; and what a drift takes.

Each is the command itself in a process of its own, with everything that it imports and starts.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest
from process_tree import descendants, memory_of
from pytest_benchmark.fixture import BenchmarkFixture

from rnnbench.formats import aoti

QUICK_S, FULL_S = 5.0, 60.0
DRIFT_STEPS, DRIFT_BYTES = 100_000, 500e6
MODEL = """
import torch
from rnnbench import Model, TensorSpec

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru = torch.nn.GRU(16, 32)
        self.out = torch.nn.Linear(32, 8)

    def forward(self, x, h0):
        y, hn = self.gru(x, h0)
        return self.out(y), hn

def build():
    x = TensorSpec("x", ("time", "batch", 16))
    h0 = TensorSpec("h0", (1, "batch", 32), role="state")
    return Model(Net(), (x, h0), ("y", "hn"), states={"h0": "hn"})
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network in every format that can be written here."""
    folder = tmp_path_factory.mktemp("check")
    (folder / "net.py").write_text(MODEL, encoding="utf-8")
    formats = ["onnx", "torchscript", "pt2", *(["aoti"] if aoti.FORMAT.missing() is None else [])]
    words = ["export", str(folder / "net.py"), "--out", str(folder), "--format", ",".join(formats)]
    _rnnbench(words).check_returncode()
    return folder / "Net"


def test_a_quick_check_of_three_runtimes(benchmark: BenchmarkFixture, bundle: Path) -> None:
    benchmark.group = "check"
    three = [f"--runtime={name}" for name in ("eager", "torchscript", "onnxruntime")]
    done = benchmark.pedantic(_rnnbench, (["check", str(bundle), *three],), rounds=5)
    assert done.returncode == 0, done.stderr
    if benchmark.enabled:
        assert benchmark.stats.stats.median <= QUICK_S


def test_a_full_sweep_of_every_runtime(benchmark: BenchmarkFixture, bundle: Path) -> None:
    benchmark.group = "check"
    words = ["check", str(bundle), "--cases", "full", "--json"]
    done = benchmark.pedantic(_rnnbench, (words,), rounds=1)
    assert done.returncode == 0, done.stderr
    if benchmark.enabled:
        assert benchmark.stats.stats.median <= FULL_S


def test_the_memory_of_a_long_drift(benchmark: BenchmarkFixture, bundle: Path) -> None:
    """All processes together at the worst moment; a page that several share is counted once."""
    benchmark.group = "check"
    words = ["check", str(bundle), "--drift", str(DRIFT_STEPS)]
    most = benchmark.pedantic(_most_memory, (words,), rounds=1)
    benchmark.extra_info.update(bytes=most, steps=DRIFT_STEPS)
    assert most <= DRIFT_BYTES, f"{most / 1e6:.0f} MB"


def _rnnbench(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rnnbench", *words], capture_output=True, text=True, check=False
    )


def _most_memory(words: list[str]) -> int:
    """The bytes in memory of a command and the processes that it starts, at the worst moment."""
    if not Path("/proc/self/smaps_rollup").is_file():
        pytest.skip("only Linux says what each process has in memory")
    most = 0
    with subprocess.Popen(
        [sys.executable, "-m", "rnnbench", *words], stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            most = max(most, sum(map(memory_of, (process.pid, *descendants(process.pid)))))
            sleep(0.05)
    assert process.returncode == 0
    return most

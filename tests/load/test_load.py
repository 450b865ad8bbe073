"""Load: what grows must not. Each test prints its numbers; `make full` alone runs them."""

import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from rnnbench.core.temporary import temporary_folder
from tests.faults.commands import Workplace

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(7200),
    pytest.mark.xdist_group("load"),
    pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc"),
]

HERE = Path(__file__).parent
MB = 2**20
EXPORTS, WARM = 300, 20


def grown(which):
    """How the last exports' CPU time is to the first ones', and how many bytes more there are."""
    words = [sys.executable, "-m", "tests.load.many_exports", str(EXPORTS), which]
    found = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    seconds, sizes = found["seconds"][WARM:], found["bytes"][WARM:]
    third = len(seconds) // 3
    return (
        statistics.median(seconds[-third:]) / statistics.median(seconds[:third]),
        statistics.median(sizes[-5:]) - statistics.median(sizes[:5]),
    )


def test_three_hundred_exports_in_one_process():
    slower, ours = grown("ours")
    _, theirs = grown("torchs")
    print(f"time of the last third over the first: {slower:.2f}")
    print(f"memory: {ours / MB:.0f} MB more; of as many torch.export calls: {theirs / MB:.0f} MB")
    assert slower <= 1.1
    assert ours - theirs <= 20 * MB


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp("load"))
    (place.folder / "models.py").write_text((HERE / "models.py").read_text())
    return place


@pytest.mark.parametrize("verb", ["check", "conform"])
def test_forty_bundles_in_one_command(verb, place):
    bundles = [f"out/small{i}" for i in range(40)]
    if not (place.folder / "out" / "small39").is_dir():
        names = [f"models.py:small{i}" for i in range(40)]
        code, out, err = place.run("export", *names, "--format", "onnx", "--out", "out", limit=3600)
        assert code == 0, (out, err)
    more = ("--target", "python-onnxruntime") if verb == "conform" else ()
    code, out, err = place.run(verb, *bundles, *more, limit=3600)
    assert code == 0, (out, err)
    assert place.leftovers() == []


@pytest.mark.parametrize("name", ["deep", "words", "many"])
def test_a_large_model(name, place):
    """24 layers of 1,024; a vocabulary of 500,000; 1,000 outputs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code, out, err = place.run("export", f"models.py:{name}", "--out", "large", limit=7000)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{name}: {after.ru_utime - before.ru_utime:.0f} s, {after.ru_maxrss // 1024} MB at most")
    assert code == 0, (out, err)


def test_a_million_steps_of_drift(place):
    if not (place.folder / "out" / "streamed").is_dir():
        words = ("export", "models.py:streamed", "--format", "onnx", "--out", "out")
        assert place.run(*words, limit=3600)[0] == 0
    idle, most = (
        peak(place, "check", "out/streamed", "--drift", str(steps)) for steps in (1000, 10**6)
    )
    print(f"drift over 10^6 steps: {(most - idle) / MB:.0f} MB above one over 1,000")
    assert most - idle <= 500 * MB


def peak(place, *words):
    """The most bytes that a command, or one of the processes that it starts, has had."""
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'rnnbench', *sys.argv[1:]])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(done.returncode)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p or os.curdir for p in sys.path)}
    with temporary_folder() as temporary:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=place.folder,
            env=environment | {"TMPDIR": str(temporary), "HOME": str(place.folder)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return 1024 * int(done.stdout.split()[-1])

"""Workers that are forks of a process with torch: the same results, and no more in common."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnnbench.runtimes import forkserver
from rnnbench.runtimes.worker import Worker, WorkerError
from tests.helpers import handmade
from tests.runtimes.test_worker import inputs, job

pytestmark = pytest.mark.skipif(
    not forkserver.serves(("torch",), "cpu"), reason="there is no fork server here"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return handmade.make_bundle(tmp_path_factory.mktemp("bundle"))


def server():
    """The process that forks for this one."""
    return forkserver._server[2]._process


def test_what_needs_torch_on_the_cpu_is_forked(bundle):
    with Worker(job(bundle)) as worker:
        assert isinstance(worker._process, subprocess.Popen)
    assert not forkserver.serves(("onnxruntime",), "cpu")
    assert not forkserver.serves(("torch",), "cuda")
    with Worker(job(bundle, "torchscript", "torchscript")) as worker:
        assert isinstance(worker._process, forkserver.Fork)


def test_export_imports_torch_once(tmp_path):
    """The server is a fork of the process that traces, which has one thread until then."""
    program = """
import atexit, sys
from rnnbench.__main__ import main
from rnnbench.runtimes import forkserver

atexit.register(lambda: print(type(forkserver._server[2]._process).__name__, file=sys.stderr))
main(["export", "gru", "--format", "torchscript"])
"""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[-1] == "_Child", ran.stderr


@pytest.mark.parametrize("format", ["eager", "torchscript", "pt2"])
def test_a_fork_gives_what_a_process_of_its_own_gives(bundle, variant_bundle, monkeypatch, format):
    if format == "pt2":
        bundle = variant_bundle("gru")[1]
    rng = np.random.default_rng(0)
    given = {spec.name: _drawn(rng, spec.shape) for spec in bundle.inputs}
    with Worker(job(bundle, format, format)) as first, Worker(job(bundle, format, format)) as other:
        assert isinstance(first._process, forkserver.Fork)
        forked = [first(given), other(given)]
    monkeypatch.setattr(forkserver, "fork", lambda *_: None)
    with Worker(job(bundle, format, format)) as worker:
        assert isinstance(worker._process, subprocess.Popen)
        alone = worker(given)
    for outputs in forked:
        assert list(outputs) == list(alone)
        for name, array in alone.items():
            np.testing.assert_array_equal(outputs[name], array)


def _drawn(rng, shape):
    sizes = [3 if isinstance(size, str) else size for size in shape]
    return rng.standard_normal(sizes).astype(np.float32)


def test_the_server_has_one_thread_and_serves_again(bundle):
    torchscript = job(bundle, "torchscript", "torchscript")
    with Worker(torchscript) as first:
        pid = server().pid
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
        with Worker(torchscript) as second:
            assert server().pid == pid
            os.kill(first._process.pid, signal.SIGKILL)
            with pytest.raises(WorkerError) as caught:
                first(inputs())
            assert caught.value.reason == "SIGKILL"
            assert second(inputs())["y"].shape == (7, 2, 4)


def test_a_server_that_was_killed_is_started_again(bundle):
    torchscript = job(bundle, "torchscript", "torchscript")
    with Worker(torchscript) as worker:
        before = server()
        before.kill()
        before.wait()
        assert worker(inputs())["y"].shape == (7, 2, 4)
    for _ in range(2):  # the first one finds out, and runs in a process of its own
        with Worker(torchscript) as worker:
            assert worker(inputs())["y"].shape == (7, 2, 4)
    assert isinstance(worker._process, type(None))
    assert server().pid != before.pid


def test_a_fork_is_where_this_process_is_now(bundle, monkeypatch):
    torchscript = job(bundle, "torchscript", "torchscript")
    with Worker(torchscript):
        before = server().pid
    monkeypatch.chdir(torchscript.path.parent)
    here = job(bundle, "torchscript", "torchscript")
    here = type(here)("torchscript", "torchscript", Path(torchscript.path.name), None)
    with Worker(here) as worker:
        assert server().pid == before
        assert set(worker.signature().to_json()) >= {"inputs"}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # read when torch is imported
    with Worker(torchscript):
        assert server().pid != before


def test_a_server_that_fails_is_done_without(bundle, monkeypatch):
    monkeypatch.setattr(forkserver, "_PRELOADED", {"torchscript": ("no.such.module",)})
    with Worker(job(bundle, "torchscript", "torchscript")) as worker:
        assert isinstance(worker._process, subprocess.Popen)
        assert worker(inputs())["y"].shape == (7, 2, 4)


FROM_THIS_ONE = """
import subprocess, sys
from pathlib import Path
from rnnbench.core.threads import numpy_without_threads

with numpy_without_threads():
    import numpy as np

from rnnbench.runtimes import forkserver
from rnnbench.runtimes.job import Job
from rnnbench.runtimes.worker import Worker

if __name__ == "__main__":
    forkserver.imports_torch()
    server = forkserver._server[2]._process
    assert server.pid and not isinstance(server, subprocess.Popen)
    import torch._export.non_strict_utils  # sets a variable that is read late
    torch.ones(300, 300) @ torch.ones(300, 300)  # what this process does now is its own
    folder, inputs, outputs = map(Path, sys.argv[1:])
    given = dict(np.load(inputs))
    with Worker(Job("torchscript", "torchscript", folder / "model.ts", folder)) as worker:
        assert isinstance(worker._process, forkserver.Fork)
        assert forkserver._server[2]._process is server
        assert len(list(Path(f"/proc/{server.pid}/task").iterdir())) == 1
        np.savez(outputs, **worker(given))
    pid = server.pid
    forkserver._stop()
    assert not Path(f"/proc/{pid}").exists()
    print("done")
"""


def test_a_command_forks_the_server_from_itself(bundle, tmp_path):
    """The same outputs to the last bit as of a process that has imported torch for itself."""
    script = tmp_path / "command.py"
    script.write_text(FROM_THIS_ONE)
    given = inputs()
    np.savez(tmp_path / "in.npz", **given)
    words = [sys.executable, script, bundle.path, tmp_path / "in.npz", tmp_path / "out.npz"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
    with Worker(job(bundle, "torchscript", "torchscript")) as worker:
        alone = worker(given)
    with np.load(tmp_path / "out.npz") as forked:
        assert sorted(forked) == sorted(alone)
        for name in forked:
            np.testing.assert_array_equal(forked[name], alone[name])


ANOTHER = "threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"


@pytest.mark.parametrize("first", ["torch", ANOTHER])
def test_a_process_with_threads_or_torch_is_not_forked(first):
    code = (
        f"import {first}\nfrom rnnbench.runtimes import forkserver\n"
        "forkserver.imports_torch()\nimport sys\n"
        "print(forkserver._server, 'torch' in sys.modules)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "None True\n"

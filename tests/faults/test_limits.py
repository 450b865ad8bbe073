"""A full disk, folders that are read only, little memory, a closed stdout: one line each."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.faults.commands import VERBS, Workplace

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them"),
    pytest.mark.xdist_group("limits"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp("limits"))
    for verb in ("export", "train"):
        assert place.run(*VERBS[verb])[0] == 0
    np.savez(place.folder / "given.npz", x=np.zeros((2, 5, 3), np.float32))
    return place


def limited(kind, size):
    return {"preexec_fn": lambda: resource.setrlimit(kind, (size, size))}


def one_line(err):
    """The line of the error; what was done before it may have been told too."""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    assert "a bug in rnnbench" not in err
    return lines[0]


def tree(folder):
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


WRITES = {
    "export": (VERBS["export"], "out/net/"),
    "torchscript": (("export", "model.py", "--format", "torchscript", "--out", "out"), "out/net/"),
    "pt2": (("export", "model.py", "--format", "pt2", "--out", "out"), "out/net/"),
    "train": (("train", "gru", "--epochs", "1", "--runs", "runs"), "runs/hello-gru.pt"),
    "embed": (VERBS["embed"], "project"),
    "bench": (VERBS["bench"], "benches"),
    "run": (("run", "out/net", "--npz", "given.npz", "--save", "saved.npz"), "saved.npz"),
    "junit": (("check", "out/net", "--junit", "junit.xml"), "junit.xml"),
}


@pytest.mark.parametrize("verb", WRITES)
def test_a_limit_of_file_sizes_is_one_line_that_names_the_file(verb, place):
    words, named = WRITES[verb]
    before = tree(place.folder / "out"), tree(place.folder / "runs")
    code, out, err = place.run(*words, **limited(resource.RLIMIT_FSIZE, 100))
    assert code == 2, (out, err)
    line = one_line(err)
    assert named in line
    assert "File too large" in line or "a limit is reached" in line
    assert (tree(place.folder / "out"), tree(place.folder / "runs")) == before
    assert place.leftovers() == []


PR_CAPBSET_DROP, MAY_WRITE_ANYWHERE, MAY_READ_ANYWHERE = 24, 1, 2  # <linux/prctl.h>


def as_anybody():
    """Takes from root what it has more than others, in the process to come."""
    libc = ctypes.CDLL(None)
    for right in (MAY_WRITE_ANYWHERE, MAY_READ_ANYWHERE):
        libc.prctl(PR_CAPBSET_DROP, right, 0, 0, 0)


@pytest.mark.parametrize("verb", ["export", "train", "embed", "bench", "run"])
def test_a_read_only_folder_is_one_line_that_names_it(verb, place, tmp_path):
    copied = place.copy(tmp_path / "copy")
    folders = [copied.folder, *(path for path in copied.folder.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        code, out, err = copied.run(*WRITES[verb][0], preexec_fn=as_anybody)
        assert code == 2, (out, err)
        assert "Permission denied" in one_line(err)
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize("verb", ["export", "check"])
def test_little_memory_is_one_line_or_a_row(verb, place):
    """What is left after the libraries are loaded is not enough for a model."""
    code, out, err = place.run(*VERBS[verb], **limited(resource.RLIMIT_AS, 850 * 2**20))
    assert code in ((0, 1, 2) if verb == "check" else (1, 2)), (out, err)
    if code == 2:
        one_line(err)
    assert "Traceback" not in err
    assert place.leftovers() == []


PRINTS = {
    "list": ("list",),
    "help": ("--help",),
    "check": ("check", "out/net", "--details"),
    "json": ("check", "out/net", "--json"),
    "inspect": ("inspect", "out/net/model.onnx"),
}


@pytest.mark.parametrize("verb", PRINTS)
def test_nobody_who_reads_is_no_difference(verb, place):
    read, write = os.pipe()
    os.close(read)
    try:
        code, _, err = place.run(*PRINTS[verb], stdout=write)
    finally:
        os.close(write)
    assert code == 128 + signal.SIGPIPE, err
    assert "Traceback" not in err
    assert "Exception ignored" not in err


@pytest.mark.parametrize("verb", PRINTS)
def test_a_full_disk_behind_stdout_is_one_line(verb, place):
    with Path("/dev/full").open("w") as full:
        code, _, err = place.run(*PRINTS[verb], stdout=full)
    assert code == 2, err
    assert "stdout (No space left on device)" in one_line(err)
    assert "Exception ignored" not in err


def test_a_stdout_that_is_closed_does_not_matter(place):
    command = f'exec "{sys.executable}" -m rnnbench list >&-'
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p or os.curdir for p in sys.path)}
    done = subprocess.run(
        ["sh", "-c", command], cwd=place.folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_two_at_once_on_one_folder(verb, place, tmp_path):
    copied = place.copy(tmp_path / "copy")
    both = [copied.start(*VERBS[verb]) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, (out, err)
    assert copied.leftovers() == []
    code, out, err = copied.run("check", "out/net")
    assert code == 0, (out, err)
    if verb == "bench":
        assert len(list((copied.folder / "benches").rglob("*.json"))) == 2

"""Folders and files that appear whole or not at all, and what killed runs leave."""

import errno
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnbench.core import whole
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.temporary import temporary_folder
from rnnbench.core.whole import recover, recover_all, whole_file, whole_folder, write_file
from tests.helpers import handmade

needs_locks = pytest.mark.skipif(os.name == "nt", reason="no locks between processes there")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def put(folder, text, error=None, **options):
    with whole_folder(folder, **options) as new:
        (new / "text").write_text(text)
        if error is not None:
            raise error


def put_file(path, data, error, *remedy):
    with whole_file(path, *remedy) as file:
        file.write(data)
        raise error


@pytest.fixture(params=["exchanged", "moved aside"])
def _ways(request, monkeypatch):
    """In one step, and in two, as where the system cannot do it in one."""
    if request.param == "moved aside":
        monkeypatch.setattr(whole, "_renameat2", lambda: None)


@pytest.mark.usefixtures("_ways")
@pytest.mark.parametrize("before", ["nothing", "folder", "file", "link"])
def test_whatever_is_there_is_replaced_whole(before, tmp_path):
    target, other = tmp_path / "it", tmp_path / "other"
    other.mkdir()
    (other / "kept").write_text("x")
    if before == "folder":
        put(target, "old")
    elif before == "file":
        target.write_text("old")
    elif before == "link":
        target.symlink_to(other, target_is_directory=True)
    put(target, "new")
    assert not target.is_symlink()
    assert (target / "text").read_text() == "new"
    assert names(tmp_path) == ["it", "other"]
    assert names(other) == ["kept"]


@pytest.mark.usefixtures("_ways")
def test_what_was_there_stays_on_an_error(tmp_path):
    target = tmp_path / "it"
    put(target, "old")
    with pytest.raises(ValueError, match="stop"):
        put(target, "half", ValueError("stop"))

    def refuse():
        raise RnnbenchError("no more")

    with pytest.raises(RnnbenchError, match="no more"):
        put(target, "new", still_allowed=refuse)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(RnnbenchError, match=r"cannot write .*it/text \(No space left on device"):
        put(target, "half", full)
    assert (target / "text").read_text() == "old"
    assert names(tmp_path) == ["it"]


def test_on_linux_folders_are_exchanged_in_one_step(tmp_path, monkeypatch):
    if whole._renameat2() is None:
        pytest.skip("only Linux can")
    put(tmp_path / "it", "old")
    seen = []
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda a, b: seen.append(b) or rename(a, b))
    put(tmp_path / "it", "new")
    assert seen == []  # there was no time without one


def test_a_bundle_that_was_moved_aside_is_found_by_who_reads(tmp_path):
    bundle = handmade.make_bundle(tmp_path)
    aside = tmp_path / f".{bundle.name}.01234567.old"
    bundle.path.rename(aside)
    assert Bundle.open(bundle.path).manifest == bundle.manifest
    bundle.path.rename(aside)
    recover_all(tmp_path)
    assert names(tmp_path) == [bundle.name]
    bundle.path.rename(aside)
    put(bundle.path, "another that came later")
    recover(bundle.path)
    assert (bundle.path / "text").is_file()


def test_a_bundle_that_was_moved_aside_is_listed(tmp_path):
    from rnnbench.commands._pipeline import find_bundles

    bundle = handmade.make_bundle(tmp_path)
    bundle.path.rename(tmp_path / f".{bundle.name}.01234567.old")
    assert find_bundles((), tmp_path) == (bundle.path,)


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a file [1]"
    write_file(path, b"old")
    with pytest.raises(ValueError, match="stop"):
        put_file(path, b"half", ValueError("stop"))
    assert path.read_bytes() == b"old"
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(RnnbenchError, match=r"cannot write .*a file \[1\] \(No space") as caught:
        put_file(path, b"half", full, "give another --out")
    assert str(caught.value).endswith("): give another --out")
    with whole_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == [path.name]


@pytest.fixture
def pipe(tmp_path):
    """A named pipe, and what was read from it when its writers are gone."""
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    thread = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    thread.start()

    def text():
        thread.join(20)
        return read[0]

    return path, text


needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")


@needs_pipes
def test_a_pipe_stays_and_gets_the_bytes(pipe, tmp_path):
    path, text = pipe
    write_file(path, b"all of it")
    assert text() == b"all of it"
    assert path.is_fifo()
    assert names(tmp_path) == ["pipe"]


@needs_pipes
@pytest.mark.parametrize("how", ["arrays", "checkpoint"])
def test_an_archive_goes_through_a_pipe(pipe, how):
    path, text = pipe
    with whole_file(path) as file:
        if how == "arrays":
            np.savez(file, x=np.arange(3))
        else:
            torch.save({"x": torch.arange(3)}, file)
    read = io.BytesIO(text())
    found = np.load(read)["x"] if how == "arrays" else torch.load(read, weights_only=True)["x"]
    assert found.tolist() == [0, 1, 2]


@needs_pipes
def test_a_pipe_gets_nothing_of_what_fails(pipe):
    path, text = pipe
    with pytest.raises(ValueError, match="stop"):
        put_file(path, b"half", ValueError("stop"))
    write_file(path, b"")  # so that the reader sees an end
    assert text() == b""


@needs_pipes
def test_a_pipe_without_a_name_is_written_to(tmp_path):
    """As `>(cat)` gives it: /dev/fd/63."""
    reader, writer = os.pipe()
    write_file(Path(f"/dev/fd/{writer}"), b"through")
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == b"through"


@needs_pipes
def test_what_was_printed_to_a_file_stays_before_what_goes_to_stdout(tmp_path):
    code = "import sys; from pathlib import Path; from rnnbench.core.whole import write_file\n"
    code += "print('first', flush=True); write_file(Path('/dev/stdout'), b'second\\n')"
    with (tmp_path / "out").open("ab") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "first\nsecond\n"
    assert Path("/dev/stdout").is_symlink()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device there")
def test_a_device_that_is_full_is_one_line():
    with pytest.raises(RnnbenchError, match=r"cannot write /dev/full \(No space left"):
        write_file(Path("/dev/full"), b"x" * 10)
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_file_is_written(tmp_path, there):
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "real", tmp_path / "link"
    if there:
        real.write_bytes(b"old")
    link.symlink_to("far/real")
    again = tmp_path / "again"
    again.symlink_to("link")
    with pytest.raises(ValueError, match="stop"):
        put_file(again, b"half", ValueError("stop"))
    assert real.exists() == there
    write_file(again, b"new")
    assert (link.is_symlink(), again.is_symlink()) == (True, True)
    assert real.read_bytes() == b"new"
    assert names(tmp_path) == ["again", "far", "link"]
    assert names(tmp_path / "far") == ["real"]


@pytest.mark.parametrize("name", [".", "", "folder", "loop", "a\0b", "no/such/file"])
def test_a_place_that_cannot_be_is_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(RnnbenchError, match=r"cannot write .*: give another path") as caught:
        write_file(Path(name), b"x")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["folder", "loop"]


KILLED = """
import os, sys
from pathlib import Path
from rnnbench.core.temporary import temporary_folder
from rnnbench.core.whole import whole_file, whole_folder
with whole_file(Path(sys.argv[1]) / "file") as file, temporary_folder() as folder:
    file.write(b"half")
    (folder / "half").write_text("x")
    with whole_folder(Path(sys.argv[1]) / "folder") as new:
        (new / "half").write_text("x")
        if sys.argv[2:] == ["wait"]:
            print("here", flush=True)
            sys.stdin.read()
        os._exit(9)
"""


@needs_locks
def test_what_killed_runs_leave_goes_and_what_live_ones_write_stays(tmp_path, monkeypatch):
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    out.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    command = [sys.executable, "-c", KILLED, str(out)]
    assert subprocess.run(command, check=False).returncode == 9
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*command, "wait"], **pipes) as live:
        assert live.stdout.readline() == b"here\n"
        # That run has removed what the one before had left.
        assert len(names(out)) == 2
        assert len(names(temporary)) == 1
        write_file(out / "file", b"another")
        put(out / "folder", "another")
        with temporary_folder():
            assert len(names(temporary)) == 2
        assert len([name for name in names(out) if name.endswith(".partial")]) == 2
        live.communicate(b"")
    write_file(out / "file", b"next")
    put(out / "folder", "next")
    with temporary_folder() as folder:
        assert names(temporary) == [folder.parent.name]
    assert names(out) == ["file", "folder"]
    assert names(temporary) == []

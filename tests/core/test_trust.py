"""No verb runs code that came with a file; what this user exported runs while it is as it was."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import rnnbench
from rnnbench import Bundle, RnnbenchError
from rnnbench import __main__ as cli
from rnnbench.core import trust
from rnnbench.core.errors import Unavailable
from tests.helpers import handmade

# Each import of it leaves a mark beside it.
MODEL = """
from pathlib import Path

import torch
from torch import nn

from rnnbench import Model, TensorSpec
from width import HIDDEN

with Path(__file__).with_name("ran").open("a") as mark:
    mark.write("x")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, HIDDEN, batch_first=True)

    def forward(self, x, h):
        return self.rnn(x, h)


def build():
    torch.manual_seed(0)
    x = TensorSpec("x", ("batch", "time", 3))
    h = TensorSpec("h", (1, "batch", HIDDEN), role="state")
    return Model(Net().eval(), (x, h), ("y", "hn"), states={"h": "hn"})
"""


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A folder of code, where the tests are; with a record of its own."""
    monkeypatch.setenv(trust.FOLDER, str(tmp_path / "state"))
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "net.py").write_text(MODEL)
    (folder / "width.py").write_text("HIDDEN = 4\n")
    monkeypatch.chdir(folder)
    yield folder
    for name in ("net", "width"):
        sys.modules.pop(name, None)


def run(*words):
    """A verb in a process of its own, as a user starts it: the code and all that it printed."""
    words = (sys.executable, "-m", "rnnbench", *map(str, words))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def in_process(capfd, *words):
    """The same in this process, in which no code of a user is imported yet."""
    for name in ("net", "width"):
        sys.modules.pop(name, None)
    with pytest.raises(SystemExit) as ended:
        cli.main([*words])
    printed = capfd.readouterr()
    return ended.value.code, printed.out + printed.err


def marks(folder):
    mark = Path(folder) / "ran"
    return len(mark.read_text()) if mark.exists() else 0


def test_what_was_exported_here_runs_while_it_is_as_it_was(code):
    assert run("export", "net.py", "--format", "torchscript")[0] == 0
    before = marks(code)
    said = run("check", "exports/Net")
    assert said[0] == 0
    assert "eager" in said[1]
    assert "not run" not in said[1]
    assert marks(code) > before
    for name in ("width.py", "net.py"):
        whole = (code / name).read_text()
        (code / name).write_text(whole + "# changed\n")
        before = marks(code)
        status, printed = run("check", "exports/Net")
        assert status == 0, "the artifacts are judged still"
        assert f"{name} has changed since" in printed or f"({name})" in printed
        assert "export it again, or give --trust-code" in printed
        assert marks(code) == before
        status, printed = run("check", "exports/Net", "--trust-code")
        assert status == 0
        assert "not run" not in printed
        assert marks(code) > before
        (code / name).write_text(whole)
    assert "not run" not in run("check", "exports/Net")[1]


def test_an_archive_with_code_beside_its_bundle(code, tmp_path, monkeypatch, capfd):
    """Somebody else's bundle and code, in another place: no verb runs it."""
    assert run("export", "net.py", "--format", "torchscript", "--format", "onnx")[0] == 0
    theirs = tmp_path / "theirs"
    shutil.copytree(code, theirs)
    (theirs / "ran").unlink()
    monkeypatch.chdir(theirs)
    np.savez("given.npz", x=np.zeros((1, 2, 3), np.float32))
    verbs = [
        ("check", "exports/Net"),
        ("check", "exports/Net", "--cases", "full", "--runtime", "onnxruntime"),
        ("check", "exports/Net", "--drift", "20"),
        ("check", "exports/Net", "--bisect", "--runtime", "torchscript"),
        ("check", "exports/Net/model.onnx", "--against", "exports/Net/model.ts"),
        ("run", "exports/Net", "--runtime", "eager", "--npz", "given.npz"),
        ("run", "exports/Net", "--runtime", "torchscript", "--npz", "given.npz"),
        ("conform", "exports/Net", "--target", "python-onnxruntime"),
        ("embed", "exports/Net", "--target", "python-onnxruntime", "--out", "made"),
        ("inspect", "exports/Net/model.ts"),
        ("bench", "exports/Net", "--quick", "--runtime", "eager", "--hidden", "4", "--time", "2"),
    ]
    for words in verbs:
        status, printed = in_process(capfd, *words)
        assert "this is a bug" not in printed, printed
        assert marks(theirs) == 0, words
        if words[:3] == ("run", "exports/Net", "--runtime") and words[3] == "eager":
            assert status == 2
            assert "give --trust-code" in printed
    words = ("run", "exports/Net", "--runtime", "eager", "--npz", "given.npz", "--trust-code")
    assert in_process(capfd, *words)[0] == 0
    assert marks(theirs) > 0


def test_a_package_of_the_same_name_is_not_the_one(code, tmp_path, monkeypatch):
    assert run("export", "net:build", "--format", "torchscript")[0] == 0
    assert "not run" not in run("check", "exports/Net")[1]
    other = tmp_path / "other"
    shutil.copytree(code / "exports", other / "exports")
    monkeypatch.chdir(other)
    assert "not run" not in run("check", "exports/Net")[1]  # found where it was found then
    (code / "net.py").rename(code / "gone.py")
    (other / "net.py").write_text(MODEL)
    (other / "width.py").write_text("HIDDEN = 4\n")
    assert "net.py has changed since" in run("check", "exports/Net")[1]
    assert marks(other) == 0


def test_no_record_can_be_written(code, monkeypatch):
    monkeypatch.setenv(trust.FOLDER, str(code / "net.py" / "no"))
    status, printed = run("export", "net.py", "--format", "torchscript")
    assert status == 0
    assert "cannot be written, so that nothing records" in printed
    assert "not run" not in printed  # the code was given on this command line
    assert "give --trust-code" in run("check", "exports/Net")[1]
    assert "not run" not in run("check", "exports/Net", "--trust-code")[1]


def test_the_record_is_outside_of_the_bundle_and_small(code):
    assert run("export", "net.py", "--format", "torchscript")[0] == 0
    (record,) = (trust.folder() / "code").iterdir()
    known = trust.find_code("net.py", trust.digest(code / "net.py"))
    assert {Path(file).name for file in known.files} == {"net.py", "width.py"}
    assert record.stat().st_size < 2000
    if os.name == "posix":
        assert (trust.folder() / "code").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"folders": 1}', '{"folders": [], "root": ""}'])
def test_a_damaged_record_trusts_nothing(code, damage):
    trust.remember_code("net.py", code / "net.py")
    assert trust.find_code("net.py", trust.digest(code / "net.py"))
    (record,) = (trust.folder() / "code").iterdir()
    record.write_text(damage)
    with pytest.raises(Unavailable, match="give --trust-code"):
        trust.find_code("net.py", trust.digest(code / "net.py"))


def test_from_python(code):
    from rnnbench.models import sources

    source = {"kind": "file", "spec": "net.py"}
    bundle = rnnbench.export(sources.load("net.py"), ("torchscript",), source=source)
    assert rnnbench.check(bundle, ["eager"]).ok
    assert rnnbench.check(bundle.path, ["eager"]).ok
    shutil.rmtree(trust.folder())
    (row,) = rnnbench.check(bundle.path, ["eager"]).rows
    assert row.verdict == "not run"
    assert rnnbench.check(Bundle.open(bundle.path, trust_code=True), ["eager"]).ok


def test_machine_code_of_others_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setenv(trust.FOLDER, str(tmp_path / "state"))
    bundle = handmade.make_bundle(tmp_path)
    package = bundle.path / "model.aoti.pt2"
    package.write_bytes(b"no package at all")
    artifacts = bundle.manifest["artifacts"] | {"aoti": {"file": package.name}}
    strange = Bundle(bundle.path, bundle.manifest | {"artifacts": artifacts})
    with pytest.raises(Unavailable, match=r"model\.aoti\.pt2 is machine code, and is not run"):
        rnnbench.load(strange, "aoti")
    trust.remember_machine_code(package)
    with pytest.raises(RnnbenchError, match="is not a package that torch"):
        rnnbench.load(strange, "aoti")


def external(path, location):
    """A file whose weight lies in a file of that name."""
    weight = onnx.TensorProto(
        name="w", dims=[2], data_type=1, data_location=onnx.TensorProto.EXTERNAL
    )
    weight.external_data.add(key="location", value=location)
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [2]) for name in "xy")
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [x], [y], [weight])
    opset = [onnx.helper.make_opsetid("", 17)]
    path.write_bytes(
        onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    )


@pytest.mark.parametrize("location", ["../w.bin", "/etc/w.bin", "a/../../w.bin", "..\\w.bin", ""])
@pytest.mark.parametrize("verb", ["inspect", "--against"])
def test_weights_outside_of_the_folder(tmp_path, capsys, location, verb):
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(8))
    file = folder / "model.onnx"
    external(file, location)
    words = [verb, str(file)] if verb == "inspect" else ["check", str(file), "--against", str(file)]
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2 if verb == "inspect" else ended.value.code in (1, 2)
    printed = capsys.readouterr()
    assert "outside of its folder" in printed.out + printed.err


def test_weights_behind_a_link(tmp_path, capsys):
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(8))
    (folder / "w.bin").symlink_to(tmp_path / "w.bin")
    external(folder / "model.onnx", "w.bin")
    with pytest.raises(SystemExit):
        cli.main(["inspect", str(folder / "model.onnx")])
    assert "outside of its folder" in capsys.readouterr().err

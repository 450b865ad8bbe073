"""No verb runs code that came with a file; what this user exported runs while it is as it was."""

import contextlib
import importlib
import os
import py_compile
import shutil
import subprocess
import sys
import threading
import types
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

import rnnbench
from rnnbench import Bundle, RnnbenchError
from rnnbench import __main__ as cli
from rnnbench.core import recorded, trust
from rnnbench.core.errors import Unavailable
from rnnbench.models.rebuild import rebuild
from rnnbench.models.sources import importing_from
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


EVIL = """
import os, pathlib
pathlib.Path(os.environ["EVIL"]).touch()
HIDDEN = 4
"""


def cached(source, folder, name):
    """A file for `__pycache__` that Python takes for up to date without looking at the source."""
    (folder / "evil.py").write_text(source)
    made = folder / "__pycache__" / f"{name}.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(
        str(folder / "evil.py"),
        str(made),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    (folder / "evil.py").unlink()


def beside(folder, how):
    """Code that has come to recorded code since, and that Python would load."""
    if how == "a module of an installed name":
        (folder / "tabulate.py").write_text(EVIL)
    elif how == "a package of an installed name":
        (folder / "tabulate").mkdir()
        (folder / "tabulate" / "__init__.py").write_text(EVIL)
    elif how == "a package instead of a module":
        (folder / "width").mkdir()
        (folder / "width" / "__init__.py").write_text(EVIL)
    elif how == "a compiled module":
        cached(EVIL, folder, "width")
        made = next((folder / "__pycache__").glob("width.*"))
        made.rename(folder / "tabulate.pyc")
    elif how == "an extension instead of a module":  # to load it raises, if it is tried
        (folder / f"width{EXTENSION_SUFFIXES[0]}").write_bytes(b"no library")
    elif how == "a module of a package":
        (folder / "parts" / "late.py").write_text(EVIL)
    elif how == "the file's cache":
        cached(EVIL + "def build(): raise SystemExit(7)\n", folder, "net")
    else:
        cached(EVIL, folder, "width")


BESIDE = (
    "a module of an installed name",
    "a package of an installed name",
    "a package instead of a module",
    "a compiled module",
    "an extension instead of a module",
    "a module of a package",
    "the file's cache",
    "a module's cache",
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Code that imports what is installed, what is beside it, and what need not be there."""
    folder = tmp_path_factory.mktemp("mine")
    imports = """
import importlib.util
import tabulate
import parts, parts.first
try:
    import parts.late
except ImportError:
    pass
assert importlib.util.find_spec("no_such_module_at_all") is None
"""
    (folder / "net.py").write_text(imports + MODEL)
    (folder / "width.py").write_text("HIDDEN = 4\n")
    for name in ("parts/__init__.py", "elsewhere/first.py"):
        (folder / name).parent.mkdir()
        (folder / name).write_text("")
    (folder / "parts" / "first.py").symlink_to("../elsewhere/first.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(trust.FOLDER, str(folder.with_name("state")))
        patch.setenv("PYTHONSAFEPATH", "1")
        patch.chdir(folder)
        assert run("export", "net.py", "--format", "torchscript")[0] == 0
        assert "not run" not in run("check", "exports/Net", "--runtime", "eager")[1]
    return folder


LOCAL = ("net", "width", "tabulate", "parts", "parts.first", "parts.late")


@pytest.mark.parametrize("how", [*BESIDE, "nothing"])
def test_what_came_beside_recorded_code_is_not_run(exported, tmp_path, monkeypatch, how):
    folder = tmp_path / "whole"
    shutil.copytree(exported, folder, symlinks=True)
    monkeypatch.setenv(trust.FOLDER, str(exported.with_name("state")))
    monkeypatch.setenv("EVIL", str(tmp_path / "evil"))
    for name in LOCAL:
        monkeypatch.delitem(sys.modules, name, raising=False)
    try:
        for made in list(exported.rglob("__pycache__")):
            shutil.rmtree(made)
        (exported / "ran").unlink()
        if how != "nothing":
            beside(exported, how)
        with contextlib.chdir(exported):
            model = rebuild(Bundle.open("exports/Net"))
        assert model.name == "Net"
        assert marks(exported) == 1
        assert sys.modules["width"].HIDDEN == 4
        assert not Path(sys.modules["tabulate"].__file__).is_relative_to(exported)
        assert not (tmp_path / "evil").exists()
        if "cache" not in how and how != "a compiled module":
            assert not list(exported.rglob("__pycache__")), "nothing is written there either"
        words = (sys.executable, "-c", f"import {_taken(how)}")
        done = subprocess.run(words, cwd=exported, capture_output=True, check=False)
        by_python = (tmp_path / "evil").exists() or b"width.cpython" in done.stderr
        assert by_python == (how != "nothing"), "Python itself would have run it"
    finally:
        for name in LOCAL:
            sys.modules.pop(name, None)
        shutil.rmtree(exported)
        folder.rename(exported)


def _taken(how):
    """The import by which Python takes what has come."""
    if "installed" in how or "compiled" in how:
        return "tabulate"
    if "of a package" in how:
        return "parts.late"
    return "net" if how == "the file's cache" else "width"


def test_code_that_was_not_there_is_named_where_nothing_else_is(code, monkeypatch):
    """What an export did not import is refused, and not taken for what it is not."""
    optional = "try:\n    import later\nexcept ImportError as error:\n    print(error)\n"
    (code / "net.py").write_text(optional + MODEL)
    assert run("export", "net.py", "--format", "torchscript")[0] == 0
    (code / "later.py").write_text("raise SystemExit(7)\n")
    assert run("export", "net.py", "--format", "torchscript", "--out", "more")[0] == 7
    known = trust.find_code("net.py", trust.digest(code / "net.py"))
    with importing_from(code), recorded.importing_recorded(known):
        with pytest.raises(ModuleNotFoundError, match=r"later\.py is not run: it was not"):
            importlib.import_module("later")
        elsewhere = []
        other = threading.Thread(target=lambda: elsewhere.append(find_spec("later")))
        other.start()
        other.join()
    assert elsewhere[0].origin == str(code / "later.py"), "other threads import as ever"
    monkeypatch.syspath_prepend(str(code))
    assert find_spec("later") is not None


def test_a_function_imports_from_a_recorded_package_later(code, monkeypatch):
    """A module of a package that a forward imports: the record's, and no other."""
    (code / "late_pkg").mkdir()
    (code / "late_pkg" / "__init__.py").write_text(
        "from importlib import import_module\n"
        "def load(name):\n    return import_module('.' + name, __name__)\n"
    )
    (code / "late_pkg" / "known.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(code))
    found = importlib.import_module("late_pkg")
    found.load("known")
    trust.remember_code("net.py", code / "net.py")
    known = trust.find_code("net.py", trust.digest(code / "net.py"))
    for name in ("late_pkg", "late_pkg.known"):
        del sys.modules[name]
    with recorded.importing_recorded(known):
        found = importlib.import_module("late_pkg")
    try:
        (code / "late_pkg" / "strange.py").write_text("raise SystemExit(7)\n")
        cached("VALUE = 2\n", code / "late_pkg", "known")
        assert found.load("known").VALUE == 1
        with pytest.raises(ModuleNotFoundError, match=r"strange\.py is not run"):
            found.load("strange")
        with pytest.raises(ModuleNotFoundError, match="No module named"):
            found.load("nothing")
        del sys.modules["late_pkg.known"]
        (code / "late_pkg" / "known.py").write_text("VALUE = 3\n")
        with pytest.raises(ImportError, match=r"known\.py has changed since you exported it"):
            found.load("known")
    finally:
        for name in ("late_pkg", "late_pkg.known"):
            sys.modules.pop(name, None)


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


def test_a_module_that_is_imported_when_it_is_asked_for_anything(tmp_path, monkeypatch):
    class Lazy(types.ModuleType):
        def __getattr__(self, name):
            raise ImportError(f"{name}: what it stands for is not installed")

    monkeypatch.setitem(sys.modules, "stands_for_another", Lazy("stands_for_another"))
    (tmp_path / "net.py").write_text("x = 1\n")
    trust.remember_code("net.py", tmp_path / "net.py")

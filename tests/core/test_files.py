"""A file that a verb does not take is told what it is, and which verb takes it."""

import pickle
import re
import zipfile

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnbench import __main__ as cli
from rnnbench.core.files import recognise
from rnnbench.core.known_warnings import torchscript_deprecation
from tests.helpers import handmade

NET = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0]


net = Net()


def make():
    return Net()
"""


class Hostile:
    """Unpickling it would run code."""

    def __reduce__(self):
        return exec, ("raise SystemExit('it was run')",)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    (folder / "net.py").write_text(NET)
    gru = torch.nn.GRU(3, 4)
    torch.save(gru.state_dict(), folder / "weights.pt")
    torch.save({"epoch": 3, "model": gru.state_dict()}, folder / "nested.ckpt")
    torch.save(gru.state_dict(), folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.save(gru, folder / "module.pt")
    (folder / "hostile.pt").write_bytes(pickle.dumps(Hostile()))
    with torchscript_deprecation():
        torch.jit.save(torch.jit.script(torch.nn.Sequential(gru)), str(folder / "model.jit"))
        torch.jit.save(torch.jit.script(gru), str(folder / "overloads.jit"))
    onnx.save(handmade.onnx_gru(handmade.gru()), str(folder / "model.onnx"))
    np.savez(folder / "arrays.npz", x=np.zeros(3))
    (folder / "results.json").write_text('{"benchmarks": []}')
    (folder / "model.xml").write_bytes(b'<?xml version="1.0"?>\n<net name="Model0" version="11">')
    (folder / "model.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3")
    (folder / "notes.txt").write_text("hello")
    (folder / "plain.pkl").write_bytes(pickle.dumps({"epoch": 3, "w": [1, 2]}))
    for name in ("model.onnx", "model.jit", "weights.pt"):
        whole = (folder / name).read_bytes()
        stem, _, suffix = name.partition(".")
        (folder / f"cut_{stem}.{suffix}").write_bytes(whole[: len(whole) // 2])
    (folder / "text.onnx").write_text("this is no model")
    (folder / "empty.onnx").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("weights.pt", "weights"),
        ("nested.ckpt", "weights"),
        ("old.pth", "weights"),
        ("module.pt", "module"),
        ("hostile.pt", "module"),
        ("model.jit", "torchscript"),
        ("model.onnx", "onnx"),
        ("arrays.npz", "other"),
        ("results.json", "json"),
        ("model.tflite", "other"),
        ("model.xml", "openvino-ir"),
        ("net.py", "python"),
        ("plain.pkl", "other"),
        ("cut_model.onnx", "damaged"),
        ("cut_model.jit", "damaged"),
        ("cut_weights.pt", "damaged"),
        ("text.onnx", "damaged"),
        ("empty.onnx", "damaged"),
    ],
)
def test_what_a_file_is(place, name, kind):
    found = recognise(place / name)
    assert found.kind == kind
    assert str(found).startswith(f"{place / name} is ")
    assert "\n" not in str(found)


def test_a_file_says_what_can_be_done_with_it(place):
    for name in ("model.onnx", "model.jit"):
        assert f"`rnnbench export {place / name}` makes a bundle" in str(recognise(place / name))


def test_what_is_not_known(place):
    for name in ("notes.txt", "nothing.pt", "."):
        assert recognise(place / name) is None


@given(st.binary(max_size=300), st.sampled_from([".pt", ".json", ".onnx", ".npz", ""]))
def test_any_bytes_are_something_or_nothing(tmp_path_factory, data, suffix):
    path = tmp_path_factory.mktemp("bytes") / f"a{suffix}"
    for head in (b"", b"PK\x03\x04", b"\x80\x02", b"{"):
        path.write_bytes(head + data)
        recognise(path)


def test_half_a_file_is_said_to_be_truncated(place):
    for name in ("cut_model.onnx", "cut_model.jit", "cut_weights.pt"):
        assert re.search("truncated .*: copy it again", str(recognise(place / name)))
    assert "no ONNX file" in str(recognise(place / "text.onnx"))
    assert str(recognise(place / "empty.onnx")).endswith("is empty: copy it again")


def test_each_beginning_of_an_onnx_file_is_truncated(place, tmp_path):
    whole, path = (place / "model.onnx").read_bytes(), tmp_path / "cut.onnx"
    for end in range(1, len(whole)):
        path.write_bytes(whole[:end])
        assert recognise(path).kind == "damaged", end
    path = tmp_path / "without_a_suffix"
    path.write_bytes(whole)
    assert recognise(path).kind == "onnx"


def test_a_damaged_archive_is_something_or_nothing(place, tmp_path):
    whole = (place / "weights.pt").read_bytes()
    for end in range(0, len(whole), 97):
        path = tmp_path / "cut.pt"
        path.write_bytes(whole[:end])
        recognise(path)
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        archive.writestr("data.pkl", b"\x80\x02c" + b"x" * 1000)
    assert recognise(tmp_path / "odd.zip").kind == "weights"


INIT = "rnnbench init my_model.py --from net.py:Net"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("export", "net.py:Net"), f"net.py:Net is a module class, .*: `{INIT}` drafts one"),
        (("export", "net.py:net"), f"net.py:net is a module, .*: `{INIT}` drafts one"),
        (("export", "net.py"), f"no function 'build' .* and it has Net: `{INIT}` drafts one"),
        (("export", "net.py:make"), f"returned a Net, .*; `{INIT}` drafts one"),
        (("export", "weights.pt"), "weights and no code.*rnnbench init .* --weights weights.pt"),
        (("export", "module.pt"), "a pickled object of torch.nn.modules.rnn.GRU .*rnnbench init"),
        (("check", "model.jit"), "its input 'input' has: give --shape input=batch,time,16"),
        (("check", "weights.pt"), "weights and no code"),
        (("run", "model.jit", "--text", "a"), "which shape its input 'input' has: give --shape"),
        (("conform", "net.py"), "Python code: `rnnbench export net.py`"),
        (("bench", "weights.pt"), "weights and no code"),
        (("inspect", "module.pt"), "a pickled object"),
        (("inspect", "hostile.pt"), "a pickled object"),
        (("inspect", "net.py"), "Python code"),
        (("inspect", "model.tflite"), "a LiteRT model"),
        (("check", "model.xml"), "`rnnbench check OTHER --against model.xml` compares it"),
        (("run", "cut_model.onnx", "--text", "a"), "a truncated ONNX file: copy it again"),
        (("check", "text.onnx"), "no ONNX file"),
        (("conform", "empty.onnx"), "empty: copy it again"),
        (("inspect", "cut_model.jit"), "a truncated archive .*: copy it again"),
        (("inspect", "text.onnx"), "no ONNX file"),
        (("inspect", "plain.pkl"), "a pickle without a tensor"),
        (("check", "model.onnx", "--against", "cut_weights.pt"), "a truncated archive"),
        (
            ("init", "draft.py", "--from", "net.py:Net", "--weights", "plain.pkl"),
            r"plain.pkl (holds no state dict|cannot be read with .*\(a pickle without a tensor\))",
        ),
        (
            ("init", "draft.py", "--from", "net.py:Net", "--weights", "model.onnx"),
            "model.onnx is an ONNX file: give the checkpoint",
        ),
        (
            ("init", "draft.py", "--from", "net.py:Net", "--weights", "module.pt"),
            r"module.pt cannot be read .*\(a pickled object of torch.nn",
        ),
        (("init", "draft.py", "--from", "net.py:net"), "net:net is an object, .*: give net:Net"),
        (("init", "draft.py", "--from", "nets.py:Net"), "there is no file nets.py"),
    ],
)
def test_the_next_step(place, monkeypatch, capsys, words, said):
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    printed = capsys.readouterr().err
    assert "Warning" not in printed
    assert "x1b" not in printed
    error = printed.splitlines()[-1]
    assert ended.value.code == 2
    assert error.startswith("error: ")
    assert re.search(said, error), error


def test_a_folder_is_inspected_file_by_file(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as ended:
        cli.main(["inspect", "."])
    out, err = capsys.readouterr()
    assert ended.value.code in (0, 1)
    assert [line.split(":")[0] for line in out.splitlines() if " by " in line] == [
        "model.jit",
        "model.onnx",
    ]
    assert "not inspected: weights.pt is a checkpoint (weights and no code)" in err
    for name in ("cut_model.jit", "cut_model.onnx", "cut_weights.pt", "text.onnx", "empty.onnx"):
        assert f"not inspected: {name} is " in err
    assert "not inspected: overloads.jit: its module has no method forward" in err
    (place / "cut").mkdir(exist_ok=True)
    (place / "cut" / "a.jit").write_bytes((place / "cut_model.jit").read_bytes())
    with pytest.raises(SystemExit):
        cli.main(["inspect", "cut"])
    assert "none of the 1 files of cut can be inspected" in capsys.readouterr().err
    (place / "empty").mkdir(exist_ok=True)
    with pytest.raises(SystemExit):
        cli.main(["inspect", "empty"])
    assert "empty holds no .onnx, TorchScript or .pt2 file" in capsys.readouterr().err

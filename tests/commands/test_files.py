"""Every verb takes a file that somebody wrote, and leaves nothing but what it was asked for."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from rnnbench import __main__ as cli
from tests.helpers import foreign


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a file in it, whose temporary folders are seen."""
    foreign.stock(tmp_path / "net.onnx")
    foreign.tagger(tmp_path / "tagger.onnx")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.onnx")}
    yield tmp_path
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.onnx")} == before
    assert not list((tmp_path / "temporary").glob("rnnbench-*"))


def ran(capsys, *words):
    """The exit code, and what was printed."""
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_check(place, capsys):
    code, out, _ = ran(capsys, "check", "net.onnx", "--runtime", "onnxruntime,reference")
    assert code == 0, out
    lines = out.splitlines()
    assert any("onnxruntime" in line and line.endswith("same") for line in lines), out
    code, out, _ = ran(capsys, "check", "net.onnx", "tagger.onnx", "--json")
    assert code == 0
    assert {row["model"] for row in json.loads(out)["rows"]} == {"net", "tagger"}


def test_check_for_many_steps(place, capsys):
    code, out, _ = ran(capsys, "check", "net.onnx", "--drift", "200", "--json")
    assert code == 0, out


def test_export(place, capsys):
    code, out, err = ran(capsys, "export", "net.onnx", "--out", "made")
    assert code == 0, out
    assert "gru, fused" in err
    assert "rnnbench conform made/net" in err
    made = (place / "made/net/model.onnx").read_bytes()
    assert hashlib.sha256(made).digest() == hashlib.sha256(Path("net.onnx").read_bytes()).digest()


def test_conform(place):
    """In a process of its own, which has nothing to keep for a next call."""
    words = ("conform", "net.onnx", "--target", "python-onnxruntime")
    done = subprocess.run(
        [sys.executable, "-m", "rnnbench", *words],
        env=os.environ | {"TMPDIR": str(place / "temporary")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "same" in done.stdout


def test_torchscript(place, capsys):
    """Its program runs in a process of its own."""
    foreign.scripted(place / "net.ts")
    words = ("check", "net.ts", "--shape", "x=batch,time,6", "--shape", "h=1,batch,8")
    code, out, _ = ran(capsys, *words)
    assert code == 0, out
    assert "torchscript" in out
    assert "onnxruntime" in out
    code, _, err = ran(capsys, "check", "net.ts")
    assert code == 2
    assert "net.ts does not say which shape its input 'x' has" in err.splitlines()[-1]


class Ends(torch.nn.Module):
    """A program that fills the memory."""

    def forward(self, x):
        return torch.zeros(1 << 34, dtype=torch.float64).sum() + x


def test_a_program_that_fills_the_memory_is_one_line(place, capsys):
    foreign.scripted(place / "ends.ts", Ends())
    code, _, err = ran(capsys, "check", "ends.ts", "--shape", "x=batch,6")
    assert code == 2
    assert err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("target", ["web", "python-onnxruntime", "c-onnxruntime"])
def test_embed(place, capsys, target):
    code, _, _ = ran(capsys, "embed", "tagger.onnx", "--target", target, "--out", "project")
    assert code == 0
    assert (place / "project/model.onnx").read_bytes() == (place / "tagger.onnx").read_bytes()
    assert list((place / "project/golden").iterdir())


def test_run(place, capsys):
    rng = np.random.default_rng(0)
    arrays = {"x": rng.standard_normal((1, 4, 6)).astype("f"), "h": np.zeros((1, 1, 8), "f")}
    np.savez(place / "in.npz", **arrays)
    code, out, _ = ran(capsys, "run", "net.onnx", "--npz", "in.npz", "--save", "out.npz")
    assert code == 0, out
    with np.load(place / "out.npz") as stored:
        assert stored["y"].shape == (1, 4, 3)


def test_bench(place, capsys):
    words = ("bench", "net.onnx", "--quick", "--runtime", "onnxruntime,eager", "--time", "2")
    code, out, err = ran(capsys, *words, "--out", "results")
    assert code == 0, out + err
    assert "a file has no module" in out + err
    assert "onnxruntime" in out


def test_what_a_file_takes(place, capsys):
    nodes = [
        helper.make_node("Cast", ["rate"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "factor"], ["scaled"]),
        helper.make_node("Add", ["scaled", "past"], ["y"]),
        helper.make_node("Identity", ["y"], ["kept"]),
    ]
    open_ = (TensorProto.FLOAT, ["batch", None])
    ports = {"x": open_, "rate": (TensorProto.INT64, []), "past": open_}
    foreign.graph(place / "scaled.onnx", nodes, ports, {"y": open_, "kept": open_})
    words = ("export", "scaled.onnx", "--out", "made", "--set", "rate=3")
    shapes = ("--shape", "x=batch,4", "--shape", "past=batch,4", "--state", "past=kept")
    code, out, _ = ran(capsys, *words, *shapes)
    assert code == 0, out
    manifest = json.loads((place / "made/scaled/manifest.json").read_text())
    assert manifest["states"] == {"past": "kept"}
    assert [spec["shape"] for spec in manifest["inputs"]] == [["batch", 4], [], ["batch", 4]]
    (place / "scaled.onnx").unlink()  # the fixture looks at those that were there before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", "net.onnx", "--set", "x"), "--set 'x': write it as NAME=VALUE"),
        (("check", "net.onnx", "--high", "x=0"), "--high x=0: give a whole number, 1 or more"),
        (("export", "net.onnx", "--shape", "q=1"), "unknown input of net.onnx 'q': choose from x"),
        (("export", "gru", "--set", "sr=1"), "say what a file takes"),
        (("check", "made", "--set", "sr=1"), "say what a file takes"),
        (("check", "gone.onnx"), "gone.onnx is not there"),
        (("export", "net.onnx", "--precision", "float16"), "export the module that it was made of"),
        (
            ("export", "net.onnx", "--precision", "float16", "--format", "c"),
            "is a file: export the",
        ),
    ],
)
def test_bad_input_is_one_line(place, capsys, words, said):
    code, _, err = ran(capsys, *words)
    assert code == 2
    assert said in err.splitlines()[-1]

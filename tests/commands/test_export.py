"""`export` on the command line: several models, failures, exit codes, and the whole main job."""

import hashlib
import json
import subprocess
import sys

import pytest

import rnnbench
from rnnbench import __main__ as cli
from rnnbench.checking.check import check as check_bundle
from rnnbench.commands import _pipeline as pipeline
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.models import sources, variants

# What pip makes of [project.scripts]: -P, for the script's folder is on the path, not the current.
CONSOLE = [sys.executable, "-P", "-c", "from rnnbench.__main__ import main; main()"]
EVIL = {"kind": "import", "spec": "evil:build"}
MODEL = """
import torch
from rnnbench import Model, TensorSpec

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cell = torch.nn.GRUCell(3, 5)

    def forward(self, x, h0):
        h, steps = h0, []
        for step in x.unbind(0):
            h = self.cell(step, h)
            steps.append(h)
        return torch.stack(steps), h

def build():
    x = TensorSpec("x", ("time", "batch", 3))
    h0 = TensorSpec("h0", ("batch", 5), role="state")
    return Model(Net(), (x, h0), ("y", "hn"), {"h0": "hn"})

def broken():
    raise ValueError("no weights\\nat all")
"""


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODEL)

    def call(*words):
        with pytest.raises(SystemExit) as caught:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return call


def table(out):
    """(model, format, runtime) -> the line."""
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("---")) + 1
    return {tuple(line.split()[:3]): line for line in lines[start:]}


def test_one_failing_model_does_not_stop_the_others(run, monkeypatch):
    real = pipeline.train_one

    def train_one(variant, *rest):
        if variant == "gru":
            raise RnnbenchError("the dog ate it\nand more")
        return real(variant, *rest)

    monkeypatch.setattr(pipeline, "train_one", train_one)
    code, out, err = run("export", "gru", "elman")
    rows = table(out)
    assert code == 1
    assert "failed: the dog ate it" in rows["hello-gru", "-", "-"]
    assert any(model == "hello-elman" for model, *_ in rows)
    assert "[1/2] hello-gru: training: FAILED" in err
    code, out, err = run("export", "gru")  # alone it is bad input
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "error: the dog ate it"


def test_the_main_job(run, tmp_path):
    code, out, err = run("export")
    rows = table(out)
    assert code == 0, out + err
    for variant in variants.names():
        for format, runtime in (("torchscript", "torchscript"), ("onnx", "onnxruntime")):
            assert rows[f"hello-{variant}", format, runtime].rstrip().endswith("same")
    for runtime in ("eager", "torchscript", "onnxruntime"):
        words = ("run", "exports/hello-gru-loop", "--runtime", runtime, "--text", "hello")
        assert run(*words)[:2] == (0, "ohlol\n")


def test_a_model_of_ones_own(run, tmp_path):
    code, out, err = run("export", "mine.py", "--format", "onnx", "--out", "out", "--json")
    assert code == 0, out + err
    assert json.loads(out)["ok"]
    manifest = json.loads((tmp_path / "out" / "Net" / "manifest.json").read_text())
    digest = hashlib.sha256((tmp_path / "mine.py").read_bytes()).hexdigest()
    assert manifest["source"] == {"kind": "file", "spec": "mine.py", "sha256": digest}
    assert list(manifest["artifacts"]) == ["onnx"]
    assert check_bundle(tmp_path / "out" / "Net").ok


LARGE = """
import torch
from mine import Net
from rnnbench import Model, TensorSpec

def build():
    net = Net()
    net.cell.weight_ih.data[0, 0] = 7e4
    x = TensorSpec("x", ("time", "batch", 3))
    h0 = TensorSpec("h0", ("batch", 5), role="state")
    return Model(net, (x, h0), ("y", "hn"), {"h0": "hn"})
"""


def test_several_precisions_have_a_bundle_each(run, tmp_path):
    words = ("export", "mine.py", "--format", "onnx", "--out", "out", "--precision")
    code, out, err = run(*words, "float32,float16,int8-weights")
    assert code == 0, out + err
    rows = table(out)
    sizes = {}
    for precision in ("", "float16", "int8-weights"):
        name = f"Net-{precision}".rstrip("-")
        assert rows[name, "onnx", "onnxruntime"].rstrip().endswith("same")
        bundle = Bundle.open(tmp_path / "out" / name)
        assert (bundle.manifest.get("precision") or {"name": ""})["name"] == precision
        sizes[precision] = bundle.artifacts["onnx"].details.get("weights")
    assert sizes == {"": None, "float16": 120, "int8-weights": 120}
    code, out, err = run(*words, "float16,int4")
    assert (code, out) == (2, "")
    assert "unknown precision 'int4'" in err


def test_a_precision_that_cannot_be_is_a_row_beside_the_others(run, tmp_path):
    (tmp_path / "large.py").write_text(LARGE)
    words = ("export", "large.py", "--format", "onnx", "--precision", "float16,bfloat16")
    code, out, err = run(*words)
    rows = table(out)
    assert code == 1, out + err
    assert rows["Net-float16", "-", "-"].rstrip().endswith("failed")
    assert "cell.weight_ih has a weight of 7e+04" in out
    assert rows["Net-bfloat16", "onnx", "onnxruntime"].rstrip().endswith("same")


def test_the_console_script_finds_a_module_of_the_current_folder(tmp_path):
    """As `python -m rnnbench` and `init` do; the second module is imported when it is called."""
    (tmp_path / "mine.py").write_text(MODEL)
    lazy = "def build():\n    from mine import build\n    return build()\n"
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "late.py").write_text(lazy)
    for target in ("mine:build", "sub/late.py"):
        words = [*CONSOLE, "export", target, "--format", "torchscript", "--json"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)["rows"]
        assert {(row["format"], row["verdict"]) for row in rows} == {
            ("eager", "same"),
            ("torchscript", "same"),
        }
    words = [*CONSOLE, "check", "exports/Net", "--runtime", "eager"]  # in a process of its own
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_module_that_came_with_a_bundle_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "outside.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    rnnbench.export(sources.load("outside.py"), ("torchscript",), source=EVIL)
    inside = tmp_path / "exports" / "Net"
    (inside / "evil.py").write_text("raise SystemExit('it ran')")
    (inside / "evil_package").mkdir()
    (inside / "evil_package" / "code.py").write_text("raise SystemExit('it ran')")
    monkeypatch.chdir(inside)
    for spec in ("evil:build", "evil_package.code:build"):
        with pytest.raises(RnnbenchError, match="code that came with a bundle is not run"):
            sources.load(spec)
    (row,) = check_bundle(".", ["eager"]).rows
    assert row.verdict == "not run"
    assert "(evil:build) is not run: it was not exported from there by you" in row.reason
    (row,) = check_bundle(Bundle.open(".", trust_code=True), ["eager"]).rows
    assert row.verdict == "not run"
    assert "code that came with a bundle is not run" in row.reason


@pytest.mark.parametrize("target", ["mine.py:broken", "mine.py:missing", "no.such.module:f"])
def test_a_model_that_cannot_be_made_is_one_line(run, tmp_path, target):
    code, out, err = run("export", target)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in err
    assert "bug" not in err
    assert not (tmp_path / "exports").exists()


def test_weights_of_train_are_exported(run, tmp_path):
    run("train", "elman", "--seed", "3")
    code, _, err = run("export", "elman", "--seed", "3", "--runs", "runs", "--format", "onnx")
    assert code == 0
    assert "epoch  " not in err
    assert "continues from runs/hello-elman.pt, after 15 epochs" in err


def test_loops_are_kept_on_request(run, tmp_path):
    ops = {}
    for flags in ((), ("--keep-loops",)):
        code, out, err = run("export", "mine.py", "--format", "onnx", *flags)
        assert code == 0, out + err
        import onnx

        graph = onnx.load(tmp_path / "exports" / "Net" / "model.onnx").graph
        ops[bool(flags)] = {node.op_type for node in graph.node}
    assert "GRU" in ops[False]
    assert "GRU" not in ops[True]


def test_two_models_of_one_name_are_not_written_over_one_another(run, tmp_path):
    text = (
        "import torch\nfrom rnnbench import Model, TensorSpec\n"
        "def build():\n"
        "    x = TensorSpec('x', ('time', 'batch', 3))\n"
        "    return Model(torch.nn.GRU(3, {size}), (x,), ('y', 'hn'))\n"
    )
    for name, size in (("a.py", 4), ("b.py", 5)):
        (tmp_path / name).write_text(text.format(size=size))
    code, out, _ = run("export", "a.py", "b.py", "--format", "torchscript")
    assert code == 1
    assert "a.py and b.py are both called 'GRU'" in out
    assert "same" in out


DIES = """
import os
import signal
from pathlib import Path

import torch
from rnnbench import Model, TensorSpec

HERE = Path(__file__).parent / "imported"
if HERE.exists():  # by who judges
    os.kill(os.getpid(), signal.SIGKILL)
HERE.write_text("")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0]


def build():
    return Model(Net(), (TensorSpec("x", ("batch", "time", 3)),), ("y",))
"""


def test_who_dies_while_judging_takes_no_export_with_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(DIES)
    with pytest.raises(SystemExit) as caught:
        cli.main(["export", "mine.py", "--format", "onnx"])
    out, err = capsys.readouterr()
    assert caught.value.code == 1
    assert "SIGKILL" in out + err
    assert "onnxruntime" in out
    assert (tmp_path / "exports" / "Net" / "model.onnx").is_file()


@pytest.mark.parametrize(("format", "target"), [("c", "c"), ("onnx", "cpp-onnxruntime")])
def test_the_project_that_is_proposed_can_be_embedded(run, format, target):
    code, _, err = run("export", "mine.py", "--format", format)
    assert code == 0
    assert f"rnnbench embed exports/Net --target {target} " in err
    assert run("embed", "exports/Net", "--target", target)[0] == 0

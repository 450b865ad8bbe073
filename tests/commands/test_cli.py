"""The commands: what they print, where, and their exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnnbench
from rnnbench import __main__ as cli
from rnnbench.checking.report import OutputRow, summarise
from rnnbench.commands import _console as console
from rnnbench.commands import _pipeline as pipeline
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.verdicts import Verdict
from rnnbench.models.training.metrics import metric_rows
from tests.helpers.altered import take_away
from tests.helpers.handmade import initializer, make_bundle, replace_initializer

ROOT = Path(rnnbench.__file__).parent.parent


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Runs a command in an empty folder: the exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        with pytest.raises(SystemExit) as caught:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return call


def in_process(*words, cwd, **environment):
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def damage(proto):
    replace_initializer(proto, "R", initializer(proto, "R") * 1.01)


# -- what is imported -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("--help",), ("list", "--help"), ("--version",), ("export", "-h")]
)
def test_help_imports_nothing_heavy(words, tmp_path):
    script = (
        "import sys; from rnnbench.__main__ import main\n"
        f"try: main({list(words)!r})\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'numpy', 'onnx', 'onnxruntime', 'tabulate', 'tqdm'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    done = in_process("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_module_and_the_version(tmp_path):
    done = in_process("-m", "rnnbench", "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"rnnbench {rnnbench.__version__}\n")


def test_without_a_command_the_help(run):
    code, out, _ = run()
    assert code == 0
    for verb in ("list", "train", "export", "check", "run", "bench"):
        assert f"\n  {verb} " in out


# -- list -----------------------------------------------------------------------------------------


def test_list_has_every_kind(run):
    code, out, err = run("list")
    assert (code, err) == (0, "")
    for word in ("gru-loop", "hello", "onnxruntime", "cpu"):
        assert word in out


def test_list_says_why_something_is_not_available(run, monkeypatch):
    take_away(monkeypatch, "onnxruntime", "install it")
    code, out, _ = run("list", "runtimes")
    assert code == 0
    assert "not available: install it" in out
    items = json.loads(run("list", "runtimes", "--json")[1])["items"]
    found = {item["name"]: item for item in items}
    assert found["onnxruntime"]["reason"] == "install it"
    assert not found["onnxruntime"]["available"]
    assert found["eager"]["available"]


def test_list_of_some_kinds(run):
    items = json.loads(run("list", "tasks", "--json")[1])["items"]
    assert [item["name"] for item in items] == ["hello", "stocks", "text", "weather"]
    assert all(item["kind"] == "tasks" and item["description"] for item in items)


# -- train ----------------------------------------------------------------------------------------


def test_train_shows_each_epoch_on_stderr_and_the_metrics_on_stdout(run, tmp_path):
    code, out, err = run("train", "elman")
    assert code == 0
    epochs = [line for line in err.splitlines() if "epoch" in line]
    assert len([line for line in epochs if "loss" in line]) == 15
    assert "ohlol" in epochs[-1]
    assert "hello-elman" in out
    assert "ohlol" in out
    assert (tmp_path / "runs" / "hello-elman.pt").is_file()
    code, out, err = run("train", "elman", "--json")  # resumes, and has nothing left to do
    assert code == 0
    assert "epoch" not in err
    (model,) = json.loads(out)["models"]
    assert model["metrics"]["predicted"] == "ohlol"


def test_metrics_stand_beside_the_baseline():
    metrics = {"mae": 1.5, "baseline_mae": 2.0, "epochs": 3, "unit": "°C", "baseline_x_mae": 4.0}
    rows = metric_rows(metrics)
    assert rows == [("mae", "1.5 °C", "2 °C"), ("epochs", "3", ""), ("x_mae", "", "4 °C")]


# -- check ----------------------------------------------------------------------------------------


def test_check_of_a_sound_bundle(run, tmp_path):
    make_bundle(tmp_path / "exports")
    code, out, err = run("check")
    assert code == 0, out + err
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "model"
    for column in ("format", "runtime", "worst error", "tolerance needed", "verdict"):
        assert column in lines[0]
    assert "made-gru  checked" in err
    report = json.loads(run("check", "exports/made-gru", "--json")[1])
    assert report["ok"], report
    assert {row["runtime"] for row in report["rows"]} >= {"eager", "onnxruntime"}


def test_check_finds_what_differs_among_several(run, tmp_path):
    make_bundle(tmp_path / "exports")
    make_bundle(tmp_path / "exports", edit=damage, name="damaged")
    code, out, _ = run("check", "--runtime", "onnxruntime")
    assert code == 1
    verdicts = {line.split()[0]: line for line in out.splitlines()[2:]}
    assert "DIFFERS" in verdicts["damaged"]
    assert "same" in verdicts["made-gru"]
    code, out, _ = run("check", "exports/damaged", "--details")
    assert code == 1
    assert "noise" in out


def test_a_damaged_bundle_does_not_stop_the_others(run, tmp_path):
    make_bundle(tmp_path / "exports")
    broken = tmp_path / "exports" / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    code, out, _ = run("check")
    assert code == 1
    assert "failed: " in next(line for line in out.splitlines() if line.startswith("broken:"))
    assert "same" in out
    code, out, err = run("check", "exports/broken")  # alone it is bad input
    assert (code, out, err.count("\n")) == (2, "", 1)


# -- one line, exit code 2 ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("trian",), "unknown command 'trian': choose from bench, check"),
        (("list", "formatt"), "unknown kind 'formatt': choose from variants"),
        (("train", "gruu"), "unknown variant 'gruu': choose from elman"),
        (("train", "--task", "helo"), "unknown task 'helo': choose from hello"),
        (("train", "gru", "--layers", "0"), "num_layers=0"),
        (("train", "gru", "--device", "abacus"), "unknown device 'abacus': choose from cpu"),
        (("export", "gru", "--epochs", "0"), "epochs=0"),
        (("export", "gru", "--seed", "x"), "--seed"),
        (("export", "gruu"), "unknown variant 'gruu'"),
        (("export", "../gru"), "unknown variant '../gru'"),
        (("export", "missing.py"), "there is no file missing.py"),
        (("export", "gru", "missing.py:build"), "there is no file missing.py"),
        (("export", "--task", "helo"), "unknown task 'helo'"),
        (("export", "--format", "onnx,pmml"), "unknown format 'pmml': choose from"),
        (("check",), "there are no bundles in exports"),
        (("check", "nowhere"), "nowhere is not a folder"),
        (("run", "nowhere", "--text", "hello"), "nowhere is not a folder"),
        (("run",), "Missing argument 'BUNDLE'"),
        (("bench", "--hidden", "-1"), "hidden '-1'"),
        (("bench", "mamba"), "unknown variant 'mamba'"),
        (("bench", "--threads", "0"), "threads '0': give whole numbers above 0"),
    ],
)
def test_bad_input_is_one_line(run, tmp_path, words, message):
    code, out, err = run(*words)
    error = err.splitlines()[-1]
    assert (code, out) == (2, "")
    assert error.startswith("error: ")
    assert message in error
    assert len([line for line in err.splitlines() if line.startswith(("error", "Usage"))]) == 1
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_the_runtimes_of_run(run, tmp_path):
    make_bundle(tmp_path)
    code, _, err = run("run", "made-gru", "--runtime", "abacus", "--text", "x")
    assert code == 2
    assert err.startswith("error: unknown runtime 'abacus': choose from ")
    assert run("run", "made-gru", "--text", "x")[2] == (
        "error: made-gru has no alphabet: give --npz\n"
    )
    assert run("run", "made-gru")[2].startswith("error: nothing given: give exactly one of")


@pytest.mark.parametrize(
    "words",
    [
        ("check", "made-gru"),
        ("run", "made-gru", "--npz", "x.npz"),
        ("conform", "made-gru"),
        ("embed", "made-gru", "--target", "web"),
        ("bench", "made-gru"),
    ],
)
def test_a_bundle_in_exports_is_suggested(run, tmp_path, words):
    make_bundle(tmp_path / "exports")
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].endswith("(did you mean exports/made-gru?)")


def test_what_check_saved_can_be_run_again(run, tmp_path):
    make_bundle(tmp_path, edit=damage)
    words = ("--runtime", "onnxruntime", "--only", "longer", "--save-failures", "bad")
    assert run("check", "made-gru", *words)[0] == 1
    file = tmp_path / "bad" / "made-gru-onnx-onnxruntime-longer.npz"
    code, out, err = run("run", "made-gru", "--npz", file, "--save", "again.npz")
    assert code == 0, err
    with np.load(file) as saved, np.load(tmp_path / "again.npz") as again:
        assert set(again) == {"y", "hn"}
        for name, array in again.items():
            np.testing.assert_array_equal(array, saved[f"out/{name}"])
    code, out, _ = run(
        *("check", "made-gru/model.onnx", "--against", "made-gru/model.ts"),
        *("--inputs", file, "--json"),
    )
    assert code == 1, out
    assert {row["verdict"] for row in json.loads(out)["rows"]} == {"DIFFERS"}


def test_a_bug_is_one_line_unless_the_traceback_is_asked_for(run, monkeypatch):
    monkeypatch.setattr("rnnbench.commands.list.find_items", lambda kinds: 1 / 0)
    code, _, err = run("list")
    assert code == 2
    assert "bug in rnnbench (ZeroDivisionError: division by zero)" in err
    assert err.count("\n") == 1
    monkeypatch.setenv("RNNBENCH_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["list"])


def test_ctrl_c_is_quiet(run, monkeypatch):
    def interrupt(kinds):
        raise KeyboardInterrupt

    monkeypatch.setattr("rnnbench.commands.list.find_items", interrupt)
    code, out, err = run("list")
    assert (code, out, err.strip()) == (130, "", "")


def test_a_folder_that_cannot_be_written_is_one_line(run, tmp_path):
    (tmp_path / "runs").write_text("a file")
    code, _, err = run("train", "elman", "--epochs", "1")
    assert code == 2
    assert err.splitlines()[-1].startswith("error: ")


# -- pipeline -------------------------------------------------------------------------------------


def test_targets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    assert pipeline.find_targets(()) == rnnbench.models.variants.names()
    assert pipeline.find_targets(("gru", "mine.py", "gru")) == ("gru", "mine.py")
    assert pipeline.find_targets(("mine.py:other", "pkg.mod:f")) == ("mine.py:other", "pkg.mod:f")
    for target in ("grus", "mine", "mine.txt"):
        with pytest.raises(RnnbenchError, match=r"or give FILE\.py"):
            pipeline.find_targets((target,))


def test_formats():
    every = rnnbench.core.plugins.names("formats")
    assert pipeline.find_formats((",".join(every), every[0])) == every
    assert pipeline.find_formats(()) == ("torchscript", "onnx")


def test_the_summary_has_the_worst_of_the_outputs():
    def row(output, error, verdict, reason=""):
        return OutputRow(
            *("onnx", "onnxruntime", output, 0.0, error, "c"),
            model="m",
            verdict=Verdict(verdict),
            reason=reason,
            cases=5,
            worst_error=error,
        )

    rows = [
        row("y", 1e-7, "same"),
        row("hn", 0.5, "DIFFERS", "off by 5e-1"),
        row("cn", 2.0, "same"),
    ]
    (worst,) = summarise(rows)
    assert (worst.verdict, worst.reason) == ("DIFFERS", "off by 5e-1")
    assert (worst.worst_error, worst.tolerance_needed) == (2.0, 2.0)


# -- what is printed where ------------------------------------------------------------------------


def test_no_colours_in_a_pipe_and_progress_in_lines(run, tmp_path):
    make_bundle(tmp_path / "exports")
    _, out, err = run("check")
    assert "\x1b" not in out + err


def test_one_line_per_model_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    progress = console.Progress(2)
    progress.on_start("hello-gru")
    progress.on_progress("epoch  1: ooooo  loss 1.3")
    progress.on_progress("exporting")
    progress.on_end("exported and checked")
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    last = shown.rstrip("\n").split("\r")[-1]
    assert "[1/2] hello-gru  epoch  1: ooooo  loss 1.3  exported and checked" in last

"""The help of each verb, how much is said, and what a shell completes."""

import os
import re
import shutil
import subprocess
import sys

import click
import cloup
import pytest

from rnnbench import __main__ as cli
from rnnbench.core import plugins

VERBS = plugins.names("commands")


def help_of(verb):
    command = cli.cli.get_command(click.Context(cli.cli), verb)
    context = cloup.Context(command, info_name=f"rnnbench {verb}", terminal_width=80)
    return command, command.get_help(context)


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_groups_and_examples(verb):
    command, text = help_of(verb)
    assert max(map(len, text.splitlines())) <= 80
    head, examples = text.split("\nExamples:\n")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    assert len(lines) >= 2
    assert all(line.startswith(f"rnnbench {verb}") for line in lines)
    assert "\nOutput:\n" in head
    other = head.partition("\nOther options:\n")[2]
    assert re.findall(r"--[\w-]+", other) == ["--help"], "every option has a group"
    options = {o for p in command.params if isinstance(p, click.Option) for o in p.opts}
    assert {"--quiet", "--verbose"} <= options


@pytest.mark.parametrize("verb", VERBS)
def test_the_options_of_examples_exist(verb):
    command, text = help_of(verb)
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
    for line in text.split("\nExamples:\n")[1].splitlines():
        given = re.findall(r"--[\w-]+", line.partition("  #")[0])
        assert set(given) <= known, line


def test_an_option_has_one_meaning():
    """One name, one kind of value and one place in each verb that has it."""
    found = {}
    for verb in VERBS:
        for param in help_of(verb)[0].params:
            for name in param.opts if isinstance(param, click.Option) else ():
                found.setdefault(name, set()).add((param.is_flag, param.multiple))
    mixed = {n: kinds for n, kinds in found.items() if len({flag for flag, _ in kinds}) > 1}
    assert mixed.keys() <= {"--csv"}  # a table that is fed, and one that is printed
    assert found["--out"] == {(False, False)}


def run(*words, **environment):
    hidden = ("COLUMNS", "NO_COLOR")
    return subprocess.run(
        [sys.executable, "-m", "rnnbench", *words],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k not in hidden} | environment,
        check=False,
    )


def test_quiet_says_nothing_but_errors(tmp_path, task_bundles):
    path = str(next(iter(task_bundles.values())).path)
    loud = run("check", path, "--runtime", "ort")
    quiet = run("check", path, "--runtime", "ort", "--quiet")
    assert loud.returncode == quiet.returncode == 0
    assert loud.stderr
    assert quiet.stderr == ""
    assert quiet.stdout == loud.stdout
    wrong = run("check", str(tmp_path / "nothing"), "-q")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert wrong.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("rnnbench exp", {"export"}),
        ("rnnbench export gru", {"gru", "gru-loop"}),
        ("rnnbench export --format onnx,pt", {"onnx,pt2"}),
        ("rnnbench embed --target cpp", {"cpp-aoti", "cpp-libtorch", "cpp-onnxruntime"}),
        ("rnnbench check --runtime onnx", {"onnxruntime"}),
        ("rnnbench train --task wea", {"weather"}),
        ("rnnbench export --keep", {"--keep", "--keep-loops"}),
    ],
)
def test_names_are_completed(words, expected):
    count = str(len(words.split()) - 1)
    script = "import sys; sys.argv = ['rnnbench']; from rnnbench.__main__ import main; main()"
    asked = {"COMP_WORDS": words, "COMP_CWORD": count, "_RNNBENCH_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | asked,
        check=False,
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == expected


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".local/share/bash-completion/completions/rnnbench"),
        ("zsh", ".zfunc/_rnnbench"),
        ("fish", ".config/fish/completions/rnnbench.fish"),
    ],
)
def test_completion_is_installed_by_one_command(tmp_path, shell, file):
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}
    done = run("--install-completion", shell, **home)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / file) in done.stdout
    assert "_RNNBENCH_COMPLETE" in (tmp_path / file).read_text()
    from_shell = run("--install-completion", SHELL=f"/usr/bin/{shell}", **home)
    assert from_shell.stdout == done.stdout
    other = run("--install-completion", SHELL="/bin/tcsh", **home)
    assert other.returncode == 2
    assert "unknown shell 'tcsh': choose from bash, zsh, fish" in other.stderr


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not here")
def test_the_script_is_bash(tmp_path):
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}
    run("--install-completion", "bash", **home)
    script = tmp_path / ".local/share/bash-completion/completions/rnnbench"
    done = subprocess.run(
        ["bash", "-c", f"source {script} && complete -p rnnbench"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "rnnbench" in done.stdout, done.stderr

"""What the README and docs/ show is what is printed: each block is run, its shape compared.

A console block holds commands (`$ ...`) and what they print: their stdout, or their stderr where
there is no stdout. A Python block that begins with `# FILE.py` is that file; others are run. `sh`
blocks list commands, which have to exist. `<!-- not run: why -->` before a block says that it is
not run.

Numbers, times, versions and paths are masked, and columns may be of another width; everything else
has to be the same: lines, columns, words. A line `...` stands for any lines.
"""

import os
import re
import shlex
import subprocess
import sys

import click
import pytest

from rnnbench import __main__ as cli
from tests.docs.pages import ROOT, blocks, commands, pages

EVERY = [block for page in pages() for block in blocks(page)]
CONSOLE = [block for block in EVERY if block.language == "console"]
LANGUAGES = {"console", "python", "c", "sh", "text", "json", "", "{eval-rst}", "{toctree}"}
ELSEWHERE = {"inspect.md": "tests/docs/test_pages.py", "capture.md": "tests/capture/test_walk.py"}
"""Pages whose Python blocks are run by another test."""

_SECONDS = 120
_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)*(e[-+]?\d+)?")
_RULE = re.compile(r"-+$")
_PATH = re.compile(r"(/[\w.-]+)+/([\w.-]+\.(py|onnx|ts|pt2))")


def masked(text):
    """Lines of cells, without what may be another in each run."""
    lines = []
    for line in text.strip("\n").splitlines():
        line = _PATH.sub(r"\2", line)
        cells = re.split(r"\s{2,}", line.strip())
        lines.append([_RULE.sub("-", _NUMBER.sub("#", cell)) for cell in cells])
    return lines


def matches(shown, printed):
    """Whether the shown lines are the printed ones; `...` stands for any lines."""
    if not shown:
        return not printed
    if shown[0] == ["..."]:
        return any(matches(shown[1:], printed[i:]) for i in range(len(printed) + 1))
    return bool(printed) and shown[0] == printed[0] and matches(shown[1:], printed[1:])


class Workplace:
    """A folder with the pages' files in it, and `rnnbench` and `python` on the path."""

    def __init__(self, folder):
        self.folder = folder
        programs = folder / ".bin"
        programs.mkdir()
        for name, arguments in (("python", ""), ("rnnbench", "-m rnnbench ")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments}"$@"\n')
            program.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]),
            "NO_COLOR": "1",
        }
        for block in EVERY:
            if block.file:
                (folder / block.file).write_text(block.text)
        (folder / "benchmarks").symlink_to(ROOT / "benchmarks")

    def run(self, command, shown):
        """What a command prints: stdout, or stderr where that is empty and something is shown."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        return done.stderr if shown and not done.stdout.strip() else done.stdout

    def run_python(self, text):
        """Runs a block as a program."""
        return subprocess.run(
            [sys.executable, "-c", text],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )

    def differences(self, page):
        """Runs the blocks of a page in order; what is shown otherwise than it is, a text each."""
        found = []
        for block in blocks(page):
            if block.reason or block.file:
                continue
            if block.language == "console":
                for command, shown in commands(block):
                    printed = self.run(command, shown)
                    if not matches(masked(shown), masked(printed)):
                        found.append(f"{block}: $ {command}\n{printed}")
            elif block.language == "python" and page.name not in ELSEWHERE:
                done = self.run_python(block.text)
                if done.returncode:
                    found.append(f"{block}: {done.stderr}")
        return found


@pytest.mark.timeout(1200)  # some 80 commands, of which each has a limit of its own
def test_what_is_shown_is_what_is_printed(tmp_path):
    """One test, since the pages build on the README, whose blocks come first."""
    place = Workplace(tmp_path)
    wrong = [text for page in pages() for text in place.differences(page)]
    assert wrong == [], "\n\n".join(wrong)


def test_every_block_is_run_or_says_why_not():
    unknown = [f"{b}: {b.language!r}" for b in EVERY if b.language not in LANGUAGES]
    assert unknown == []
    run = [b for b in CONSOLE if not b.reason]
    marked = [b for b in CONSOLE if b.reason]
    assert len(run) + len(marked) == len(CONSOLE)
    assert all(commands(b) for b in CONSOLE)
    assert len(run) >= 12, f"only {len(run)} of {len(CONSOLE)} console blocks are run"


def test_what_is_compared():
    table = "a    b\n---  ------\nx    1.5e-07  /tmp/q/net.py:12"
    assert matches(masked(table), masked("a  b\n-----  --\nx  22  /home/w/net.py:9"))
    assert not matches(masked(table), masked("a  b\n-----  --\ny  22  /home/w/net.py:9"))
    assert not matches(masked(table), masked("a  b\n-----  --"))
    assert matches(masked("...\nx"), masked("1\n2\nx"))


def calls(block):
    """The `rnnbench` calls of a block."""
    lines = block.text.splitlines()
    if block.language == "console":
        lines = [command for command, _ in commands(block)]
    for line in lines:
        for part in line.split("|"):
            words = shlex.split(part.replace("'", ""), comments=True)
            if words[:1] == ["rnnbench"]:
                yield words[1:]


@pytest.mark.parametrize(
    "block", [b for b in EVERY if b.language in ("sh", "console")], ids=lambda block: str(block)
)
def test_commands_have_the_options_that_are_shown(block):
    for words in calls(block):
        group = cli.cli.make_context("rnnbench", [])
        verb = cli.cli.get_command(group, words[0])
        try:
            verb.make_context(words[0], words[1:])
        except click.exceptions.Exit:
            pass
        except click.UsageError as error:
            pytest.fail(f"{block}: rnnbench {' '.join(words)}: {error.format_message()}")

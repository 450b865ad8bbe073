"""Completion of verbs, options and names in a shell: written once, by `--install-completion`."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.core.whole import write_file

_PROGRAM = "rnnbench"
_VARIABLE = "_RNNBENCH_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


def install(cli: click.Command, shell: str | None) -> str:
    """Writes the script where the shell looks for it.

    Args:
        cli: the program.
        shell: bash, zsh or fish; the one that `$SHELL` names unless given.

    Returns:
        What was written, and what is still to be done.

    Raises:
        RnnbenchError: the shell is another, or its folder cannot be written.
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise choices("shell", shell, SHELLS)
    completion = get_completion_class(shell)
    if completion is None:
        raise RnnbenchError(f"this click knows no completion for {shell}: update it")
    script = completion(cli, {}, _PROGRAM, _VARIABLE).source()
    path = _path(shell)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RnnbenchError(
            f"cannot write to {path.parent} ({error.strerror}): give your home folder in $HOME"
        ) from None
    write_file(path, script.encode())
    return f"written to {path}: {_THEN[shell]}"


def _path(shell: str) -> Path:
    """Where a shell looks for what its user completes."""
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return {
        "bash": data / "bash-completion/completions" / _PROGRAM,
        "zsh": home / ".zfunc" / f"_{_PROGRAM}",
        "fish": config / "fish/completions" / f"{_PROGRAM}.fish",
    }[shell]


_THEN = {
    "bash": "start a new shell (with the package bash-completion)",
    "zsh": "have `fpath+=~/.zfunc; autoload -Uz compinit; compinit` in ~/.zshrc, start a new shell",
    "fish": "start a new shell",
}

"""Finds the verbs in `commands/`, runs one, and turns what went wrong into a line and a code.

0: fine. 1: something differs, or one model of several failed. 2: bad input, said in one line.
130, 143: stopped by Ctrl-C, SIGTERM. 141: nobody reads what is printed, as of SIGPIPE.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Sequence

import click

from rnnbench.commands._console import refuse, set_loudness
from rnnbench.commands._options import BAD_INPUT, FINE, INTERRUPTED, UNREAD
from rnnbench.core import plugins
from rnnbench.core.collector import ending_at_once, importing
from rnnbench.core.errors import RnnbenchError, choices, lacks_memory, one_line
from rnnbench.core.interrupts import came_of_one, noted
from rnnbench.core.whole import full

# For a thread, or for a library as it is loaded, unless that is forbidden where it is (`noexec`).
_NO_ROOM = re.compile(r"can't start new thread|failed to map segment(?!.*not permitted)")


class _Verbs(click.Group):
    """The files of `rnnbench/commands/`; one is imported when it is asked for, or for the help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(plugins.names("commands"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in plugins.names("commands"):
            raise click.UsageError(str(choices("command", cmd_name, plugins.names("commands"))))
        with importing():
            command: click.Command = plugins.load("commands", cmd_name).command
        command.name = cmd_name
        return command


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code; what went wrong is one line on stderr."""
    ending_at_once()
    try:
        with noted() as interrupts:
            code = _run(arguments)
        if code == INTERRUPTED and interrupts.signal is not None:
            code = 128 + interrupts.signal  # as a shell tells it
    except KeyboardInterrupt as error:  # before the command began, or behind its end
        code = 128 + int(error.args[0]) if error.args else INTERRUPTED
    # Python notes that one passed through `exec` of a string, as a dataclass is made by, and ends
    # itself with SIGINT for that, though it was caught; the next `exec` takes the note back.
    exec("pass")
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    set_loudness(0)
    try:
        code = cli.main(arguments, prog_name="rnnbench", standalone_mode=False)
        if sys.stdout is not None:  # it is closed
            sys.stdout.flush()  # a full disk is seen here, and not at the exit
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        # Click itself takes a broken pipe for it, with code 1, and wraps stdout then.
        unread = type(sys.stdout).__name__.endswith("PacifyFlushWrapper")
        if isinstance(error, SystemExit) and not unread:
            raise
        _write_to_nobody()
        return UNREAD
    except Exception as error:
        ours = isinstance(error, RnnbenchError | click.ClickException)
        if not ours and came_of_one(error):
            return INTERRUPTED
        message = _explained(error)
        if message is None:
            raise
        return _refuse(message)
    return code if isinstance(code, int) else FINE


def _write_to_nobody(*streams: int) -> None:
    """What is still to be printed would fail at the exit as well."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    for stream in streams or (1, 2):
        with contextlib.suppress(OSError):
            os.dup2(nobody, stream)


def _explained(error: Exception) -> str | None:
    """The line about what went wrong; None where the trace itself is asked for."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, RnnbenchError):
        return one_line(error)
    of_the_system = _of_the_system(error)
    if of_the_system is not None:
        return of_the_system
    if os.environ.get("RNNBENCH_TRACEBACK"):
        return None
    return (
        f"this is a bug in rnnbench ({type(error).__name__}: {one_line(error)}): "
        "run it with RNNBENCH_TRACEBACK=1 and report what it says"
    )


def _of_the_system(error: Exception) -> str | None:
    """The line about what the system refused: memory, room, a file."""
    if lacks_memory(error) or _NO_ROOM.search(str(error)):
        why = one_line(error)
        return f"not enough memory ({why}): make room, or raise the limit of this process"
    if isinstance(error, OSError) and error.filename is None and full(error) is not None:
        _write_to_nobody(1)
        return f"cannot print to stdout ({full(error)}): make room, or print to another place"
    if isinstance(error, OSError):
        return f"{error.strerror or one_line(error)}: {error.filename or ''}".rstrip(": ")
    return None


def _refuse(message: str) -> int:
    refuse(f"error: {' '.join(message.split())}")
    return BAD_INPUT


def _version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        import rnnbench

        click.echo(f"rnnbench {rnnbench.__version__}")
        context.exit()


def _complete(context: click.Context, _option: click.Parameter, shell: str | None) -> None:
    if shell is not None and not context.resilient_parsing:
        from rnnbench.commands._completion import install

        click.echo(install(context.command, shell or None))
        context.exit()


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show it."
)
@click.option(
    "--install-completion",
    is_flag=False,
    flag_value="",
    metavar="[bash|zsh|fish]",
    is_eager=True,
    expose_value=False,
    callback=_complete,
    help="Let this shell complete names.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Export recurrent PyTorch models, prove that runtimes agree, measure which is fastest."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


if __name__ == "__main__":
    main()

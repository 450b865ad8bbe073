"""The options of every verb that takes a file: what that takes, where it does not say so itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.commands._options import option
from rnnbench.core.errors import RnnbenchError

if TYPE_CHECKING:
    from rnnbench.core.signature import Shape
    from rnnbench.models.files.inputs import FileInputs

GROUP = "Of a file"
NAMES = ("values", "shapes", "high", "states")

_OPTIONS = {
    "--set": ("values", "NAME=N", "An input that is a number, as sr=16000."),
    "--shape": ("shapes", "NAME=SIZES", "An input's shape, as x=batch,512; names are open sizes."),
    "--high": ("high", "NAME=N", "The ids of an input are 0 to N - 1."),
    "--state": ("states", "NAME=OUTPUT", "A state, and the output that goes back to it."),
}


def file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them; the command gets `values`, `shapes`, `high` and `states`."""
    for flag, (name, metavar, text) in reversed(_OPTIONS.items()):
        command = option(flag, name, multiple=True, metavar=metavar, help=text, group=GROUP)(
            command
        )
    return command


def file_inputs(options: dict[str, Any]) -> FileInputs:
    """Takes them out of a command's options.

    Raises:
        RnnbenchError: one is written wrong.
    """
    from rnnbench.models.files.inputs import FileInputs

    values, shapes, high, states = (options.pop(key) for key in NAMES)
    bounds = {key: number(value, "high") for key, value in pairs(high, "high")}
    for key, bound in bounds.items():
        if not isinstance(bound, int) or bound < 1:
            raise RnnbenchError(f"--high {key}={bound}: give a whole number, 1 or more")
    return FileInputs(
        values={key: number(value, "set") for key, value in pairs(values, "set")},
        shapes=sizes(shapes),
        high={key: int(bound) for key, bound in bounds.items()},
        states=dict(pairs(states, "state", empty=True)),
    )


@contextmanager
def bundles(targets: Sequence[str], options: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """The targets of a command, those that are files as bundles; its options of files are taken.

    Raises:
        RnnbenchError: of a file it cannot be told what to feed.
    """
    given = file_inputs(options)
    if given_nothing(given) and not any(Path(target).is_file() for target in targets):
        yield tuple(targets)
        return
    from rnnbench.exporting.lone_file import bundles_of

    with bundles_of(targets, given) as found:
        yield tuple(map(str, found))


def given_nothing(given: FileInputs) -> bool:
    """Whether nothing is said of a file's inputs."""
    return not (given.values or given.shapes or given.high or given.states)


def number(text: str, what: str) -> float:
    """A number as it is written: a whole one is an int.

    Raises:
        RnnbenchError: it is none.
    """
    try:
        return float(text) if "." in text or "e" in text.lower() else int(text)
    except ValueError:
        raise RnnbenchError(f"--{what} {text!r} is no number") from None


def sizes(shapes: Sequence[str]) -> dict[str, Shape]:
    """`x=batch,512` by the name of the input."""
    return {
        key: tuple(int(s) if s.strip().isdecimal() else s.strip() for s in value.split(","))
        for key, value in pairs(shapes, "shape")
    }


def pairs(texts: Sequence[str], what: str, *, empty: bool = False) -> Iterator[tuple[str, str]]:
    """`NAME=VALUE`, taken apart.

    Args:
        texts: as they were given.
        what: the option, for messages.
        empty: whether the value may be left out.
    """
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not (value or empty):
            raise RnnbenchError(f"--{what} {text!r}: write it as NAME=VALUE")
        yield name, value

"""What goes wrong in a way that the user can mend: one line, no stack trace."""

from collections.abc import Iterable


class RnnbenchError(Exception):
    """Says in one line what was given, what is possible, and what to do."""


class Unavailable(RnnbenchError):  # noqa: N818  (a state of the machine, not a mistake)
    """Something optional is not on this machine; the message names the remedy."""


def one_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def choices(what: str, given: object, possible: Iterable[str]) -> RnnbenchError:
    """The error for a name that is not one of the possible names."""
    return RnnbenchError(f"unknown {what} {str(given)!r}: choose from {', '.join(possible)}")

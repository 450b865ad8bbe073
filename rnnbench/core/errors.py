"""What goes wrong in a way that the user can mend: one line, no stack trace."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_NO_MEMORY = re.compile(
    r"bad[_ ]alloc|allocate memory|failed to allocate|unable to allocate|out of memory"
    r"|^[\w.]*MemoryError\b",
    re.IGNORECASE | re.MULTILINE,
)


class RnnbenchError(Exception):
    """Says in one line what was given, what is possible, and what to do."""


class Unavailable(RnnbenchError):  # noqa: N818  (a state of the machine, not a mistake)
    """Something optional is not on this machine; the message names the remedy."""


def one_line(error: BaseException) -> str:
    """The line of an error's message that says what is wrong, or its type where it has none.

    That is the first, but for PyTorch's headlines: of the TorchScript interpreter's the last line
    says it, and where the first ends with a colon the second.
    """
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if lines[0].startswith("The following operation failed in the TorchScript interpreter"):
        return lines[-1]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def lacks_memory(error: BaseException | str) -> bool:
    """Whether an error, or a line that a runtime printed, says that there is no memory left."""
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None


def choices(what: str, given: object, possible: Iterable[str]) -> RnnbenchError:
    """The error for a name that is not one of the possible names, with those that are near it."""
    known = [*possible]
    near = _near(str(given), known)
    meant = f"; did you mean {_or(near)}?" if near and len(known) > 1 else ""
    return RnnbenchError(f"unknown {what} {str(given)!r}: choose from {', '.join(known)}{meant}")


def _near(given: str, known: list[str]) -> list[str]:
    """Those that begin so; else those that are spelt nearly so, the nearest first."""
    folded = {name.lower(): name for name in known}
    begin = [name for key, name in folded.items() if given and key.startswith(given.lower())]
    return begin or [folded[n] for n in get_close_matches(given.lower(), folded, n=3, cutoff=0.6)]


def _or(names: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))

"""What a comparison can end with: one word for `check`, `conform`, `drift` and reports."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rnnbench.core.documents import plain


class Verdict(StrEnum):
    """Each is the word that tables and JSON have; of several, the last of these prevails."""

    LIMIT = "limit"  # wrong at no rows or no steps at all: to be known
    SHOWN = "shown"  # of a runtime that is no judge
    NOT_JUDGED = "not judged"  # there is no module in float64
    FLOOR = "floor"  # the module in its own precision, by which the others are judged
    SAME = "same"
    NOT_RUN = "not run"  # something is not installed, or not there
    REFUSED = "refused"  # with an error
    DIED = "died"  # with its process, or without an answer
    FAILED = "failed"  # there is no output
    DIFFERS = "DIFFERS"  # another result, without a word

    @property
    def severity(self) -> int:
        """The larger, the graver."""
        return list(Verdict).index(self)

    @property
    def is_wrong(self) -> bool:
        """Whether it alone makes the whole fail."""
        return self in (Verdict.FAILED, Verdict.DIFFERS)

    @property
    def colour(self) -> str | None:
        """On a terminal; None where it says nothing of right and wrong."""
        if self.is_wrong:
            return "red"
        if self is Verdict.SAME:
            return "green"
        return None if self in (Verdict.SHOWN, Verdict.FLOOR, Verdict.NOT_JUDGED) else "yellow"

    @property
    def exit_code(self) -> int:
        """Of a command that found nothing graver."""
        return 1 if self.is_wrong else 0


def all_well(verdicts: Collection[Verdict]) -> bool:
    """Whether something was the same, and nothing wrong."""
    return Verdict.SAME in verdicts and not any(verdict.is_wrong for verdict in verdicts)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a table of verdicts has a line for.

    Attributes:
        model: the bundle's name.
        verdict: how it ended.
        reason: what is wrong, in one line; empty where nothing is.
        cases: how many cases were compared.
        worst_error: the largest absolute difference to the float64 reference; None where there is
            none, infinite where a value, a shape or an output is missing.
    """

    model: str = ""
    verdict: Verdict
    reason: str = ""
    cases: int = 0
    worst_error: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values; an infinite error is the string "inf"."""
        found: dict[str, Any] = plain(self)
        return found

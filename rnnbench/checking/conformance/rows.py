"""What one target of `embed`, or one engine under one profile, said to the golden cases."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rnnbench.core.documents import document
from rnnbench.core.shown import Part, Shown, Table, format_parts
from rnnbench.core.tables import without_empty
from rnnbench.core.verdicts import Row, Verdict


@dataclass(frozen=True)
class Compared:
    """One output of one case.

    Attributes:
        case: its name.
        how: `whole`, or `stream` for one step after the other.
        output: its name.
        error: an absolute one: of a target that of the element which is the worst for what it is
            allowed, of an engine the largest; infinite where a value, a shape or the output is
            missing.
        allowed: how large it may be.
        why: what is wrong, where the error does not say it.
    """

    case: str
    how: str
    output: str
    error: float
    allowed: float
    why: str = ""

    @property
    def wrong(self) -> bool:
        """Whether the error is larger than is allowed, or is NaN."""
        return bool(self.why) or not self.error <= self.allowed

    @property
    def share(self) -> float:
        """The error as a share of what is allowed; infinite where nothing is."""
        if self.allowed:
            return self.error / self.allowed
        return math.inf if self.error else 0.0

    def __str__(self) -> str:
        why = self.why or f"off by {self.error:.1e}, {self.allowed:.1e} is allowed"
        return f"{self.case} ({self.how}), {self.output}: {why}"


@dataclass(frozen=True)
class ConformanceRow(Row):
    """What one target or engine said. A target may fail to build; engines may refuse, or die.

    Attributes:
        target: its name, with an engine's mode; or that of a result file.
        versions: of the runtime, as it says itself.
        allowed: how large `worst_error` may be for that output of that case.
        build_s: seconds to build; 0 where nothing is built.
        load_s: seconds to load the model.
        step_s: seconds for the smallest call.
        profile: the form of the file that an engine ran; empty for a target.
    """

    target: str
    versions: dict[str, str] = field(default_factory=dict)
    allowed: float | None = None
    build_s: float = 0.0
    load_s: float | None = None
    step_s: float | None = None
    profile: str = ""

    @property
    def engine(self) -> str:
        """The engine without its mode; empty for a target."""
        return self.target.partition(":")[0] if self.profile else ""

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> ConformanceRow:
        """The inverse of `to_json`."""
        inf = {"worst_error": math.inf} if said.get("worst_error") == "inf" else {}
        return cls(**said | {"verdict": Verdict(said["verdict"])} | inf)


def judged(target: str, compared: Sequence[Compared], **known: Any) -> ConformanceRow:
    """`same` or `DIFFERS`, with the output that is the worst for what it is allowed.

    Args:
        target: who said it.
        compared: one at least.
        known: further attributes of the row.
    """
    wrong = [c for c in compared if c.wrong]
    worst = max(compared, key=lambda c: (c.share, c.error))
    reason = f"{len(wrong)} of {len(compared)} are off, first {wrong[0]}" if wrong else ""
    return ConformanceRow(
        target,
        verdict=Verdict.DIFFERS if wrong else Verdict.SAME,
        cases=len({(c.case, c.how) for c in compared}),
        worst_error=worst.error,
        allowed=worst.allowed,
        **{"reason": reason} | known,
    )


def is_fine(rows: Sequence[ConformanceRow]) -> bool:
    """Whether nothing differs or failed, and each model and engine is right once at least.

    An engine may refuse a form of a file, or die of it, where it runs another form right.
    """
    if any(row.verdict.is_wrong for row in rows):
        return False
    right = {row.model for row in rows if row.verdict == Verdict.SAME}
    return bool(right) and right == {row.model for row in rows} and not never_right(rows)


def never_right(rows: Sequence[ConformanceRow]) -> list[tuple[str, str]]:
    """The models that an engine ran right in no form and no mode, as (model, engine)."""
    ran = [row for row in rows if row.engine and row.verdict != Verdict.NOT_RUN]
    right = {(row.model, row.engine) for row in ran if row.verdict == Verdict.SAME}
    return [p for p in dict.fromkeys((row.model, row.engine) for row in ran) if p not in right]


@dataclass(frozen=True, repr=False)
class ConformanceReport(Shown):
    """What `conform` found.

    Attributes:
        rows: one for each target, and for each engine in each form of the file.
    """

    rows: tuple[ConformanceRow, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing differs or failed, and each engine is right in one form at least."""
        return is_fine(self.rows)

    def parts(self) -> Iterable[Part]:
        """One table; what did not fit in it, and each reason once, below."""
        return _parts(self.rows)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return document("conform", {"rows": [row.to_json() for row in self.rows]}, ok=self.ok)


def format_conformed(rows: Sequence[ConformanceRow]) -> str:
    """One table; what did not fit in it, and each reason once, below."""
    return format_parts(_parts(rows))


def _parts(rows: Sequence[ConformanceRow]) -> Iterator[Part]:
    shown = [next(iter(versions_of([row])), "") for row in rows]
    columns: dict[str, list[str]] = {
        "target": [r.target for r in rows],
        "profile": [r.profile for r in rows],
        "runtime": shown,
        "cases": [str(r.cases or "") for r in rows],
        "error": ["" if r.worst_error is None else f"{r.worst_error:.1e}" for r in rows],
        "allowed": ["" if r.allowed is None else f"{r.allowed:.1e}" for r in rows],
        "verdict": [r.verdict for r in rows],
        "build s": [f"{r.build_s:.1f}" if r.build_s else "" for r in rows],
        "load ms": ["" if r.load_s is None else f"{1e3 * r.load_s:.1f}" for r in rows],
        "call us": ["" if r.step_s is None else f"{1e6 * r.step_s:.1f}" for r in rows],
    }
    filled = without_empty([*columns], zip(*columns.values(), strict=True))
    headers, cells = filled
    yield Table(headers, cells, ("load ms", "build s", "call us", "cases", "runtime"))
    others = [version for version in versions_of(rows) if version not in shown]
    below = [f"with {', '.join(others)}"] if others else []
    below += _reasons(rows)
    never = ", ".join(engine for _, engine in never_right(rows))
    below += [f"right under no profile: {never}"] if never else []
    yield from ["", *below] if below else []


def _reasons(rows: Sequence[ConformanceRow]) -> list[str]:
    """Each reason once, behind the names of all that it is of."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if row.reason:
            names.setdefault(row.reason, []).append(name_of(row))
    return [f"{'; '.join(of)}: {reason}" for reason, of in names.items()]


def that_ran(rows: Sequence[ConformanceRow]) -> tuple[list[ConformanceRow], str]:
    """The rows but those that this machine cannot run, and a line that names these.

    All where none ran.
    """
    ran = [row for row in rows if row.verdict != Verdict.NOT_RUN]
    left = dict.fromkeys(row.target for row in rows if row.verdict == Verdict.NOT_RUN)
    if not ran or not left:
        return [*rows], ""
    return ran, f"not run here: {', '.join(left)} (--all says why)"


def versions_of(rows: Sequence[ConformanceRow]) -> list[str]:
    """`onnxruntime 1.32.0`, ...: each once."""
    return list(dict.fromkeys(f"{k} {v}" for row in rows for k, v in row.versions.items()))


def name_of(row: ConformanceRow) -> str:
    """`tract:pinned, plain`; the target's name alone where it has no profile."""
    return ", ".join(filter(None, (row.target, row.profile)))

"""What `rnnbench check --json` said: verdicts, and with `--drift` how errors grow over a sequence.

Read with as few demands as possible: fields that are not known here are left alone, and one report
may hold several models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rnnbench.core.verdicts import Verdict

_SCHEMAS = ("rnnbench-check-1", "rnnbench-export-1", "rnnbench-drift-1")
_KNOWN = {str(verdict): verdict for verdict in Verdict}


@dataclass(frozen=True)
class Checked:
    """One artifact in one runtime: the gravest verdict, and the largest numbers of its outputs.

    Attributes:
        model: the bundle's name.
        format: of the artifact.
        runtime: what ran it.
        verdict: `same`, `DIFFERS`, `failed` or `not run`.
        worst_error: against float64; None where there is none, infinite where a value is missing.
        tolerance_needed: with which `np.allclose` agrees.
        reason: what is wrong.
    """

    model: str
    format: str
    runtime: str
    verdict: str
    worst_error: float | None = None
    tolerance_needed: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Drift:
    """The error against float64 after so many steps.

    Attributes:
        model: the bundle's name.
        runtime: what ran it.
        steps: of the sequence.
        error: at each of them.
    """

    model: str
    runtime: str
    steps: tuple[int, ...]
    error: tuple[float, ...]


def is_check(data: object) -> bool:
    """Whether JSON is a report of `check`, or of `check --drift`."""
    if not isinstance(data, Mapping) or "machine_info" in data:
        return False
    if "schema" in data:
        return data["schema"] in _SCHEMAS
    return "rows" in data or {"lines", "ends"} <= data.keys()


def read_checks(data: Mapping[str, Any]) -> tuple[tuple[Checked, ...], tuple[Drift, ...]]:
    """What `check` says of each artifact in each runtime, and the drift curves.

    The output with the largest error need not be that which needs the largest tolerance.

    Raises:
        ValueError: something has another shape.
    """
    try:
        worst: dict[tuple[str, str, str], Checked] = {}
        for row in map(_checked, data.get("rows", ())):
            if row.verdict != Verdict.LIMIT:
                key = (row.model, row.format, row.runtime)
                worst[key] = _both(worst.get(key, row), row)
        lines = [line for line in data.get("lines", ()) if line["errors"]]
        return tuple(worst.values()), tuple(_drift(data, line) for line in lines)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _both(one: Checked, other: Checked) -> Checked:
    return replace(
        max(one, other, key=_severity),
        worst_error=_largest(one.worst_error, other.worst_error),
        tolerance_needed=_largest(one.tolerance_needed, other.tolerance_needed),
    )


def _largest(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _checked(row: Mapping[str, Any]) -> Checked:
    return Checked(
        model=str(row["model"]),
        format=str(row["format"]),
        runtime=str(row["runtime"]),
        verdict=str(row["verdict"]),
        worst_error=_number(row.get("worst_error")),
        tolerance_needed=_number(row.get("tolerance_needed")),
        reason=str(row.get("reason") or ""),
    )


def _drift(report: Mapping[str, Any], line: Mapping[str, Any]) -> Drift:
    steps, error = [int(s) for s in report["ends"]], [_number(e) for e in line["errors"]]
    if len(steps) != len(error):
        raise ValueError(f"a drift curve of {len(steps)} steps and {len(error)} errors")
    eager = line["format"] == "eager"
    runtime = f"eager {line['runtime']}" if eager else str(line["runtime"])
    known = [math.inf if e is None else e for e in error]
    return Drift(str(report["model"]), runtime, tuple(steps), tuple(known))


def _number(value: object) -> float | None:
    """JSON has no infinity: `check` writes the string "inf"."""
    return None if value is None else float(str(value))


def _severity(row: Checked) -> tuple[int, float]:
    """Of a word that is not known here, the gravest."""
    gravity = _KNOWN[row.verdict].severity if row.verdict in _KNOWN else len(_KNOWN)
    return gravity, row.worst_error or 0.0

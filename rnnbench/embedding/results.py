"""A result file, of a target or of any other runtime: see exports/README.md."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnbench.checking.conformance.rows import Compared, ConformanceRow, judged
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.verdicts import Verdict

RESULT = "rnnbench-result-1"


def read_result(path: Path) -> ConformanceRow:
    """What it says, every field of which is looked at: it may come from anywhere.

    Raises:
        RnnbenchError: it is none, or is damaged.
    """
    try:
        said = json.loads(path.read_text("utf-8"))
        if not isinstance(said, dict):
            raise TypeError("it holds no object")
        if said.get("format") != RESULT:
            raise ValueError(f"format {said.get('format')!r}")
        name, rows = _text(said, "target"), said["rows"]
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise TypeError("rows is no list of objects")
        compared = [_compared(row) for row in rows]
        times = {key: _size(said, key) for key in ("load_s", "step_s") if said.get(key) is not None}
        versions = said.get("versions") or {}
        if not isinstance(versions, dict):
            raise TypeError("versions is no object")
        versions = {key: _text(versions, key) for key in versions}
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else one_line(error)
        raise RnnbenchError(f"{path} is no result file ({why}): see exports/README.md") from None
    if not compared:
        return ConformanceRow(name, versions, verdict=Verdict.FAILED, reason="it compared nothing")
    return judged(name, compared, versions=versions, **times)


def _compared(row: Mapping[str, Any]) -> Compared:
    missing = "error" in row and row["error"] is None  # an output, or a number
    error = math.inf if missing else _size(row, "error")
    case, how, output = (_text(row, key) for key in ("case", "how", "output"))
    return Compared(case, how, output, error, _size(row, "allowed"))


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is no text")
    return value


def _size(said: Mapping[str, Any], key: str) -> float:
    """A number from 0 on."""
    value = said[key]
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise ValueError(f"{key} is no number from 0 on")
    return float(value)

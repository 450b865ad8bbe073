"""Whether a value of a results file can be one of its field: times are finite, and above 0."""

from __future__ import annotations

import math
from types import UnionType
from typing import Any, get_args, get_origin

_ABOVE_0 = {"median", "samples", "p50", "p95", "p99", "ratio", "low", "high", "calls", "rounds"}


def what_is_wrong(name: str, value: Any, kind: Any) -> str:
    """What is wrong with a value; nothing of one that is a record of its own.

    Args:
        name: of the field.
        value: as JSON has it.
        kind: the field's type.
    """
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value is None:
        return "" if type(None) in kinds else "is missing"
    if bool in kinds:
        return "" if isinstance(value, bool) else "is not true or false"
    if str in kinds:
        return "" if isinstance(value, str) else "is no text"
    if get_origin(kind) is tuple:
        return _of_numbers(name, value) if isinstance(value, list | tuple) else "is no list"
    return _of_numbers(name, [value]) if {int, float} & {*kinds} else ""


def _of_numbers(name: str, numbers: Any) -> str:
    if not numbers or any(type(number) not in (int, float) for number in numbers):
        return "is no number"
    if not all(map(math.isfinite, numbers)):
        return "is not finite"
    least = min(numbers)
    return f"is {least:g}" if least < 0 or (least == 0 and name in _ABOVE_0) else ""

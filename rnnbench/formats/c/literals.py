"""Numbers and lines of C."""

from __future__ import annotations

import ctypes
import math

import torch


def literal(value: float | int | bool, dtype: torch.dtype) -> str:
    """A number as C has it."""
    if isinstance(value, bool) or dtype is torch.bool:
        return str(int(value))
    if dtype.is_floating_point:
        return _float_literal(float(value), "f" if dtype is torch.float32 else "")
    value = int(value)
    if value == -(2**63):
        return "INT64_MIN"
    text = f"INT64_C({value})" if abs(value) >= 2**31 else str(value)
    return f"({text})" if value < 0 else text


def _float_literal(value: float, suffix: str) -> str:
    if suffix:
        value = ctypes.c_float(value).value
    kind = "float" if suffix else "double"
    if math.isnan(value):
        return f"({kind})NAN"
    if math.isinf(value):
        return f"({'' if value > 0 else '-'}({kind})INFINITY)"
    text = f"{value:.9g}" if suffix else repr(value)
    text = text if any(c in text for c in ".en") else f"{text}.0"
    return f"({text}{suffix})" if value < 0 else f"{text}{suffix}"


def folded(text: str, width: int) -> list[str]:
    """A statement in lines of at most so many characters, broken behind a space."""
    if len(text) <= width:
        return [text]
    found = []
    while len(text) > width:
        place = text.rfind(" ", 0, width)
        place = place if place > 8 else text.find(" ", width)
        if place < 0:
            break
        found.append(text[:place])
        text = f"    {text[place + 1 :]}"
    return [*found, text]

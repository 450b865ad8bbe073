"""How a result becomes JSON: plain values, and a document that names its schema."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

_VERSION = 1  # of every schema: raised for a verb whose fields change their meaning, or go


def plain(value: Any) -> Any:
    """As JSON values: JSON knows no infinity and no NaN, so these become `"inf"` and `"nan"`.

    Dataclasses become objects, tuples lists.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [plain(element) for element in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def document(verb: str, content: Mapping[str, Any], *, ok: bool | None = None) -> dict[str, Any]:
    """What a command prints with `--json`.

    Args:
        verb: the command's name.
        content: the fields.
        ok: whether nothing is wrong, where the command says so.

    Returns:
        The fields, with `schema` (`rnnbench-<verb>-1`) first, and `ok` where there is a verdict.
    """
    head: dict[str, Any] = {"schema": f"rnnbench-{verb}-{_VERSION}"}
    if ok is not None:
        head["ok"] = ok
    return head | {key: value for key, value in content.items() if key not in head}

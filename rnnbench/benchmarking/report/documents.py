"""What `inspect --json` and `conform --json` said: hazards of files, and verdicts of engines.

Read with as few demands as possible, and as data: nothing in such a file is trusted to be short, of
one line, or free of markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_INSPECT, _CONFORM = "rnnbench-inspect-1", "rnnbench-conform-1"


@dataclass(frozen=True)
class Hazard:
    """What may go wrong with a file.

    Attributes:
        name: of the hazard.
        severity: `error`, `warning` or `note`.
        where: in the file.
        what: may happen.
        remedy: against it.
    """

    name: str
    severity: str
    where: str
    what: str
    remedy: str


@dataclass(frozen=True)
class Recurrence:
    """One recurrence in a file: where, how it is written, of which kind, and its sizes."""

    where: str
    form: str
    kind: str
    input_size: str
    hidden_size: str
    num_layers: str
    direction: str


@dataclass(frozen=True)
class Inspected:
    """One file that `inspect` read.

    Attributes:
        path: as it was given.
        format: `onnx`, `torchscript` or `pt2`.
        producer: who wrote it.
        recurrences: in it.
        hazards: the gravest first.
    """

    path: str
    format: str
    producer: str
    recurrences: tuple[Recurrence, ...]
    hazards: tuple[Hazard, ...]


@dataclass(frozen=True)
class Conformed:
    """What one target, or one engine under one profile, said to a bundle's golden cases.

    Attributes:
        model: the bundle's name.
        target: its name, with an engine's mode.
        profile: the form of the file that an engine ran; empty for a target.
        verdict: `same`, `DIFFERS`, `refused`, `died`, `failed` or `not run`.
        reason: why it is not the same.
        versions: of the engine.
        worst_error: None where nothing was compared, infinite where a value is missing.
        allowed: how large it may be.
        step_s: seconds of the smallest call.
    """

    model: str
    target: str
    profile: str
    verdict: str
    reason: str
    versions: tuple[tuple[str, str], ...]
    worst_error: float | None
    allowed: float | None
    step_s: float | None


def is_inspection(data: object) -> bool:
    """Whether JSON is what `inspect --json` prints."""
    return isinstance(data, Mapping) and data.get("schema") == _INSPECT


def is_conformance(data: object) -> bool:
    """Whether JSON is what `conform --json` prints."""
    return isinstance(data, Mapping) and data.get("schema") == _CONFORM


def read_inspection(data: Mapping[str, Any]) -> tuple[Inspected, ...]:
    """Each file that was inspected.

    Raises:
        ValueError: something has another shape.
    """
    try:
        return tuple(map(_inspected, data["files"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def read_conformance(data: Mapping[str, Any]) -> tuple[Conformed, ...]:
    """A row for each target, and for each engine under each profile.

    Raises:
        ValueError: something has another shape.
    """
    try:
        return tuple(map(_conformed, data["rows"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _inspected(file: Mapping[str, Any]) -> Inspected:
    return Inspected(
        path=str(file["path"]),
        format=str(file["format"]),
        producer=str(file.get("producer") or ""),
        recurrences=tuple(_strings(Recurrence, entry) for entry in file["recurrences"]),
        hazards=tuple(_strings(Hazard, entry) for entry in file["hazards"]),
    )


def _strings(kind: Any, entry: Mapping[str, Any]) -> Any:
    """A record whose fields are all text; what is missing or null is empty."""
    values = {name: entry.get(name) for name in kind.__dataclass_fields__}
    return kind(**{name: "" if v is None else str(v) for name, v in values.items()})


def _conformed(row: Mapping[str, Any]) -> Conformed:
    return Conformed(
        model=str(row["model"]),
        target=str(row["target"]),
        profile=str(row.get("profile") or ""),
        verdict=str(row["verdict"]),
        reason=str(row.get("reason") or ""),
        versions=tuple((str(k), str(v)) for k, v in (row.get("versions") or {}).items()),
        worst_error=_number(row.get("worst_error")),
        allowed=_number(row.get("allowed")),
        step_s=_number(row.get("step_s")),
    )


def _number(value: object) -> float | None:
    """JSON has no infinity: it is the string "inf"."""
    return None if value is None else float(str(value))

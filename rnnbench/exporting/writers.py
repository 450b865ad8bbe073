"""The formats that an export was asked for, and refusals before anything is captured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rnnbench.core import plugins
from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.core.model import Model
from rnnbench.formats._format import Format, WriteOptions
from rnnbench.models.precision import LEVELS, WHOLE


def find_writers(model: Model, formats: Sequence[str], options: WriteOptions) -> dict[str, Format]:
    """The formats by name, each of which can be written here, with these options."""
    found: dict[str, Format] = {
        name: plugins.load("formats", name).FORMAT for name in dict.fromkeys(formats)
    }
    if not found:
        raise RnnbenchError(f"no format given: choose from {', '.join(plugins.names('formats'))}")
    for name, writer in found.items():
        missing = writer.missing()
        if missing:
            raise Unavailable(f"format {name!r}: {missing}")
        writer.refuse(model, options)
    return found


def check_precision(precision: str, writers: Mapping[str, Format]) -> None:
    """Refuses a precision that no format keeps."""
    from rnnbench.models.precision import check_precision as check_name

    check_name(precision)
    others = without(precision, writers)
    if precision in WHOLE:
        _refuse_several(precision, writers, others)
    if len(others) == len(writers):
        raise RnnbenchError(
            f"precision {precision} makes a smaller file in the formats onnx and c, not in "
            f"{' or '.join(writers)}: add --format onnx"
        )


def _refuse_several(precision: str, writers: Mapping[str, Format], others: Sequence[str]) -> None:
    """Refuses formats that compute with other whole numbers, or with none: a bundle has one."""
    able = "onnx or c" if precision == "int8-dynamic" else "onnx"
    if others:
        raise RnnbenchError(
            f"{precision} computes with whole numbers in the format {able} only, and {others[0]} "
            "is asked for: export that by itself, or as int8-weights"
        )
    if len({writer.levels[precision] for writer in writers.values()}) > 1:
        raise RnnbenchError(
            f"{precision} computes with whole numbers of 8 bits in onnx, and of 16 in c, which are "
            "other models: export each by itself"
        )


def levels_of(precision: str, writers: Mapping[str, Format]) -> int:
    """The levels that an int8 weight may have on each side of 0."""
    return min((w.levels.get(precision, LEVELS) for w in writers.values()), default=LEVELS)


def without(precision: str, writers: Mapping[str, Format]) -> list[str]:
    """The formats in which the rounded weights are float32."""
    return [name for name, writer in writers.items() if precision not in writer.precisions]

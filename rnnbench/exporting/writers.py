"""The formats that an export was asked for, and refusals before anything is captured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rnnbench.core import plugins
from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.core.model import Model
from rnnbench.formats._format import Format, WriteOptions


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
    if others and precision == "int8-dynamic":
        raise RnnbenchError(
            f"int8-dynamic computes with whole numbers in the format c only, and {others[0]} is "
            "asked for: export that by itself, or as int8-weights"
        )
    if len(others) == len(writers):
        raise RnnbenchError(
            f"precision {precision} makes a smaller file in the formats onnx and c, not in "
            f"{' or '.join(writers)}: add --format onnx"
        )


def without(precision: str, writers: Mapping[str, Format]) -> list[str]:
    """The formats in which the rounded weights are float32."""
    return [name for name, writer in writers.items() if precision not in writer.precisions]

"""Whether a file is ONNX, is one that was cut off, or is none: by its fields, without onnx.

ONNX is a protobuf, which has no magic number: a list of fields, each with a number, a wire type
and, where it is one of bytes, its length (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Literal

# `ModelProto`: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; number -> wire type.
_NUMBER, _BYTES = 0, 2
_FIELDS = {1: _NUMBER, 5: _NUMBER} | dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25, 26), _BYTES)
_VERSION, _GRAPH, _OPSET = 1, 7, 8
_LAST = 63  # a later ONNX may have more fields, and not many
_MOST = 10**5

State = Literal["whole", "truncated", "other"]


def onnx_state(path: Path) -> State:
    """What a file is as ONNX. Graphs and weights are not looked into, but skipped over.

    Args:
        path: any file.

    Raises:
        OSError: it cannot be read.
    """
    size, seen = path.stat().st_size, set[int]()
    with path.open("rb") as file:
        for _ in range(_MOST):
            if file.tell() >= size:
                break
            tag = _varint(file)
            number, kind = (tag or 0) >> 3, (tag or 0) & 7
            known = _FIELDS.get(number, kind if seen and 0 < number <= _LAST else None)
            if kind not in (_NUMBER, _BYTES) or kind != known:
                return "other"
            value = _varint(file)
            if kind == _BYTES and value is not None:
                file.seek(value, 1)
            if value is None or file.tell() > size:
                return "truncated" if _VERSION in seen else "other"
            seen.add(number)
    if {_GRAPH, _OPSET} <= seen:
        return "whole"
    return "truncated" if _VERSION in seen else "other"


def _varint(file: IO[bytes]) -> int | None:
    """A number of 7 bits a byte, the lowest first; None where it does not end."""
    value = 0
    for i in range(10):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << (7 * i)
        if byte[0] < 0x80:
            return value
    return None

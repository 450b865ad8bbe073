"""Counts the numbers of a weight that are none: NaN, in the bytes that a file holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_CHUNK = 2**24  # bytes, a multiple of every width
_BFLOAT16 = 0x7F80  # all bits of the exponent; NaN has some of the fraction as well


def count_nans(chunks: Iterable[bytes], dtype: str) -> int:
    """How many of the numbers are NaN; 0 of what is no floating-point type.

    Args:
        chunks: their bytes, little-endian, none of them in two chunks.
        dtype: numpy's name of it, or `bfloat16`.
    """
    import numpy as np

    if dtype not in ("float16", "float32", "float64", "bfloat16"):
        return 0
    total = 0
    for chunk in chunks:
        if dtype == "bfloat16":
            bits = np.frombuffer(chunk[: len(chunk) & ~1], "<u2")
            total += int(np.count_nonzero((bits & 0x7FFF) > _BFLOAT16))
        else:
            kind = np.dtype(dtype).newbyteorder("<")
            numbers = np.frombuffer(chunk[: len(chunk) // kind.itemsize * kind.itemsize], kind)
            total += int(np.count_nonzero(np.isnan(numbers)))
    return total


def chunks_of(file: Any, size: int) -> Iterator[bytes]:
    """The next bytes of an open file, in pieces."""
    while size > 0:
        chunk = file.read(min(size, _CHUNK))
        if not chunk:
            return
        size -= len(chunk)
        yield chunk


def nans_in_file(path: Path, offset: int, size: int, dtype: str) -> int:
    """The same of a stretch of a file."""
    with path.open("rb") as file:
        file.seek(offset)
        return count_nans(chunks_of(file, size), dtype)


def nans_in_tensor(tensor: Any, dtype: str) -> int:
    """The same of an ONNX tensor, whichever of its fields has the numbers."""
    import numpy as np

    if tensor.raw_data:
        return count_nans([tensor.raw_data], dtype)
    if tensor.int32_data and dtype in ("float16", "bfloat16"):  # their bits
        return count_nans([np.asarray(tensor.int32_data, "<u2").tobytes()], dtype)
    return int(np.count_nonzero(np.isnan([*tensor.float_data, *tensor.double_data])))

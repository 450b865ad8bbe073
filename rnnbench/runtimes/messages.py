"""A header and arrays through a pipe: JSON and the arrays' bytes, never a pickle.

One message: the header's length in 8 bytes (little-endian), the header, the arrays one after the
other; the header says their names, dtypes and shapes.

These are no .npy files: NumPy parses their headers as Python (`ast.literal_eval`), which CPython
3.11 refuses now and then where several threads do so ("AST constructor recursion depth mismatch").
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from rnnbench.core.model import Arrays

Answer = tuple[dict[str, Any], Arrays]
"""A header as JSON values, and arrays by name."""


def send(stream: BinaryIO, header: Mapping[str, Any], arrays: Arrays | None = None) -> None:
    """Writes one message."""
    parts = {name: np.asarray(array) for name, array in (arrays or {}).items()}
    if any(array.dtype.hasobject for array in parts.values()):
        raise ValueError("an array of Python's objects has no bytes of its own")
    said = [[name, array.dtype.str, array.shape] for name, array in parts.items()]
    text = json.dumps({**header, "arrays": said}).encode()
    stream.write(len(text).to_bytes(8, "little") + text)
    for array in parts.values():
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], Arrays]:
    """Reads one message.

    Raises:
        EOFError: the other end is closed, or was in the middle of the message.
        ValueError: what it sends is no message.
    """
    header = json.loads(_exactly(stream, int.from_bytes(_exactly(stream, 8), "little")))
    arrays = {name: _array(stream, dtype, shape) for name, dtype, shape in header.pop("arrays")}
    return header, arrays


def _array(stream: BinaryIO, name: str, shape: list[int]) -> np.ndarray[Any, Any]:
    dtype = np.dtype(name)
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"an array of {name} and {shape} is none that is sent")
    data = _exactly(stream, math.prod(shape) * dtype.itemsize)
    return np.ndarray(tuple(shape), dtype, bytearray(data))  # which may be written into


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("the other end is closed")
    return data

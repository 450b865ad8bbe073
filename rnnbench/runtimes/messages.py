"""A header and arrays through a pipe: JSON and raw .npy bytes, never a pickle.

One message: the header's length in 8 bytes (little-endian), the header, the arrays one after the
other; the header says their names and lengths.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from rnnbench.core.model import Arrays

Answer = tuple[dict[str, Any], Arrays]
"""A header as JSON values, and arrays by name."""

NO_MEMORY = re.compile(
    r"bad[_ ]alloc|allocate memory|failed to allocate|unable to allocate|out of memory", re.I
)
"""What runtimes say where there is no memory left."""


def send(stream: BinaryIO, header: Mapping[str, Any], arrays: Arrays | None = None) -> None:
    """Writes one message."""
    parts = {name: _encoded(array) for name, array in (arrays or {}).items()}
    sizes = [[name, len(part)] for name, part in parts.items()]
    text = json.dumps({**header, "arrays": sizes}).encode()
    stream.write(len(text).to_bytes(8, "little") + text)
    for part in parts.values():
        stream.write(part)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], Arrays]:
    """Reads one message.

    Raises:
        EOFError: the other end is closed, or was in the middle of the message.
    """
    header = json.loads(_exactly(stream, int.from_bytes(_exactly(stream, 8), "little")))
    arrays = {
        name: np.lib.format.read_array(io.BytesIO(_exactly(stream, size)), allow_pickle=False)
        for name, size in header.pop("arrays")
    }
    return header, arrays


def _encoded(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("the other end is closed")
    return data

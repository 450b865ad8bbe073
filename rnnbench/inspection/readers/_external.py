"""The weights of an ONNX file that lie in files beside it: looked for, and not loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from rnnbench.core.errors import RnnbenchError


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            for inner in graphs_in(attribute):
                yield from _tensors(inner)


def graphs_in(attribute: Any) -> list[Any]:
    """The graphs that an attribute of a node holds: branches, bodies of loops."""
    own = [attribute.g] if attribute.HasField("g") else []
    return own + list(attribute.graphs)


def external_bytes(proto: Any, path: Path) -> int:
    """Bytes of the files that hold weights, each of which must be there and long enough."""
    needed: dict[str, int] = {}
    for tensor in _tensors(proto.graph):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        entry = {e.key: e.value for e in tensor.external_data}
        location = PurePosixPath(entry.get("location", ""))
        if not location.name or location.is_absolute() or ".." in location.parts:
            raise RnnbenchError(
                f"{path} keeps a weight in {str(location)!r}, outside of its folder: refused"
            )
        with suppress(ValueError):
            end = int(entry.get("offset") or 0) + int(entry.get("length") or 0)
            needed[str(location)] = max(needed.get(str(location), 0), end)
    total = 0
    for name, end in needed.items():
        file = path.parent / name
        if not file.is_file():
            raise RnnbenchError(
                f"{path} keeps weights in {name}, which is missing: put it beside it"
            )
        size = file.stat().st_size
        if size < end:
            raise RnnbenchError(f"{file} is truncated ({size} bytes of {end}): copy it again")
        total += size
    return total

"""The weights of an ONNX file that lie in files beside it: looked for, and not kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.inside import leads_outside, links_outside
from rnnbench.inspection.nans import nans_in_file

_NAMED = 8  # files that a message names


def external_bytes(proto: Any, path: Path) -> int:
    """Bytes of the files that hold weights, each of which must be there and long enough.

    Raises:
        RnnbenchError: one is not, or lies outside of the folder of the ONNX file.
    """
    total, needed = 0, _locations(proto, path)
    missing = [name for name in needed if not (path.parent / name).is_file()]
    if len(missing) == 1:
        raise RnnbenchError(
            f"{path} keeps weights in {missing[0]}, which is missing: put it beside it"
        )
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise RnnbenchError(
            f"{path} keeps weights in {', '.join(missing[:_NAMED])}{more}, which are missing: put "
            "them beside it"
        )
    for name, end in needed.items():
        file = path.parent / name
        size = file.stat().st_size
        if size < end:
            raise RnnbenchError(f"{file} is truncated ({size} bytes of {end}): copy it again")
        total += size
    return total


def refuse_outside(path: Path) -> None:
    """Refuses a file that would have weights read from outside of its folder.

    Raises:
        RnnbenchError: it would.
    """
    import onnx

    try:
        proto = onnx.load(str(path), load_external_data=False)
    except Exception:  # protobuf raises types of its own; the runtime says what is wrong with it
        return
    _locations(proto, path)


def external_tensors(proto: Any) -> Iterator[Any]:
    """The tensors of a model whose numbers lie in other files."""
    return (t for t in _tensors(proto) if t.data_location == t.EXTERNAL)


def external_files(path: Path) -> list[str]:
    """The files that hold weights, by their names in an ONNX file; each is there.

    Raises:
        RnnbenchError: one is not, or lies outside of the folder of the ONNX file.
    """
    import onnx

    proto = onnx.load(str(path), load_external_data=False)
    external_bytes(proto, path)
    return list(_locations(proto, path))


def external_nans(tensor: Any, path: Path, dtype: str, size: int) -> int:
    """How many numbers of such a weight are NaN; `external_bytes` has allowed its file.

    Args:
        tensor: the weight.
        path: of the ONNX file.
        dtype: of its numbers.
        size: its bytes.
    """
    entry = {e.key: e.value for e in tensor.external_data}
    with suppress(ValueError, OSError):
        offset = int(entry.get("offset") or 0)
        return nans_in_file(path.parent / entry["location"], offset, size, dtype)
    return 0


def graphs_in(attribute: Any) -> list[Any]:
    """The graphs that an attribute of a node holds: branches, bodies of loops."""
    own = [attribute.g] if attribute.HasField("g") else []
    return own + list(attribute.graphs)


def _locations(proto: Any, path: Path) -> dict[str, int]:
    """Files that hold weights, by their names in the ONNX file -> the bytes that are needed.

    Raises:
        RnnbenchError: one lies outside of the folder, by its name or by a link.
    """
    needed: dict[str, int] = {}
    for tensor in external_tensors(proto):
        entry = {e.key: e.value for e in tensor.external_data}
        location = entry.get("location", "")
        if leads_outside(location) or links_outside(path.parent, location):
            raise RnnbenchError(
                f"{path} keeps a weight in {location!r}, outside of its folder: refused"
            )
        with suppress(ValueError):
            end = int(entry.get("offset") or 0) + int(entry.get("length") or 0)
            needed[location] = max(needed.get(location, 0), end)
    return needed


def _tensors(proto: Any) -> Iterator[Any]:
    """Every tensor of a model, also of its functions and in the bodies of its nodes."""
    yield from _in_graph(proto.graph)
    for function in proto.functions:
        yield from _in_nodes(function.node)
    for training in proto.training_info:
        yield from _in_graph(training.initialization)
        yield from _in_graph(training.algorithm)


def _in_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _in_nodes(graph.node)


def _in_nodes(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            for found in (*sparse, *attribute.sparse_tensors):
                yield from (found.values, found.indices)
            for inner in graphs_in(attribute):
                yield from _in_graph(inner)

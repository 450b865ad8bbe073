"""Writes the new file, whole or not at all; what the given one keeps outside stays outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.whole import whole_file, write_file
from rnnbench.formats.onnx.optimizing.loading import Given

_SMALL = 1024  # bytes of a weight that stays in the file, as torch's exporters have it
_REMEDY = "give another --out"


def refuse_same(given: Path, out: Path) -> None:
    """Refuses to write over the file that is read.

    Raises:
        RnnbenchError: both are one.
    """
    if out.resolve() == given.resolve() or (out.exists() and out.samefile(given)):
        raise RnnbenchError(f"{out} is the given file, which stays as it is: give another --out")
    if out.is_dir():
        raise RnnbenchError(f"{out} is a folder: give the name of the new file, {out}/better.onnx")


def save_copy(given: Given, out: Path) -> None:
    """The given file, byte for byte, and its external data where it goes to another folder."""
    _copy_data(given, out)
    write_file(out, given.path.read_bytes(), _REMEDY)


def write_whole(path: Path, out: Path) -> None:
    """A file that is there under another name, whole or not at all."""
    write_file(out, path.read_bytes(), _REMEDY)


def save(given: Given, proto: Any, out: Path, made: set[str]) -> None:
    """A rewritten file.

    Args:
        given: as it was read.
        proto: as it is to be.
        out: its place.
        made: the initializers that are new.
    """
    if given.data:
        _copy_data(given, out)
        _outside(given, proto, out, made)
    write_file(out, proto.SerializeToString(), _REMEDY)


def _copy_data(given: Given, out: Path) -> None:
    if out.parent.resolve() == given.path.parent.resolve():
        return
    for name in given.data:
        target = out.parent / name
        if target.exists() and not target.samefile(given.path.parent / name):
            raise RnnbenchError(
                f"{target} is there, and the new file needs another under that name: "
                "give an --out in another folder"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with (given.path.parent / name).open("rb") as source, whole_file(target, _REMEDY) as file:
            while block := source.read(2**24):
                file.write(block)


def _outside(given: Given, proto: Any, out: Path, made: set[str]) -> None:
    """Moves new weights to a file of their own beside the new one."""
    from onnx.external_data_helper import set_external_data

    name, n = f"{out.name}.data", 1
    while name in given.data:
        n += 1
        name = f"{out.name}.{n}.data"
    large = [t for t in proto.graph.initializer if t.name in made and len(t.raw_data) > _SMALL]
    if not large:
        return
    with whole_file(out.parent / name, _REMEDY) as file:
        offset = 0
        for tensor in large:
            data = tensor.raw_data
            file.write(data)
            set_external_data(tensor, name, offset=offset, length=len(data))
            tensor.ClearField("raw_data")
            tensor.data_location = tensor.EXTERNAL
            offset += len(data)

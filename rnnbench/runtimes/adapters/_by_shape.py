"""For engines that want a file anew for each shape of the inputs, with that shape fixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from rnnbench.core.model import Arrays, Run
from rnnbench.core.temporary import temporary_folder

Dims = Mapping[str, tuple[int, ...]]
Loaded = TypeVar("Loaded")


def by_shape(make: Callable[[Dims], Run]) -> Run:
    """A function that makes one for each shape of its inputs, as they come, and keeps it.

    Args:
        make: makes the function for inputs of these shapes, by name.
    """
    known: dict[tuple[tuple[str, tuple[int, ...]], ...], Run] = {}

    def run(arrays: Arrays) -> Arrays:
        shapes = {name: array.shape for name, array in arrays.items()}
        key = tuple(sorted(shapes.items()))
        if key not in known:
            known[key] = make(shapes)
        return known[key](arrays)

    return run


def load_pinned(path: Path, shapes: Dims, load: Callable[[Path], Loaded]) -> Loaded:
    """What `load` makes of an ONNX file whose inputs have these shapes and no others.

    The file that it gets lies in a folder that is gone when it returns.
    """
    import onnx

    from rnnbench.formats.onnx.profiles import pinned

    with temporary_folder() as folder:
        file = Path(folder) / path.name
        onnx.save(pinned(path, dict(shapes)), file)
        return load(file)

"""The files that a model's code is in: those of its classes, and of the functions that they call.

model.py    from utils import make_mask; class Net: ... make_mask(lengths)
utils.py    def make_mask(lengths): ... len(lengths) ...
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from torch import nn

_MODELS = "models/variants"  # what is in there is a model, though it is rnnbench's


def is_library(path: str) -> bool:
    """Whether a file belongs to PyTorch, to NumPy, to Python or to rnnbench's own machinery.

    Where those lie is asked of the import system: a user's folder may be called `torch`, too.
    """
    if path.startswith("<") or path == contextlib.__file__:
        return True
    file = Path(path)
    return any(_inside(file, _folder(name)) for name in ("torch", "numpy")) or (
        _inside(file, _folder("rnnbench")) and not _inside(file, _folder("rnnbench") / _MODELS)
    )


def _inside(file: Path, folder: Path) -> bool:
    return file == folder or folder in file.parents


@cache
def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None, f"{package} is imported above, or by whoever imports this"
    assert spec.origin is not None
    return Path(spec.origin).parent


def own_files(root: nn.Module) -> list[dict[str, Any]]:
    """The global names of each such file.

    A function of another package than the classes is a library's: it is left as it is.

    Args:
        root: the model.
    """
    classes = {base for module in root.modules() for base in type(module).__mro__}
    found = {}
    for name in sorted({cls.__module__ for cls in classes}):
        file = sys.modules.get(name)
        if file is not None and _is_own(file):
            found[name] = file
    homes = {_home(file) for file in found.values()}
    waiting = list(found.values())
    while waiting:
        for name in _named_in(waiting.pop()):
            file = None if name in found else sys.modules.get(name)
            if file is not None and _is_own(file) and _home(file) in homes:
                found[name] = file
                waiting.append(file)
    return [vars(file) for file in found.values()]


def _named_in(file: ModuleType) -> Iterator[str]:
    """The files of the functions that a file has names for, and those that it has imported."""
    for value in list(vars(file).values()):
        if isinstance(value, FunctionType):
            yield value.__module__ or ""
        elif isinstance(value, ModuleType):
            yield value.__name__


def _is_own(file: ModuleType) -> bool:
    path = getattr(file, "__file__", None)
    return bool(path) and not is_library(str(path))


def _home(file: ModuleType) -> str:
    """The package that a file is in, or its folder where it is in none."""
    package = file.__name__.partition(".")[0]
    return package if "." in file.__name__ else str(Path(str(file.__file__)).parent)

"""Where in the model's own code a node came from."""

from __future__ import annotations

import contextlib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from torch import fx

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\w+)')
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


def frames(text: str) -> list[tuple[str, int, str]]:
    """The (file, line, function) entries of the model's own code in a printed trace."""
    found = [(f, int(n), name) for f, n, name in _FRAME.findall(text)]
    return [f for f in found if not is_library(f[0])]


def source_line(node: fx.Node) -> str:
    """`file:line` of the innermost frame of the model's own code, or nothing."""
    own = frames(node.meta.get("stack_trace") or "")
    return f"{own[-1][0]}:{own[-1][1]}" if own else ""

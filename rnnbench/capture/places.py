"""Where in the model's own code a node came from."""

from __future__ import annotations

import re

from torch import fx

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\w+)')


def is_library(path: str) -> bool:
    """Whether a file belongs to PyTorch, to Python or to rnnbench's own machinery."""
    parts = path.replace("\\", "/")
    own = "/rnnbench/capture/" in parts or "/rnnbench/export.py" in parts
    return own or "/torch/" in f"/{parts}" or parts.startswith("<") or "/contextlib.py" in parts


def frames(text: str) -> list[tuple[str, int, str]]:
    """The (file, line, function) entries of the model's own code in a printed trace."""
    found = [(f, int(n), name) for f, n, name in _FRAME.findall(text)]
    return [f for f in found if not is_library(f[0])]


def source_line(node: fx.Node) -> str:
    """`file:line` of the innermost frame of the model's own code, or nothing."""
    own = frames(node.meta.get("stack_trace") or "")
    return f"{own[-1][0]}:{own[-1][1]}" if own else ""
